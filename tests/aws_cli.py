"""Amazon's command line, in an environment of its own: it wants a botocore of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.alone import alone
from tests.kubernetes.cluster.settings import cache_dir

VERSION = "1.45.11"


def aws_cli() -> Path:
    """Return the command, installing it where this version is not in the cache yet."""
    folder = cache_dir() / f"awscli-{VERSION}-{sys.version_info[0]}.{sys.version_info[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, "venv"):
        done = folder / "done"
        if not done.exists():
            uv = Path(sys.executable).with_name("uv")
            subprocess.run(
                [uv, "venv", "-q", "--clear", "--python", sys.executable, folder / "venv"], check=True
            )
            python = folder / "venv/bin/python"
            subprocess.run([uv, "pip", "install", "-q", "--python", python, f"awscli=={VERSION}"], check=True)
            done.touch()
    return folder / "venv/bin/aws"
