"""Runs the service until SIGTERM: `python -m scalablehub.services.dask_gateway`."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys

from scalablehub.services.dask_gateway.app import Front
from scalablehub.services.dask_gateway.settings import Settings, read_settings
from scalablehub.services.running import run


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises OSError when the address is taken."""
    front = Front(settings)
    await front.start()
    # A full collection halts every websocket. What is there by now stays, and is not looked at again.
    gc.collect()
    gc.freeze()
    logging.getLogger(__name__).info("Serving %s at port %s", settings.prefix, front.port)
    await stop.wait()
    await front.close()


def main() -> int:
    """Return the exit code: 0 after a requested end, 2 when the environment is not that of a service."""
    # They log queries, codes and other people's text.
    return run(read_settings, serve, quiet={"tornado": logging.ERROR, "aiohttp": logging.ERROR})


if __name__ == "__main__":
    sys.exit(main())
