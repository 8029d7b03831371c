"""The program that runs in an image, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from scalablehub.errors import PublicError, shown

PACKAGES = (
    "jupyterhub",
    "jupyter_server",
    "jupyterlab",
    "notebook",
    "dask",
    "distributed",
    "dask-gateway",
    "dask-labextension",
    "jupyter-server-proxy",
    "jsonschema",
    "rfc3987-syntax",
)
COMMANDS = ("jupyterhub-singleuser", "dask", "dask-scheduler", "R")

_MARK = "scalablehub-report "


class Asked(BaseModel):
    """What an image is asked for, by name."""

    model_config = ConfigDict(frozen=True)

    packages: tuple[str, ...] = PACKAGES
    modules: tuple[str, ...] = ()
    commands: tuple[str, ...] = COMMANDS

    @property
    def argument(self) -> str:
        """The program's argument."""
        return self.model_dump_json()

    def also(self, modules: Iterable[str] = (), commands: Iterable[str] = ()) -> Asked:
        """Return the same with more Python modules and commands."""
        return Asked(
            packages=self.packages,
            modules=tuple(dict.fromkeys((*self.modules, *modules))),
            commands=tuple(dict.fromkeys((*self.commands, *commands))),
        )


class Report(BaseModel):
    """What an image says of itself.

    Attributes:
        python: version of its `python3`.
        openssl: what that Python's TLS is.
        uid: that the image runs with, if nobody says another.
        home: the home folder of that user, and whether the user can write there.
        packages: version of each package that was asked for; None where it is missing.
        modules: whether each Python module that was asked for is there.
        commands: path of each command that was asked for; None where it is missing.
        kernels: names of Jupyter kernels.
        tls_needs_cure: whether a broken TLS connection breaks others; None if that could not be tried.
    """

    model_config = ConfigDict(frozen=True)

    python: str
    openssl: str
    uid: int
    home: str
    home_writable: bool
    packages: Mapping[str, str | None]
    modules: Mapping[str, bool]
    commands: Mapping[str, str | None]
    kernels: tuple[str, ...]
    tls_needs_cure: bool | None


def probe_program() -> str:
    """Return the program, for `python3 -` with what is asked as its argument."""
    return (Path(__file__).parent / "probe.py").read_text(encoding="utf-8")


def read_report(output: str) -> Report:
    """Return the report in what the program printed; an image's own start-up may print before it.

    Raises:
        PublicError: there is none.
    """
    line = next((line for line in reversed(output.splitlines()) if line.startswith(_MARK)), None)
    try:
        if line is not None:
            written: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return Report.model_validate(written)
    except (json.JSONDecodeError, ValidationError):
        pass
    last = output.strip().rpartition("\n")[2]
    said = f"it said {shown(last)}" if last else "it said nothing"
    raise PublicError("image-silent", f"The image ran, but gave no report; {said}.")
