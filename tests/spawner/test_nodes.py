"""How the hub looks at nodes: seldom, in bounded time, and without a word where it may not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scalablehub.spawner import nodes
from scalablehub.spawner.nodes import FRESH_SECONDS, STALE_SECONDS, NodesRefused, NodeView
from scalablehub.spawner.ready import Readiness

FOUND = {"small": Readiness("starts in seconds", frozenset({"base"}))}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Nodes:
    """What is looked at: how often, and what comes of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.looks = 0
        self.error = error
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def look(self) -> dict[str, Readiness]:
        self.looks += 1
        await self.is_open.wait()
        if self.error is not None:
            raise self.error
        return FOUND


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_what_was_seen_is_told() -> None:
    assert await NodeView().readiness(Nodes().look) == FOUND


async def test_many_who_choose_at_a_time_cause_one_look(clock: Clock) -> None:
    seen, view = Nodes(), NodeView(clock)
    answers = await asyncio.gather(*(view.readiness(seen.look) for _ in range(20)))
    assert answers == [FOUND] * 20
    clock.now = FRESH_SECONDS - 1
    await view.readiness(seen.look)
    assert seen.looks == 1
    clock.now = FRESH_SECONDS
    await view.readiness(seen.look)
    assert seen.looks == 2


async def test_a_slow_look_is_not_waited_for_and_told_when_it_is_there(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "WAIT_SECONDS", 0.01)
    seen, view = Nodes(), NodeView(clock)
    seen.is_open.clear()
    assert await view.readiness(seen.look) == {}
    assert await view.readiness(seen.look) == {}
    seen.is_open.set()
    monkeypatch.setattr(nodes, "WAIT_SECONDS", 10)
    assert await view.readiness(seen.look) == FOUND
    assert seen.looks == 1


async def test_what_is_stale_is_not_told(clock: Clock) -> None:
    seen, view = Nodes(), NodeView(clock)
    await view.readiness(seen.look)
    seen.error = OSError("away")
    clock.now = STALE_SECONDS
    assert await view.readiness(seen.look) == FOUND
    clock.now = STALE_SECONDS + FRESH_SECONDS
    assert await view.readiness(seen.look) == {}


@pytest.mark.parametrize(
    "error", [NodesRefused("no right."), OSError("away"), ValueError("no JSON")], ids=str
)
async def test_a_failed_look_is_silent_on_the_page_and_said_once_in_the_log(
    error: Exception, clock: Clock
) -> None:
    said: list[str] = []
    seen, view = Nodes(error), NodeView(clock)
    for _ in range(3):
        assert await view.readiness(seen.look, said.append) == {}
    assert (seen.looks, len(said)) == (1, 1)


async def test_a_hub_without_the_right_asks_seldom(clock: Clock) -> None:
    seen, view = Nodes(NodesRefused("no right.")), NodeView(clock)
    await view.readiness(seen.look)
    clock.now = 2 * FRESH_SECONDS
    await view.readiness(seen.look)
    assert seen.looks == 1


async def test_a_look_outlives_who_asked_for_it(clock: Clock) -> None:
    seen, view = Nodes(), NodeView(clock)
    seen.is_open.clear()
    asking = asyncio.create_task(view.readiness(seen.look))
    await asyncio.sleep(0)
    asking.cancel()
    results: list[Any] = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    seen.is_open.set()
    assert await view.readiness(seen.look) == FOUND
    assert seen.looks == 1
