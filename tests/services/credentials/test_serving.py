"""The service's process, before a hub whose description changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest

from scalablehub.description import resolve
from scalablehub.services.credentials import __main__ as process
from scalablehub.services.credentials.settings import Settings, read_settings
from scalablehub.services.running import SettingsError
from scalablehub.services.source import DescriptionSource
from tests.dask.hub import TOKEN, Hub, a_hub
from tests.descriptions import described
from tests.stack import free_port

STATIC = {"s3": {"backend": "static", "endpoint": "https://store.example.org"}}
GOOGLE = {"google": {"project": "our-project"}}


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(process, "DescriptionSource", partial(DescriptionSource, period=1))
    async with a_hub() as hub:
        yield hub


def settings_for(hub: Hub) -> Settings:
    return read_settings(
        {
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
            "JUPYTERHUB_SERVICE_PREFIX": "/",
            "JUPYTERHUB_API_URL": hub.url,
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "SCALABLEHUB_STATIC_ACCESS_KEY": "AK",
            "SCALABLEHUB_STATIC_SECRET_KEY": "SK",
        }
    )


async def status_of(port: int, path: str) -> int:
    try:
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def becomes(port: int, path: str, status: int) -> None:
    async with asyncio.timeout(20):
        while await status_of(port, path) != status:  # noqa: ASYNC110 - another server's state
            await asyncio.sleep(0.05)


def credentials(kind: dict[str, Any]) -> Any:
    return resolve(described(credentials=kind))


async def test_other_credentials_of_the_hub_are_those_of_the_service_soon(hub: Hub) -> None:
    hub.describes(credentials(STATIC))
    settings, stop = settings_for(hub), asyncio.Event()
    serving = asyncio.create_task(process.serve(settings, stop))
    await becomes(settings.port, "/aws/credentials", 401)
    hub.describes(credentials(GOOGLE))
    await becomes(settings.port, "/aws/credentials", 404)
    hub.describes(credentials(STATIC))
    await becomes(settings.port, "/aws/credentials", 401)
    stop.set()
    await serving
    assert await status_of(settings.port, "/health") == 0


async def test_a_hub_that_has_no_credentials_any_more_ends_it_in_words(hub: Hub) -> None:
    hub.describes(credentials(STATIC))
    settings = settings_for(hub)
    serving = asyncio.create_task(process.serve(settings, asyncio.Event()))
    await becomes(settings.port, "/health", 200)
    hub.describes(described())
    with pytest.raises(SettingsError, match="has no 'credentials'"):
        await asyncio.wait_for(serving, 20)
