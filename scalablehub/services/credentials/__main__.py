"""Runs the service until SIGTERM: `python -m scalablehub.services.credentials`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping

import aiohttp

from scalablehub.dask.source import DescriptionSource
from scalablehub.description import Description
from scalablehub.errors import PublicError
from scalablehub.services.credentials.app import Service
from scalablehub.services.credentials.identity import HubIdentity
from scalablehub.services.credentials.settings import Settings, new_backend, read_settings
from scalablehub.services.credentials.tokens import signing_key
from scalablehub.services.running import run


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises OSError when the address is taken."""
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


def _read(environ: Mapping[str, str]) -> Settings:
    """Return the settings, if what their backend needs is installed."""
    settings = read_settings(environ)
    new_backend(settings)
    return settings


def main() -> int:
    """Return the exit code: 0 after a requested end, 2 when the environment is not that of a service."""
    # They log addresses, headers and other people's text.
    quiet = dict.fromkeys(("aiohttp", "botocore", "aiobotocore"), logging.CRITICAL)
    return run(_read, serve, quiet=quiet)


if __name__ == "__main__":
    sys.exit(main())
