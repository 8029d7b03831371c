"""What this machine has, and what it lacks of what a description offers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from scalablehub.description import Capacity, Description

THIS_ENVIRONMENT = "this-environment"


def measure_machine() -> Capacity:
    """Return the cores and the bytes of memory that processes here may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Capacity(float(cores), psutil.virtual_memory().total)


def locate_images(description: Description) -> Description:
    """Return the description with the folder of each environment.

    ``this-environment`` is the one that we run in; ``~`` is our home, and others begin where we were started.
    """
    raw = description.model_dump()
    for image in raw["images"].values():
        if image["prefix"] == THIS_ENVIRONMENT:
            image["prefix"] = sys.prefix
        elif image["prefix"] is not None:
            image["prefix"] = str(Path(image["prefix"]).expanduser().absolute())
    return Description.model_validate(raw)


def find_lacks(description: Description) -> dict[str, str]:
    """Return what cannot be had here: a place of the description to the reason, in a sentence."""
    lacks = {}
    usable = {}
    for name, image in description.images.items():
        prefix = Path(image.prefix or "")
        needed = _missing_commands(["jupyterhub-singleuser", "python"], str(prefix / "bin"))
        if needed:
            lacks[f"images.{name}"] = f"There is no {needed[0]} in {prefix}."
        else:
            usable[name] = prefix
    for name, interface in description.interfaces.items():
        prefixes = [
            prefix
            for image, prefix in usable.items()
            if (offered := description.images[image].interfaces) is None or name in offered
        ]
        missing = next(
            (
                what
                for prefix in prefixes
                for what in _missing(prefix, interface.packages, interface.commands)
            ),
            None,
        )
        if missing:
            lacks[f"interfaces.{name}"] = f"Not on this machine: {missing} is not installed."
    for name, directory in description.directories.items():
        if directory.path is None or not (Path(directory.path) / (directory.folder or "")).is_dir():
            lacks[f"directories.{name}"] = "Not on this machine."
    return lacks


def _missing(prefix: Path, packages: Sequence[str], commands: Sequence[str]) -> list[str]:
    path = f"{prefix / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return [*_missing_commands(commands, path), *_missing_packages(prefix, packages)]


def _missing_commands(commands: Sequence[str], path: str) -> list[str]:
    return [command for command in commands if shutil.which(command, path=path) is None]


def _missing_packages(prefix: Path, packages: Sequence[str]) -> list[str]:
    if prefix == Path(sys.prefix):
        return [package for package in packages if importlib.util.find_spec(package) is None]
    program = (
        "import importlib.util, sys; print(*[p for p in sys.argv[1:] if not importlib.util.find_spec(p)])"
    )
    if not packages:
        return []
    try:
        found = subprocess.run(
            [str(prefix / "bin" / "python"), "-c", program, *packages],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return list(packages)  # a Python that does not run has none of them
    return found.stdout.split()
