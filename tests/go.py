"""Programs of other projects, built once from their Go modules and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.alone import alone
from tests.kubernetes.cluster.settings import cache_dir


def go_program(package: str, version: str) -> Path:
    """Return a program, building it where this version is not in the cache yet (a minute or two of CPU).

    Args:
        package: its path, whose last part is the program's name.
        version: of its module.
    """
    name = package.rpartition("/")[2]
    folder = cache_dir() / name / version
    found = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, name):
        if not found.exists():
            go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
            assert go, f"these tests build {name}, which needs Go; install it (https://go.dev/dl)"
            work = folder / "building"
            environment = os.environ | {"CGO_ENABLED": "0", "GOBIN": str(work), "GOTOOLCHAIN": "local"}
            command = [go, "install", "-trimpath", "-ldflags=-s -w", f"{package}@{version}"]
            run = subprocess.run(
                ["nice", "-n", "10", *command], env=environment, capture_output=True, text=True, check=False
            )
            assert run.returncode == 0, f"building {name} failed: {run.stderr[-2000:]}"
            (work / name).replace(found)
            work.rmdir()
    return found
