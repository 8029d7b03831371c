"""What one process at a time may do, of all that run tests on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Let nobody else, in this process or another, build what goes by that name in a folder."""
    with (folder / f"{name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield
