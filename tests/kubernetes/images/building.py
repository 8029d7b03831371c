"""From the Dockerfiles of `images/` to archives that containerd loads, without a registry.

Each of them is built as an admin builds it; only its base stands for the public one, which cannot be
fetched here. What is built is kept by a hash of all that goes into it, so that nothing is built twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from scalablehub.local import proxy
from tests.alone import alone
from tests.kubernetes.cluster import packages, versions
from tests.kubernetes.cluster.settings import cache_dir
from tests.kubernetes.images import debian
from tests.kubernetes.images.buildah import Buildah

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
BASES = Path(__file__).parent / "bases"
BASE_OF = {"hub": "hub", "user": "notebook", "gateway": "gateway"}
"""Each image, and the folder of `bases/` that stands for its public base."""

DEBIAN_PACKAGES = ("ca-certificates", "nodejs", "python3", "r-base-core", "r-cran-irkernel", "tini")
"""What the images ask Debian for, each what it needs of it."""

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_KEPT = 4  # of each image, as archives: enough for the variants of one run
_NO_RSTUDIO = {"RSTUDIO": ""}


@dataclass(frozen=True)
class ImageTar:
    """An image in an archive, for `ctr images import`.

    Attributes:
        path: of the archive.
        name: of the image, with a tag that changes with its content.
        size_bytes: of the archive, which is not compressed.
        seconds: that building it took; 0 for one that was there.
    """

    path: Path
    name: str
    size_bytes: int
    seconds: float = field(default=0, compare=False)


def build(name: str, base: str = "trixie", *, jupyterhub: int = 5, r: bool = True) -> ImageTar:
    """Return one of the project's images, which is built if it is not there yet.

    Args:
        name: of a folder of `images/`: hub, user or gateway.
        base: the Debian release under it, which decides its Python: see `debian.PYTHONS`.
        jupyterhub: major version of the hub.
        r: whether the user image has R; without it the build is shorter.

    Raises:
        Unsupported: what building takes is missing, and cannot be installed.
        RuntimeError: it cannot be built here; the error has the end of the build's own words.
    """
    started = time.monotonic()
    scalablehub = _digest_of_package()
    arguments: dict[str, str] = {}
    if name == "user":
        arguments |= _NO_RSTUDIO if r else _NO_RSTUDIO | {"R_PACKAGES": ""}
    lock = {"LOCK": "requirements-jupyterhub-6.txt"} if name == "hub" and jupyterhub == 6 else {}

    base_key = _digest(
        debian.recipe(base), lock, BASES / BASE_OF[name], *([proxy_folder()] if name == "hub" else [])
    )
    key = _digest(
        base_key, arguments, IMAGES / name, IMAGES / "constraints.txt", "" if name == "user" else scalablehub
    )
    image = f"localhost/scalablehub-{name}:{key}"
    folder = cache_folder()
    archive = folder / f"{name}-{key}.tar"
    with alone(folder, name):
        if archive.exists():
            archive.touch()
            return ImageTar(archive, image, archive.stat().st_size)
        buildah = Buildah(folder)
        debian_image = f"localhost/scalablehub-debian-{base}:{_digest(debian.recipe(base))}"
        with alone(folder, "debian"):
            packages.install(packages.IMAGES)
            debian.ensure(buildah, base, debian_image)
        base_image = f"localhost/scalablehub-base-{BASE_OF[name]}:{base_key}"
        if not buildah.has(base_image):
            _build_base(buildah, BASE_OF[name], base_image, {"BASE": debian_image} | lock)
        with tempfile.TemporaryDirectory() as temporary:
            mounts = {}
            if name != "user":
                wheel = _build_wheel(Path(temporary))
                # The key is in the path, since buildah does not look at mounts when it takes a layer again.
                mounts = {temporary: f"/mnt/{scalablehub}"}
                arguments |= {"SCALABLEHUB": f"/mnt/{scalablehub}/{wheel.name}"}
            _bud(
                buildah,
                IMAGES / name,
                IMAGES,
                image,
                arguments={"BASE": base_image} | arguments,
                mounts=mounts,
            )
        _export(buildah, image, archive)
        _forget_old(buildah, folder, name)
    return ImageTar(archive, image, archive.stat().st_size, time.monotonic() - started)


def section(name: str, base: str) -> str:
    """Return where the packages of an image are in the record of versions."""
    return f"{base} {name} image"


def packages_in(image: ImageTar) -> dict[str, str]:
    """Return the versions of the Debian packages in an image; none if only its archive is left."""
    listed = image.path.with_suffix(".packages")
    buildah = Buildah(cache_folder())
    if not listed.exists() and buildah.has(image.name):
        container = buildah.run("from", "--pull-never", image.name)
        try:
            root = Path(buildah.run("mount", container))
            listed.write_text(json.dumps(versions.installed(DEBIAN_PACKAGES, root)))
        finally:
            buildah.run("rm", container)
    found: dict[str, str] = json.loads(listed.read_text()) if listed.exists() else {}
    return found


def cache_folder() -> Path:
    """Return the folder of what was built, which is made if it is missing."""
    folder = cache_dir() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def proxy_folder() -> Path:
    """Return the folder with the proxy's package and lock files."""
    return Path(proxy.__file__).parent


def _build_base(buildah: Buildah, base: str, image: str, arguments: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary) / base
        shutil.copytree(BASES / base, context)
        if base == "hub":
            _install_proxy(context / "proxy")
        _bud(buildah, context, context, image, arguments=arguments, mounts={})


def _install_proxy(folder: Path) -> None:
    """Install configurable-http-proxy as a hub on one machine does, but with this machine's npm."""
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(proxy_folder() / name, folder / name)
    node, npm = proxy.find_node()
    subprocess.run(
        [*npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=folder,
        env=os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        check=True,
    )


def _build_wheel(folder: Path) -> Path:
    """Build scalablehub as it is in this checkout, without leaving anything in the checkout."""
    source = folder / "source"
    for path in _package_files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    wheels = folder / "wheels"
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(wheels),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(
            f"scalablehub's wheel could not be built:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    (built,) = wheels.glob("*.whl")
    return built.rename(folder / built.name)


def _bud(
    buildah: Buildah,
    folder: Path,
    context: Path,
    image: str,
    *,
    arguments: dict[str, str],
    mounts: dict[str, str],
) -> None:
    """Build an image; what only the build needs is mounted, so that nothing of it stays in the image."""
    uv = shutil.which(
        "uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    )
    if uv is None:
        raise RuntimeError("Building images takes uv; run: pip install uv")
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    Path(cache).mkdir(parents=True, exist_ok=True)
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or _CERTIFICATES
    with tempfile.TemporaryDirectory() as temporary:
        pip, tool = Path(temporary) / "pip.conf", Path(temporary) / "uv.toml"
        pip.write_text(f"[global]\ncert = {_CERTIFICATES}\n")
        tool.write_text('cache-dir = "/mnt/uv-cache"\nlink-mode = "copy"\nnative-tls = true\n')
        mounted = mounts | {
            certificates: f"{_CERTIFICATES}:ro",
            str(pip): "/etc/pip.conf:ro",
            str(tool): "/etc/uv/uv.toml:ro",
            cache: "/mnt/uv-cache",
            uv: "/mnt/uv:ro",
        }
        buildah.run(
            "bud",
            "--isolation=chroot",
            "--network=host",
            "--layers",
            "--pull-never",
            *(f"--volume={source}:{target}" for source, target in mounted.items()),
            *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            f"--file={folder / 'Dockerfile'}",
            f"--tag={image}",
            str(context),
        )


def _export(buildah: Buildah, image: str, archive: Path) -> None:
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    buildah.run("push", "--quiet", image, f"docker-archive:{partial}:{image}")
    partial.rename(archive)


def _forget_old(buildah: Buildah, folder: Path, name: str) -> None:
    """Remove what was not used for longest: every change of scalablehub makes new images."""
    archives = sorted(folder.glob(f"{name}-*.tar"), key=lambda archive: archive.stat().st_mtime)
    for archive in archives[:-_KEPT]:
        archive.unlink()
        archive.with_suffix(".packages").unlink(missing_ok=True)
        old = archive.stem.replace("-", ":")
        if buildah.has(f"localhost/scalablehub-{old}"):
            buildah.run("rmi", "--force", f"localhost/scalablehub-{old}")


def _digest_of_package() -> str:
    return _digest(*_package_files())


def _package_files() -> list[Path]:
    """Return the files that scalablehub's wheel is made of."""
    files = [ROOT / name for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")]
    for folder in (ROOT / "scalablehub", ROOT / "jupyterhub_config.d"):
        files += [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(files)


def _digest(*parts: object) -> str:
    """Return twelve digits that change with the parts; of a file or folder, with its content."""
    total = hashlib.sha256()
    for part in parts:
        if not isinstance(part, Path):
            total.update(repr(part).encode())
        for path in sorted(part.rglob("*")) if isinstance(part, Path) and part.is_dir() else [part]:
            if isinstance(path, Path) and path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()[:12]
