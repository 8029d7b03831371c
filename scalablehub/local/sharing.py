"""Folders that people share on one machine: links in each home to those that its user may have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from scalablehub.decisions import DirectoryChoice


def link_directories(home: Path, directories: Iterable[DirectoryChoice], warn: Callable[[str], None]) -> None:
    """Have exactly the links that the user may have; what is theirs under such a name stays.

    What somebody may do in a folder is up to its own rights: servers of one machine are not kept apart.

    Args:
        home: the user's home.
        directories: all of the description's, with whether they are the user's.
        warn: is told what could not be done.
    """
    for directory in directories:
        if directory.path is None:
            continue
        target = Path(directory.path) / (directory.folder or "")
        link = home / Path(directory.mount).name
        try:
            if link.is_symlink() and link.readlink() == target and not directory.is_open:
                link.unlink()
            elif directory.is_open and not link.is_symlink() and not link.exists():
                link.symlink_to(target, target_is_directory=True)
            elif directory.is_open and not (link.is_symlink() and link.readlink() == target):
                warn(f"{link.name} in {home.name} is the user's own, so {directory.name} is not linked there")
        except OSError as error:
            warn(f"{directory.name} is not linked in {home.name}: {error.strerror or error}")
