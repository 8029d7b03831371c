"""Runs the service until SIGTERM: `python -m scalablehub.services.credentials`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aiohttp

from scalablehub.description import Credentials, GoogleCredentials, S3Credentials
from scalablehub.services.credentials.app import Service
from scalablehub.services.credentials.desk import Desk
from scalablehub.services.credentials.hub_users import HubUsers
from scalablehub.services.credentials.identity import HubIdentity, Identity
from scalablehub.services.credentials.settings import Settings, read_settings
from scalablehub.services.credentials.stores import google_backend, google_desk, s3_backend, s3_desk
from scalablehub.services.credentials.tokens import signing_key
from scalablehub.services.credentials.vending import Limits
from scalablehub.services.running import SettingsError, run
from scalablehub.services.source import DescriptionSource

log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, once the hub has told its description; anew when it has other credentials.

    Raises:
        OSError: the address is taken.
        SettingsError: what the description asks for is not installed here, or its key is not given.
    """
    source = DescriptionSource(
        api_url=settings.api_url,
        api_token=settings.api_token,
        service="credentials",
        role="scalablehub-credentials",
        without="no keys are given",
    )
    await source.start()
    try:
        while not stop.is_set() and (description := await _unless(stop, source.first())) is not None:
            if description.credentials is None:
                raise SettingsError(
                    "The hub's description has no 'credentials': there is nothing to do here."
                )
            await _serve(description.credentials, source, settings, stop)
    finally:
        await source.stop()


async def _serve(
    credentials: Credentials, source: DescriptionSource, settings: Settings, stop: asyncio.Event
) -> None:
    """Serve with these credentials as long as the hub has them."""
    async with _identity(settings, credentials) as identity:
        limits = Limits.of(settings.key_seconds)
        service = Service(
            identity,
            source.current,
            s3=_s3(credentials.s3, settings, limits) if credentials.s3 else None,
            google=_google(credentials.google, limits) if credentials.google else None,
            host=settings.host,
            port=settings.port,
            prefix=settings.prefix,
            on_loopback=settings.namespaces is None,
        )
        await service.start()
        log.info("Giving keys at port %s", service.port)
        try:
            if await _unless(stop, _others(source, credentials)):
                log.info("The hub's description has other credentials; beginning anew with them")
        finally:
            await service.close()


async def _others(source: DescriptionSource, credentials: Credentials) -> bool:
    """Return once the hub has other credentials."""
    description = source.current()
    while description.credentials == credentials:
        description = await source.news()
    return True


def _s3(keys: S3Credentials, settings: Settings, limits: Limits) -> Desk:
    backend = s3_backend(keys, settings.static_keys)
    return s3_desk(backend, keys.endpoint, limits, lists_buckets=bool(keys.lists_buckets))


def _google(tokens: GoogleCredentials, limits: Limits) -> tuple[Desk, str]:
    return google_desk(google_backend(tokens), limits), tokens.project


@asynccontextmanager
async def _identity(settings: Settings, credentials: Credentials) -> AsyncIterator[Identity]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        users = HubUsers(session, settings.api_url, settings.api_token)
        identity: Identity
        if settings.namespaces is None:
            key = signing_key(settings.api_token)
            identity = HubIdentity(users, key, grace_seconds=credentials.grace)
        else:
            # Only this one needs a client of Kubernetes.
            from scalablehub.services.credentials.kubernetes import PodIdentity, pods_of  # noqa: PLC0415

            pods = await pods_of(settings.namespaces)
            identity = PodIdentity(users, pods, grace_seconds=credentials.grace)
        try:
            yield identity
        finally:
            await identity.close()


async def _unless(stop: asyncio.Event, waiting: Awaitable[_Result]) -> _Result | None:
    """Return what is waited for; None if the service is told to stop before."""
    work, stopping = asyncio.ensure_future(waiting), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def main() -> int:
    """Return the exit code: 0 after a requested end, 2 when the environment is not that of a service."""
    # They log addresses, headers and other people's text.
    names = ("aiohttp", "botocore", "aiobotocore", "kubernetes_asyncio", "google", "urllib3")
    return run(read_settings, serve, quiet=dict.fromkeys(names, logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())
