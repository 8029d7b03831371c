"""Our own containerd: its images, and the end of everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from .errors import ClusterError
from .images import described
from .packages import PATH
from .settings import Settings

_LABEL = "scalablehub.digest"
_CGROUPS = Path("/sys/fs/cgroup")


def ctr(settings: Settings, *arguments: str, timeout_seconds: float = 300) -> str:
    """Run containerd's client in the namespace of Kubernetes' images and containers."""
    command = ["ctr", "--address", str(settings.containerd_socket), "--namespace", "k8s.io", *arguments]
    run = subprocess.run(
        command,
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )
    if run.returncode:
        log = settings.logs / "containerd.log"
        raise ClusterError(
            f"containerd: 'ctr {' '.join(arguments[:2])}' says: {run.stderr.strip()} (log: {log})"
        )
    return run.stdout


def images(settings: Settings) -> dict[str, str]:
    """Return the images that are there, by name, with the digest that they were loaded with."""
    found = {}
    for line in ctr(settings, "images", "ls").splitlines()[1:]:
        name, *_, labels = line.split()
        found[name] = dict(pair.split("=", 1) for pair in labels.split(",") if "=" in pair).get(_LABEL, "")
    return found


def load_image(settings: Settings, tar: Path, name: str) -> bool:
    """Make the image of a tar known under a name; return False if it already is."""
    digest, own_name = described(tar)
    if images(settings).get(name) == digest:
        return False
    ctr(settings, "images", "import", "--snapshotter", "overlayfs", str(tar))
    if own_name != name:
        ctr(settings, "images", "tag", "--force", own_name, name)
    ctr(settings, "images", "label", name, f"{_LABEL}={digest}")
    return True


def _hierarchies() -> list[Path]:
    """Return where cgroups are made: one place in version 2, one for each controller in version 1."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [each for each in _CGROUPS.iterdir() if (each / "cgroup.procs").exists() and not each.is_symlink()]


def make_cgroups(settings: Settings) -> list[Path]:
    """Make the cluster's cgroup in every hierarchy, and return those that parts are put in, and stay in."""
    for hierarchy in _hierarchies():
        with suppress(OSError):
            (hierarchy / settings.cgroup).mkdir(exist_ok=True)
    parts = [each / settings.cgroup / "parts" for each in _marking()]
    for each in parts:
        each.mkdir(exist_ok=True)
    return parts


def _marking() -> list[Path]:
    """Return the hierarchy that tells which processes are ours; pods and their shims stay in it."""
    hierarchies = _hierarchies()
    for preferred in ("pids", "memory"):
        if _CGROUPS / preferred in hierarchies:
            return [_CGROUPS / preferred]
    return hierarchies[:1]


def members(settings: Settings) -> list[int]:
    """Return the processes of the cluster's cgroup: parts, shims and pods, and nobody else's."""
    found = []
    for hierarchy in _marking():
        for procs in (hierarchy / settings.cgroup).glob("**/cgroup.procs"):
            with suppress(OSError):
                found += [int(line) for line in procs.read_text().split()]
    return found


def end_members(settings: Settings, patience_seconds: float = 20) -> None:
    """Kill all that is in the cluster's cgroup."""
    deadline = time.monotonic() + patience_seconds
    while found := members(settings):
        if time.monotonic() > deadline:
            raise ClusterError(f"These processes of the Kubernetes cluster do not end: {found}.")
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


def remove_cgroups(settings: Settings) -> None:
    """Remove the cluster's cgroups, which are empty now."""
    for hierarchy in _hierarchies():
        top = hierarchy / settings.cgroup
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def mounts(settings: Settings) -> list[str]:
    """Return what is mounted in the cluster's folders, the deepest first."""
    ours = (f"{settings.run}/", f"{settings.sockets}/")
    found = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    decoded = [point.encode().decode("unicode_escape") for point in found]
    return [point for point in reversed(decoded) if point.startswith(ours)]


def unmount(settings: Settings) -> None:
    """Unmount volumes, root file systems and network namespaces of pods."""
    while points := mounts(settings):
        run = subprocess.run(
            ["umount", "--lazy", "--", *points],
            env={"PATH": PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode and mounts(settings) == points:
            raise ClusterError(f"These mounts of the Kubernetes cluster stay: {run.stderr.strip()}")
