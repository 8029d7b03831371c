"""Homes that take no files, as file systems make them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


def cannot(reason: str) -> NoReturn:
    """Skip the test; on CI, where everything must run, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def root(*command: str) -> None:
    """Run a command as root, or do without the test."""
    done = subprocess.run([*_AS_ROOT, *command], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        cannot(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, options: str = "size=2m") -> Iterator[Path]:
    """Have a file system of its own in a folder until the block ends, by default one of two megabytes."""
    folder.mkdir(parents=True, exist_ok=True)
    own = f"uid={os.geteuid()},gid={os.getegid()},mode=700"
    root("mount", "-t", "tmpfs", "-o", f"{options},{own}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        root("umount", "--lazy", str(folder))


@contextmanager
def frozen(image: Path, folder: Path) -> Iterator[Path]:
    """Have a file system that answers no write until the block ends: who writes waits."""
    folder.mkdir()
    with image.open("wb") as disk:
        disk.truncate(8 * 2**20)
    root("mkfs.ext4", "-q", str(image))
    root("mount", "-o", "loop", str(image), str(folder))
    try:
        root("chown", f"{os.geteuid()}:{os.getegid()}", str(folder))
        root("fsfreeze", "--freeze", str(folder))
        try:
            yield folder
        finally:
            root("fsfreeze", "--unfreeze", str(folder))
    finally:
        root("umount", "--lazy", str(folder))


def fill(folder: Path, name: str = "results.bin") -> None:
    """Write a file into the folder until no byte more goes in."""
    with (folder / name).open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
