"""The binaries of a Kubernetes cluster, built from Go modules, once for each set of sources.

All come from one module with one set of versions: what they share (the API's types, its client, gRPC) is
compiled once. Of traefik and lego, copies are built in which the packages of `go/instead` take the place of
those that bring clouds, interpreters and other key-value stores in.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import ClusterError, Unsupported
from .images import write_image
from .packages import PATH
from .progress import Progress
from .settings import Settings

SOURCES = Path(__file__).parent / "go"
# Measured on the API's types, in seconds of CPU: 83 as usual, 74 without debug information, 53 without
# inlining too. What is hot when a cluster works (encoding, comparing) keeps it.
FLAGS = (
    "-trimpath",
    "-buildvcs=false",
    "-gcflags=all=-dwarf=false",
    "-gcflags=k8s.io/...=-l -dwarf=false",
    "-gcflags=k8s.io/apimachinery/...=-dwarf=false",
)
# The second cannot be in one command with the first: they import one package in two spellings.
COMMANDS = (
    (
        "./kubernetes",
        "./coredns",
        "./pause",
        "./gate",
        "./probe",
        "github.com/traefik/traefik/v3/cmd/traefik",
    ),
    ("github.com/rancher/local-path-provisioner",),
)
_REPLACED = {"traefik": "github.com/traefik/traefik/v3", "lego": "github.com/go-acme/lego/v4"}
# Not those that look names up: in a static glibc they crash. `probe` is for that.
_APPLETS = ("cat", "chmod", "cp", "date", "echo", "id", "ls", "mkdir", "rm", "sh", "sleep", "true")


def pinned_version() -> str:
    """Return the version of Kubernetes that the sources are pinned to."""
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (SOURCES / "go.mod").read_text())
    assert found, "go.mod does not name Kubernetes"
    return found[1]


def version() -> str:
    """Return the version of Kubernetes to build: SCALABLEHUB_KUBERNETES or the pinned one."""
    return os.environ.get("SCALABLEHUB_KUBERNETES", "").removeprefix("v") or pinned_version()


def traefik_version() -> str:
    """Return the version of traefik, as its image's tag."""
    found = re.search(r"traefik/v3 (v\S+)", (SOURCES / "instead" / "go.mod").read_text())
    assert found, "instead/go.mod does not name traefik"
    return found[1]


def _linking() -> str:
    """Return the linker's flags: no symbols, and the versions that the programs tell."""
    major, minor, _ = version().split(".")
    told = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    values = {"github.com/traefik/traefik/v3/pkg/version.Version": traefik_version().removeprefix("v")}
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        values |= {f"{package}.{name}": value for name, value in told.items()}
    return "-ldflags=-s -w " + " ".join(f"-X {name}={value}" for name, value in values.items())


def images() -> dict[str, str]:
    """Return the names of the images that the cluster brings, by what is in them."""
    return {
        "pause": "localhost/pause:1",
        "busybox": "localhost/busybox:1",
        "coredns": "localhost/coredns:1",
        "local-path-provisioner": "localhost/local-path-provisioner:1",
        "traefik": f"localhost/traefik:{traefik_version()}",
    }


def _key() -> str:
    """Return a name for all that determines the binaries."""
    digest = hashlib.sha256(f"{_linking()} {FLAGS} {COMMANDS} {_APPLETS}".encode())
    for file in sorted(SOURCES.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(SOURCES)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return f"{version()}-{digest.hexdigest()[:12]}"


def folder(settings: Settings) -> Path:
    """Return where the binaries of these sources are, or will be."""
    return settings.cache / _key()


def _go() -> str:
    """Return the Go command; the oldest that will do is named in go.mod."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    found = re.search(r"^go (\d+\.\d+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    oldest = found[1] if found else ""
    if not go:
        raise Unsupported(
            f"Building the Kubernetes cluster needs Go {oldest} or newer, which is not installed."
        )
    return go


def _environment() -> Mapping[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "PATH": PATH, "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _run(go: str, *arguments: str, where: Path, what: str) -> str:
    run = subprocess.run(
        [go, *arguments], cwd=where, env=_environment(), capture_output=True, text=True, check=False
    )
    if run.returncode:
        last = "\n".join(run.stderr.strip().splitlines()[-5:])
        raise ClusterError(f"{what} failed: {last}")
    return run.stdout


def prepare(go: str, work: Path, wanted: str) -> None:
    """Copy the sources to a folder, with the copies of what is built differently."""
    shutil.copytree(SOURCES, work, dirs_exist_ok=True)
    instead = work / "instead"
    fetched = _run(
        *(go, "mod", "download", "-json", *_REPLACED.values()), where=instead, what="Fetching traefik"
    )
    decoder, at, places = json.JSONDecoder(), 0, {}
    while at < len(fetched.rstrip()):
        module, at = decoder.raw_decode(fetched, at)
        places[module["Path"]] = Path(module["Dir"])
        at += 1
    for name, module in _REPLACED.items():
        copy = work / "patched" / name
        shutil.copytree(places[module], copy, copy_function=shutil.copyfile)
        for each in (copy, *copy.rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        # Their tests need hundreds of modules, and what is left needs few of the indirect ones.
        for test in copy.rglob("*_test.go"):
            test.unlink()
        lines = (copy / "go.mod").read_text().splitlines(keepends=True)
        (copy / "go.mod").write_text("".join(line for line in lines if not line.endswith("// indirect\n")))
        ours = instead / name
        for package in {file.parent.relative_to(ours) for file in ours.rglob("*.go")}:
            shutil.rmtree(copy / package, ignore_errors=True)
            shutil.copytree(ours / package, copy / package)
    if wanted != pinned_version():
        pin(go, work, wanted)


def pin(go: str, work: Path, wanted: str) -> None:
    """Change the versions in go.mod and go.sum of a prepared folder to those of another Kubernetes."""
    minor = "v0." + wanted.split(".", 1)[1]
    module = (work / "go.mod").read_text()
    module = re.sub(r"(k8s\.io/kubernetes) v\S+", rf"\1 v{wanted}", module)
    module = re.sub(r"(k8s\.io/\S+ => k8s\.io/\S+) v\S+", rf"\1 {minor}", module)
    # Modules that Kubernetes keeps in its own tree; newer versions have more of them.
    upstream = json.loads(
        _run(
            go, "mod", "download", "-json", f"k8s.io/kubernetes@v{wanted}", where=work, what="Fetching go.mod"
        )
    )
    staged = re.findall(r"^\s*(k8s\.io/\S+) => \./staging", Path(upstream["GoMod"]).read_text(), re.MULTILINE)
    known = set(re.findall(r"(k8s\.io/\S+) =>", module))
    new = "".join(f"replace {each} => {each} {minor}\n" for each in staged if each not in known)
    # What follows from Kubernetes' version is chosen anew; the others stay, or become newer.
    module = re.sub(r"^\tk8s\.io/\S+ v\S+ // indirect\n", "", module, flags=re.MULTILINE)
    (work / "go.mod").write_text(module + "\n" + new)
    # -e: tests of others, which we do not run, import what is nowhere.
    _run(go, "mod", "tidy", "-e", where=work, what=f"Choosing the modules of Kubernetes {wanted}")


def write_pins(wanted: str) -> None:
    """Change the sources' own go.mod and go.sum to another version of Kubernetes."""
    go = _go()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        prepare(go, work, pinned_version())
        pin(go, work, wanted)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(work / name, SOURCES / name)


def _compile(go: str, work: Path, target: Path, packages: tuple[str, ...], progress: Progress) -> None:
    """Build commands; tell now and then how many packages are done."""
    command = ["nice", "-n", "5", go, "build", "-v", *FLAGS, _linking(), "-o", f"{target}/", *packages]
    seen, told = 0, progress.seconds
    last: list[str] = []
    with subprocess.Popen(
        command, cwd=work, env=_environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            last = [*last[-4:], line.strip()]
            seen += 1
            if progress.seconds - told > 30:
                told = progress.seconds
                progress(f"building: {seen} packages so far")
    if process.returncode:
        raise ClusterError(f"Building {' '.join(packages)} failed: {' / '.join(last)}")


def _write_images(binaries: Path, target: Path) -> None:
    """Write the archives of the images that the cluster itself needs."""
    names = images()
    busybox = Path("/bin/busybox")
    write_image(
        target / "busybox.tar",
        names["busybox"],
        {
            **{f"/bin/{applet}": busybox for applet in _APPLETS},
            "/bin/probe": binaries / "probe",
            "/etc/passwd": b"root:x:0:0:root:/:/bin/sh\n",
        },
        {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
    )
    for name, user in (
        ("pause", "65535"),
        ("coredns", "65532"),
        ("local-path-provisioner", ""),
        ("traefik", "65532"),
    ):
        entry = f"/bin/{name}"
        write_image(
            target / f"{name}.tar",
            names[name],
            {entry: binaries / name},
            {"Entrypoint": [entry], "User": user, "Env": ["PATH=/bin"]},
        )


def build(settings: Settings, progress: Progress) -> Path:
    """Return the folder of the binaries; build them if they are not there."""
    target = folder(settings)
    if target.exists():
        return target
    go = _go()
    settings.cache.mkdir(parents=True, exist_ok=True)
    progress(f"building Kubernetes {version()} and its add-ons, once; several minutes on two cores")
    with tempfile.TemporaryDirectory(dir=settings.cache, prefix="build-") as scratch:
        work, made = Path(scratch, "work"), Path(scratch, "made")
        made.mkdir()
        prepare(go, work, version())
        _run(go, "mod", "download", where=work, what="Fetching the modules")
        progress("modules are here")
        for packages in COMMANDS:
            _compile(go, work, made, packages, progress)
            progress(f"built {', '.join(name.rsplit('/', 1)[-1] for name in packages)}")
        (made / "kubectl").symlink_to("kubernetes")
        _write_images(made, made / "images")
        made.rename(target)
    return target
