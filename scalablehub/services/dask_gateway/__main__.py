"""Runs the service until SIGTERM: `python -m scalablehub.services.dask_gateway`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys

from scalablehub.processes import die_with_parent
from scalablehub.services.dask_gateway.app import Front
from scalablehub.services.dask_gateway.settings import Settings, SettingsError, read_settings


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises OSError when the address is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
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
    parent = os.getppid()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # They log queries, codes and other people's text.
    logging.getLogger("tornado").setLevel(logging.ERROR)
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    die_with_parent(signal.SIGTERM, parent)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        print(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
