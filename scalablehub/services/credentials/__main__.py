"""Runs the service until SIGTERM: `python -m scalablehub.services.credentials`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import aiohttp

from scalablehub.dask.source import DescriptionSource
from scalablehub.description import Description
from scalablehub.errors import PublicError
from scalablehub.processes import die_with_parent
from scalablehub.services.credentials.app import Service
from scalablehub.services.credentials.identity import HubIdentity
from scalablehub.services.credentials.settings import Settings, new_backend, read_settings
from scalablehub.services.credentials.tokens import signing_key
from scalablehub.services.dask_gateway.settings import SettingsError


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises OSError when the address is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    source = DescriptionSource(api_url=settings.api_url, api_token=settings.api_token)

    def description() -> Description:
        try:
            return source.current()
        except PublicError:
            raise PublicError(
                "description-unknown",
                "The credential service has not heard from the hub yet; try again in a minute.",
                503,
            ) from None

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        identity = HubIdentity(
            session,
            settings.api_url,
            settings.api_token,
            signing_key(settings.api_token),
            grace_seconds=settings.grace_seconds,
        )
        service = Service(
            identity,
            new_backend(settings),
            description,
            endpoint=settings.endpoint,
            host=settings.host,
            port=settings.port,
            prefix=settings.prefix,
        )
        await source.start()
        try:
            await service.start()
            logging.getLogger(__name__).info(
                "Giving %s credentials at port %s", settings.backend, service.port
            )
            await stop.wait()
            await service.close()
        finally:
            await source.stop()
            await identity.close()


def main() -> int:
    """Return the exit code: 0 after a requested end, 2 when the environment is not that of a service."""
    parent = os.getppid()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for library in ("aiohttp", "botocore", "aiobotocore"):
        # They log addresses, headers and other people's text.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        settings = read_settings(os.environ)
        new_backend(settings)
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
