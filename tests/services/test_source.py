from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from scalablehub.description import resolve
from scalablehub.errors import PublicError
from scalablehub.services import source as source_module
from scalablehub.services.source import DescriptionSource
from tests.dask.hub import TOKEN, Hub, a_hub
from tests.descriptions import described, written

OTHER = {"dask": written()["dask"] | {"max_workers": 7}}
Start = Callable[..., Any]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with a_hub() as found:
        yield found


@pytest.fixture
async def start(hub: Hub) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(**words: Any) -> DescriptionSource:
            words = {"api_url": hub.url, "api_token": TOKEN, "log": logging.getLogger("source")} | words
            source = DescriptionSource(**words)
            await source.start()
            stack.push_async_callback(source.stop)
            return source

        yield start


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "source"]


async def test_description_of_the_hub_is_known_at_the_start(hub: Hub, start: Start) -> None:
    name = hub.describes(described())
    source = await start()
    assert source.current() == resolve(described())
    assert source.status() | {"age_seconds": 0} == {"hash": name, "age_seconds": 0, "state": "good"}


async def test_who_was_never_told_anything_says_so(hub: Hub, start: Start) -> None:
    source = await start()
    with pytest.raises(PublicError) as refusal:
        source.current()
    assert (refusal.value.status, refusal.value.message) == (
        503,
        "The Dask gateway has not heard from the hub yet; try again in a minute.",
    )
    assert source.status() == {"hash": None, "age_seconds": None, "state": "refused"}


async def test_what_changed_is_known_after_the_next_question(hub: Hub, start: Start) -> None:
    hub.describes(described())
    source = await start()
    name = hub.describes(described(**OTHER))
    await source.refresh()
    assert source.status()["hash"] == name
    assert source.current().dask.max_workers == 7


async def test_who_waits_for_news_hears_of_what_changed_and_of_nothing_else(hub: Hub, start: Start) -> None:
    hub.describes(described())
    source = await start()
    news = asyncio.create_task(source.news())
    await source.refresh()
    assert not news.done()
    hub.describes(described(**OTHER))
    await source.refresh()
    assert (await asyncio.wait_for(news, 10)).dask.max_workers == 7


async def test_what_did_not_change_is_not_sent_again(hub: Hub, start: Start) -> None:
    name = hub.describes(described())
    source = await start()
    await source.refresh()
    assert [request.headers.get("If-None-Match") for request in hub.asked] == [None, f'"{name}"']
    assert source.status()["state"] == "good"


async def test_the_hub_is_asked_again_and_again(hub: Hub, start: Start) -> None:
    hub.describes(described())
    await start(period=1)
    await asyncio.wait_for(hub.third.wait(), 10)


async def test_a_question_that_ends_with_anything_is_not_the_last_one(
    hub: Hub, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.describes(described())
    await start(period=1)
    monkeypatch.setattr(source_module, "read_shared", lambda body: 1 / 0)
    hub.describes(described(**OTHER))
    await asyncio.wait_for(hub.third.wait(), 10)


async def test_who_asks_while_the_hub_is_asked_waits_for_the_same_answer(hub: Hub, start: Start) -> None:
    hub.describes(described())
    source = await start()
    await asyncio.gather(*(source.refresh() for _ in range(20)))
    assert len(hub.asked) == 2


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (web.Response(status=500), ("away", "(away): the hub answered 500; the last good one stays")),
        (web.Response(status=302, headers={"Location": "/"}), ("away", "(away): the hub answered 302;")),
        (
            web.Response(status=403),
            ("refused", "(refused): the hub answered 403: the token in JUPYTERHUB_API"),
        ),
        (web.Response(status=404), ("refused", "load scalablehub's drop-ins into the hub")),
        (web.Response(text="<html>"), ("invalid", "(invalid): ScalableHub: is not a JSON object;")),
        (
            web.json_response({"sizez": {}}),
            ("invalid", "ScalableHub.sizez: unknown key; did you mean 'sizes'?; the last good one stays"),
        ),
        (web.Response(body=b" " * (5 * 2**20)), ("invalid", "(invalid): it has more than 4194304 bytes;")),
    ],
    ids=["500", "redirect", "403", "404", "html", "invalid", "large"],
)
async def test_an_answer_that_cannot_be_used_keeps_the_last_good_one_and_is_logged_once(
    hub: Hub, start: Start, caplog: pytest.LogCaptureFixture, broken: web.Response, said: tuple[str, str]
) -> None:
    state, words = said
    name = hub.describes(described())
    source = await start()
    caplog.clear()
    hub.broken = broken
    for _ in range(3):
        # An answer can be sent once.
        hub.broken = web.Response(body=broken.body, status=broken.status, headers=broken.headers)
        await source.refresh()
    assert (source.status()["hash"], source.status()["state"]) == (name, state)
    assert source.current() == resolve(described())
    (line,) = told(caplog)
    assert words in line


async def test_a_hub_that_comes_back_is_logged_once(
    hub: Hub, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "source")
    hub.describes(described())
    source = await start()
    hub.broken = web.Response(status=500)
    await source.refresh()
    caplog.clear()
    hub.broken = None
    await source.refresh()
    await source.refresh()
    assert told(caplog) == ["The hub's description is known"]


async def test_a_hub_that_is_away_keeps_the_last_good_one(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_hub() as hub:
        name = hub.describes(described())
        source = await start(api_url=hub.url)
        port = int(hub.url.split(":")[2].split("/")[0])
    for _ in range(2):
        await source.refresh()
    assert (source.status()["hash"], source.status()["state"]) == (name, "away")
    assert len(told(caplog)) == 1
    async with a_hub(port) as hub:
        name = hub.describes(described(**OTHER))
        await source.refresh()
        assert (source.status()["hash"], source.status()["state"]) == (name, "good")


async def test_a_token_that_the_hub_does_not_know_gets_nothing(hub: Hub, start: Start) -> None:
    hub.describes(described())
    source = await start(api_token="another")
    assert source.status()["state"] == "refused"
    with pytest.raises(PublicError):
        source.current()


async def test_age_counts_from_the_last_time_that_the_hub_confirmed_it(hub: Hub, start: Start) -> None:
    now = [100.0]
    hub.describes(described())
    source = await start(clock=lambda: now[0])
    now[0] = 112.0
    assert source.status()["age_seconds"] == 12.0
    await source.refresh()
    assert source.status()["age_seconds"] == 0.0
    hub.broken = web.Response(status=500)
    now[0] = 120.0
    await source.refresh()
    assert source.status()["age_seconds"] == 8.0


async def test_nothing_that_is_told_holds_a_secret(
    hub: Hub, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    source = await start()
    hub.broken = web.Response(status=403)
    await source.refresh()
    assert TOKEN not in "".join(told(caplog)) + str(source.status())
