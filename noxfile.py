"""The tests, against each JupyterHub and Python that is supported: ``nox``, or ``nox -s tests``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "tests", "others", "kubernetes"]
nox.options.error_on_missing_interpreters = True

EXTRAS = ".[local,kubernetes,test]"
# Each file in one process, since its tests share a hub, and the long ones of `tests/browser` first.
AT_ONCE = ("-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder")


def newest_python() -> str:
    """Return the newest interpreter of this machine that is supported, or this one."""
    for minor in (14, 13, 12):
        on_path = shutil.which(f"python3.{minor}")
        of_pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        for candidate in filter(None, (on_path, *map(str, of_pyenv))):
            # pyenv leaves commands on the PATH for interpreters that are not switched on.
            if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
                return candidate
    return sys.executable


@contextmanager
def images_built_beside() -> Iterator[None]:
    """Build images while Kubernetes is compiled, since they wait for downloads half of the time.

    What fails here fails again for the first test that needs it, which tells.
    """
    command = [sys.executable, "-m", "tests.kubernetes.images", "--older"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) if os.geteuid() == 0 else nullcontext():
        yield


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style and types, with the tools of the environment that runs nox."""
    python = sys.executable
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "mypy", external=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all that this machine can do by itself, in the environment that runs nox: the newest JupyterHub."""
    session.run(
        sys.executable, "-m", "pytest", *AT_ONCE, "--ignore=tests/kubernetes", *session.posargs, external=True
    )


@nox.session(python=newest_python())
def others(session: nox.Session) -> None:
    """Run what depends on versions, with the newest Python and JupyterHub 5.5, zero-to-jupyterhub's own.

    Left out are the browser's tests, and the long ones that are marked ``once``.
    """
    session.install("-e", EXTRAS, "jupyterhub==5.5.*")
    session.run(
        "pytest", *AT_ONCE, "-m", "not browser and not once", "--ignore=tests/kubernetes", *session.posargs
    )


@nox.session(venv_backend="none")
def kubernetes(session: nox.Session) -> None:
    """Run what needs a Kubernetes cluster: the one of KUBECONFIG, or one that is made here, as root."""
    with images_built_beside():
        session.run(sys.executable, "-m", "pytest", "tests/kubernetes", *session.posargs, external=True)
