"""Dask's TLS on every image: a cure of a fault of Python, which the hub and the gateway hand out.

With the fault, of which `tls_cure.py` tells, clusters lose workers as soon as any connection breaks. The
scheduler, the workers and the client need the cure. An image cannot be trusted to have it, and a community's
own has nothing of ours; but Dask runs a text that it is given before it opens a connection: by an option of
its commands, or by the environment. So no image needs anything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def cure() -> str:
    """Return the cure as one line of text, which Dask takes for the module of a `preload`."""
    source = (Path(__file__).parent / "tls_cure.py").read_text(encoding="utf-8")
    return f"exec({source!r})"


def client_environment() -> dict[str, str]:
    """Return the variables with which Dask clients cure themselves, without a word of it in notebooks."""
    quiet = {"distributed.preloading": "warning", "distributed.utils": "warning"}
    return {"DASK_DISTRIBUTED__CLIENT__PRELOAD": cure(), "DASK_LOGGING": repr(quiet)}


def scheduler_options() -> list[str]:
    """Return the options with which `dask scheduler` cures itself; with an option it reads no variable."""
    return ["--preload", cure()]


def worker_options() -> list[str]:
    """Return the options with which `dask worker` and its nanny cure themselves."""
    return ["--preload", cure(), "--preload-nanny", cure()]
