"""Run commands in an image as a container would, without a container engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kubernetes.images.buildah import Buildah
from tests.kubernetes.images.building import ImageTar, cache_folder


class Running:
    """A container of an image, in which commands run."""

    def __init__(self, buildah: Buildah, container: str) -> None:
        self._buildah = buildah
        self._container = container

    def __call__(self, *command: str, user: str | None = None, script: str = "") -> str:
        """Run a command and return its output.

        Args:
            command: with its arguments.
            user: id of user and group, such as '12345:0'; None is the image's own.
            script: what the command reads.

        Raises:
            RuntimeError: it failed; the error has what it said.
        """
        as_user = ["--user", user] if user else []
        done = subprocess.run(
            [*self._buildah.command, "run", "--isolation=chroot", *as_user, self._container, "--", *command],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)[:200]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout.strip()


@contextmanager
def running(image: ImageTar) -> Iterator[Running]:
    """Give a container of an image, which is removed at the end."""
    buildah = Buildah(cache_folder())
    source = image.name if buildah.has(image.name) else f"docker-archive:{image.path}"
    container = buildah.run("from", "--pull-never" if source == image.name else "--pull", source)
    try:
        yield Running(buildah, container)
    finally:
        buildah.run("rm", container)
