"""How schedulers and workers are started, in images of every age.

Dask's commands were `dask-scheduler` and `dask-worker` until late in 2022, and today are `dask scheduler` and
`dask worker` alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from scalablehub.dask.cures import scheduler_options, worker_options

Part = Literal["scheduler", "worker"]

# The part is $0. Whatever runs takes the place of the shell, and with it the signals.
_WHICHEVER = 'command -v dask >/dev/null 2>&1 && exec dask "$0" "$@"; exec "dask-$0" "$@"'


def options_of(part: Part) -> list[str]:
    """Return the options that a part of a cluster has with us."""
    return scheduler_options() if part == "scheduler" else worker_options()


def command_in_image(part: Part) -> list[str]:
    """Return the command of a scheduler or worker in a container image, of which nothing is known."""
    return ["sh", "-c", _WHICHEVER, part, *options_of(part)]


def command_in_prefix(part: Part, prefix: Path) -> list[str]:
    """Return the command of a scheduler or worker in an environment of this machine.

    Args:
        part: which of both.
        prefix: of the environment, whose Python is ``bin/python``.
    """
    programs = prefix / "bin"
    is_old = (programs / f"dask-{part}").exists() and not (programs / "dask").exists()
    module = [f"distributed.cli.dask_{part}"] if is_old else ["dask", part]
    return [str(programs / "python"), "-m", *module, *options_of(part)]
