"""buildah, with a storage of the project's own."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Buildah:
    """Run buildah with its storage in one folder."""

    def __init__(self, folder: Path) -> None:
        self.command = [
            "buildah",
            "--storage-driver=overlay",
            f"--root={folder / 'storage'}",
            f"--runroot={folder / 'run'}",
        ]

    def run(self, *arguments: str) -> str:
        """Run a command of buildah and return what it prints.

        Raises:
            RuntimeError: it failed; the error has the end of what it said.
        """
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"buildah {arguments[0]} failed:\n{(done.stdout + done.stderr)[-5000:]}")
        return done.stdout.strip()

    def has(self, name: str) -> bool:
        """Return whether an image is in the storage."""
        command = [*self.command, "inspect", "--type=image", name]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
