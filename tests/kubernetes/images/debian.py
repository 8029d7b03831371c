"""Debian made on the spot: the base of every image of the tests, where no registry can be reached."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.kubernetes.images.buildah import Buildah

PYTHONS = {"trixie": "3.13", "bookworm": "3.11"}
"""The releases that are used, each with its Python."""

_RECIPE = "3"  # another number makes every base, and so every image, anew


def recipe(release: str) -> str:
    """Return what identifies the base of a release."""
    return f"debian {release} {_RECIPE}"


def ensure(buildah: Buildah, release: str, name: str) -> None:
    """Make the base image of a release, if it is not there."""
    if buildah.has(name):
        return
    container = buildah.run("from", "scratch")
    try:
        root = Path(buildah.run("mount", container))
        with tempfile.TemporaryDirectory() as logs:
            log = Path(logs) / "log"
            command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", release, str(root)]
            with log.open("wb") as output:
                done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"debootstrap {release} failed:\n{log.read_text()[-3000:]}")
        _slim(root)
        buildah.run("config", "--cmd", "bash", container)
        buildah.run("commit", "--quiet", container, name)
    finally:
        buildah.run("rm", container)


def _slim(root: Path) -> None:
    """Leave out what no container reads, and the waits for a disk that a build does not need."""
    configuration = root / "etc" / "dpkg" / "dpkg.cfg.d" / "scalablehub-tests"
    folders = ("doc", "man", "info", "locale")
    lines = [*(f"path-exclude=/usr/share/{folder}/*" for folder in folders), "force-unsafe-io"]
    configuration.write_text("\n".join(lines) + "\n")
    # apt makes these two anew for each command; they are 90 MB.
    caches = root / "etc" / "apt" / "apt.conf.d" / "scalablehub-tests"
    caches.write_text('Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n')
    for folder in (*(Path("usr/share") / folder for folder in folders), Path("var/lib/apt/lists")):
        shutil.rmtree(root / folder, ignore_errors=True)
    for left in (root / "var" / "cache" / "apt").rglob("*"):
        if left.suffix in {".deb", ".bin"}:
            left.unlink()
