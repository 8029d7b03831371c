"""A size's memory as a limit and its cores as a weight, by control groups where this machine lets us.

Version 2: https://docs.kernel.org/admin-guide/cgroup-v2.html; version 1:
https://docs.kernel.org/admin-guide/cgroup-v1/. Where neither is writable there are no limits, and
`find_cgroups` says so by returning None.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cgroups:
    """The folders in which we may make groups of our own."""

    memory: Path
    cpu: Path
    version: int

    def create(self, name: str, *, cores: float, memory: int) -> list[Path]:
        """Make a group and return its folders; a process joins by its id in ``cgroup.procs``.

        Args:
            name: of the group: one path component.
            cores: how many it gets when others want them too; idle cores are anybody's.
            memory: most bytes.

        Raises:
            OSError: the kernel refuses.
        """
        folders = list(dict.fromkeys((self.memory / name, self.cpu / name)))
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        if self.version == 2:
            (folders[0] / "memory.max").write_text(str(memory))
            (folders[0] / "cpu.weight").write_text(str(min(max(round(cores * 100), 1), 10_000)))
        else:
            (self.memory / name / "memory.limit_in_bytes").write_text(str(memory))
            (self.cpu / name / "cpu.shares").write_text(str(max(round(cores * 1024), 2)))
        return folders

    def remove(self, name: str) -> None:
        """Remove a group that has no processes any more; one that still has some stays."""
        for folder in {self.memory / name, self.cpu / name}:
            try:
                folder.rmdir()
            except OSError:
                continue


def group_prefix(hub_port: int) -> str:
    """Return how the names of all groups of one hub begin."""
    return f"scalablehub-{hub_port}-"


def remove_groups(hub_port: int) -> None:
    """Remove what is left of a hub's groups once its processes have ended: a killed server leaves its own."""
    if groups := find_cgroups():
        for folder in groups.memory.glob(f"{group_prefix(hub_port)}*"):
            groups.remove(folder.name)


def join(folders: list[Path]) -> None:
    """Move the calling process, and so what it starts, into the groups."""
    for folder in folders:
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def find_cgroups(root: Path = _ROOT) -> Cgroups | None:
    """Return where groups with limits can be made, or None where this machine does not let us.

    Version 1: below the root, for a hub that runs as root. Version 2: below the hub's own group, if the
    memory and cpu controllers are delegated to its children.
    """
    memory, cpu = root / "memory", root / "cpu"
    if os.access(memory / "cgroup.procs", os.W_OK) and os.access(cpu / "cgroup.procs", os.W_OK):
        return Cgroups(memory, cpu, version=1)
    own = root / _own_group().lstrip("/")
    try:
        controllers = (own / "cgroup.subtree_control").read_text().split()
    except OSError:
        return None
    if {"memory", "cpu"} <= set(controllers) and os.access(own / "cgroup.procs", os.W_OK):
        return Cgroups(own, own, version=2)
    return None


def _own_group() -> str:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
