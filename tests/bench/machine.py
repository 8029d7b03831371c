"""What a result was measured on: no names of hosts, people or folders."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent.parent
_PACKAGES = ("aiohttp", "jupyterhub", "jupyterlab", "dask-gateway", "dask-gateway-server", "distributed")


def facts(proxy_command: list[str]) -> dict[str, Any]:
    """Return the machine's size and the versions of what is measured."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "node": _said([proxy_command[0], "--version"]),
        "configurable-http-proxy": _said([*proxy_command, "--version"]),
        **{name: version(name) for name in _PACKAGES},
    }


def commit() -> tuple[str, bool]:
    """Return the short id of the commit, and whether the package differs from it."""
    short = _said(["git", "-C", str(ROOT), "rev-parse", "--short=7", "HEAD"])
    changed = _said(["git", "-C", str(ROOT), "status", "--porcelain", "--", "scalablehub"])
    return short or "unknown", bool(changed)


def load() -> float:
    """Return how many processes wanted a core over the last minute."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
