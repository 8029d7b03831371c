"""What images say of themselves, for tests."""

from __future__ import annotations

from typing import Any

from scalablehub.images.probing import Report


def report(**changes: Any) -> Report:
    """Return what a good image says; packages and commands that are given are put in, None takes one out."""
    packages = {
        "jupyterhub": "5.5.2",
        "jupyter_server": "2.21.1",
        "jupyterlab": "4.6.6",
        "notebook": "7.6.5",
        "dask": "2026.8.0",
        "distributed": "2026.8.0",
        "dask-gateway": "2026.3.0",
    }
    commands = {
        "jupyterhub-singleuser": "/opt/env/bin/jupyterhub-singleuser",
        "dask": "/opt/env/bin/dask",
        "R": None,
    }
    raw: dict[str, Any] = {
        "python": "3.13.5",
        "openssl": "OpenSSL 3.5.9",
        "uid": 1000,
        "home": "/home/jovyan",
        "home_writable": True,
        "packages": packages | changes.pop("packages", {}),
        "modules": {"jupyterlab": True, "notebook": True} | changes.pop("modules", {}),
        "commands": commands | changes.pop("commands", {}),
        "kernels": ("python3",),
        "tls_needs_cure": False,
    }
    return Report.model_validate(raw | changes)
