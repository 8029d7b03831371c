"""Cures of faults that every image may have, which the hub and the gateway hand out.

* Python's: with it, clusters lose workers as soon as any TLS connection breaks (`tls_cure.py`). The
  scheduler, the workers and the client need the cure.
* dask-gateway's: with it, a notebook may hang after a few clusters (`client_cure.py`).
* The Dask panel's: clients that it writes lack the keys of a gateway's cluster (`address_cure.py`).

An image cannot be trusted to have a cure, and a community's own has nothing of ours; but Dask runs a text
that it is given before it opens a connection: by an option of its commands, or by the environment. So no
image needs anything.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def cure(*files: str) -> str:
    """Return cures as one line of text, which Dask takes for the module of a `preload`.

    Args:
        files: names of those that it consists of, in this folder.
    """
    texts = [(Path(__file__).parent / file).read_text(encoding="utf-8") for file in files]
    return "; ".join(f"exec({text!r})" for text in texts)


TLS, CLIENT, ADDRESS = "tls_cure.py", "client_cure.py", "address_cure.py"


def client_environment() -> dict[str, str]:
    """Return the variables with which Dask clients cure themselves, without a word of it in notebooks."""
    quiet = {"distributed.preloading": "warning", "distributed.utils": "warning"}
    return {"DASK_DISTRIBUTED__CLIENT__PRELOAD": cure(TLS, CLIENT, ADDRESS), "DASK_LOGGING": repr(quiet)}


def scheduler_options() -> list[str]:
    """Return the options with which `dask scheduler` cures itself; with an option it reads no variable."""
    return ["--preload", cure(TLS)]


def worker_options() -> list[str]:
    """Return the options with which `dask worker` and its nanny cure themselves."""
    return ["--preload", cure(TLS), "--preload-nanny", cure(TLS)]
