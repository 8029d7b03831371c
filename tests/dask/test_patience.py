"""A client of Kubernetes that is not answered, on a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api

from scalablehub.dask.patience import give_up_on_silence
from tests.services.dask_gateway.conftest import TinyServer


class Silent:
    """An API server that takes questions and answers when it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.server = TinyServer(self.answer)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await self.gate.wait()
        return web.json_response({"items": []})


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    silent = Silent()
    await silent.server.start()
    yield silent
    await silent.server.stop()


@pytest.fixture
async def core(silent: Silent) -> AsyncIterator[CoreV1Api]:
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{silent.server.port}")) as api:
        give_up_on_silence(api, 0.1)
        yield CoreV1Api(api)


async def test_a_question_that_is_not_answered_ends(core: CoreV1Api) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(core.list_namespaced_pod("users"), 10)


async def test_what_is_answered_is_had(core: CoreV1Api, silent: Silent) -> None:
    silent.gate.set()
    assert (await core.list_namespaced_pod("users")).items == []


async def test_a_question_with_a_time_of_its_own_keeps_it(core: CoreV1Api, silent: Silent) -> None:
    asking = asyncio.create_task(core.list_namespaced_pod("users", _request_timeout=10))
    with pytest.raises(TimeoutError):
        await core.list_namespaced_pod("users")
    silent.gate.set()
    assert (await asking).items == []
