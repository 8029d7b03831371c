"""When keys are made, kept, renewed and ended: with a backend in memory, whose keys a test can look at."""

from __future__ import annotations

import asyncio

import pytest

from scalablehub.errors import PublicError
from scalablehub.services.credentials.backends import StoreError, Wanted
from scalablehub.services.credentials.vending import Limits, Vendor
from tests.services.credentials.memory import Memory

START = 1_000_000


class Shop:
    def __init__(self, limits: Limits | None = None) -> None:
        self.now = float(START)
        self.backend = Memory()
        self.vendor = Vendor(self.backend, limits or Limits(jitter_seconds=0), lambda: self.now)

    async def key(self, user: str = "alice", policy: str = "p") -> str:
        return (await self.vendor.keys(user, policy)).access_key


async def test_an_hour_is_handed_out_while_half_of_it_is_left() -> None:
    shop = Shop()
    told = []
    for seconds in (0, 1, 1799, 1800, 1801, 3599, 3600):
        shop.now = START + seconds
        told.append((seconds, await shop.key()))
    assert told == [
        (0, "key-1"),
        (1, "key-1"),
        (1799, "key-1"),
        (1800, "key-2"),
        (1801, "key-2"),
        (3599, "key-2"),
        (3600, "key-3"),
    ]


async def test_the_jitter_is_early_and_never_late() -> None:
    renewed = set()
    for _ in range(40):
        shop = Shop(Limits(jitter_seconds=300))
        await shop.key()
        for seconds in range(1490, 1811, 10):
            shop.now = START + seconds
            if await shop.key() == "key-2":
                renewed.add(seconds)
                break
    assert min(renewed) >= 1500
    assert max(renewed) <= 1800
    assert len(renewed) > 5


async def test_keys_that_live_shorter_than_asked_for_are_handed_out_for_half_of_it() -> None:
    shop = Shop(Limits(jitter_seconds=0))
    shop.backend.short = 1000
    found = []
    for seconds in (0, 499, 501, 999):
        shop.now = START + seconds
        found.append(await shop.key())
    assert found == ["key-1", "key-1", "key-2", "key-2"]


async def test_users_and_policies_never_share() -> None:
    shop = Shop()
    given = [await shop.key(*who) for who in (("alice", "p"), ("bob", "p"), ("alice", "q"), ("alice", "p"))]
    assert given == ["key-1", "key-2", "key-3", "key-1"]


async def test_a_thousand_who_come_at_once_make_one() -> None:
    shop = Shop()
    assert set(await asyncio.gather(*(shop.key() for _ in range(1000)))) == {"key-1"}
    assert len(shop.backend.wanted) == 1


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    shop = Shop()
    shop.backend.gate.clear()
    first, second = asyncio.create_task(shop.key()), asyncio.create_task(shop.key())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    shop.backend.gate.set()
    assert await second == "key-1"


async def test_a_failure_is_remembered_for_five_seconds_and_no_longer() -> None:
    shop = Shop()
    shop.backend.fail = True
    asked = []
    for seconds in (0, 1, 4.9, 5, 6, 10):
        shop.now = START + seconds
        with pytest.raises(PublicError) as refusal:
            await shop.key()
        assert refusal.value.status == 503
        asked.append(len(shop.backend.wanted))
    assert asked == [1, 1, 1, 2, 2, 3]
    shop.backend.fail = False
    shop.now += 5
    assert await shop.key() == "key-4"


async def test_a_store_in_trouble_leaves_what_still_lives_and_never_less_than_15_seconds() -> None:
    shop = Shop()
    await shop.key()
    shop.backend.fail = True
    for seconds in (1800, 3000, 3585):
        shop.now = START + seconds
        assert await shop.key() == "key-1"
    for seconds in (3586, 3599, 3600):
        shop.now = START + seconds
        with pytest.raises(StoreError):
            await shop.key()


@pytest.mark.parametrize(("lives", "given"), [(14, False), (15, True)])
async def test_keys_that_end_at_once_are_not_handed_out(lives: int, given: bool) -> None:
    shop = Shop()
    shop.backend.short = lives
    if given:
        assert await shop.key() == "key-1"
    else:
        with pytest.raises(StoreError, match="end at once"):
            await shop.key()


async def test_nobody_waits_longer_than_clients_do_and_the_keys_are_there_then() -> None:
    shop = Shop(Limits(answer_seconds=0.05))
    shop.backend.gate.clear()
    with pytest.raises(StoreError, match="longer than clients wait"):
        await shop.key()
    shop.backend.gate.set()
    assert await shop.key() == "key-1"
    assert len(shop.backend.wanted) == 1


async def test_ending_ends_all_that_live() -> None:
    shop = Shop()
    await shop.key()
    shop.now = START + 1800
    await shop.key()
    entry = shop.vendor.entry("alice", "p")
    assert shop.vendor.entries == [entry]
    assert await shop.vendor.end(entry)
    assert sorted(shop.backend.ended) == ["key-1", "key-2"]
    assert shop.vendor.entries == []
    assert await shop.key() == "key-3"


async def test_keys_that_are_given_while_others_end_are_not_lost() -> None:
    shop = Shop()
    await shop.key()
    entry = shop.vendor.entry("alice", "p")
    shop.backend.end_gate.clear()
    ending = asyncio.create_task(shop.vendor.end(entry))
    await shop.backend.is_ending.wait()
    assert await shop.key() == "key-2"
    shop.backend.end_gate.set()
    assert await ending
    assert shop.backend.ended == ["key-1"]
    assert await shop.vendor.end(entry)
    assert shop.backend.ended == ["key-1", "key-2"]


async def test_what_has_ended_is_forgotten() -> None:
    shop = Shop()
    for number in range(100):
        await shop.key(f"user-{number}")
    shop.now = START + 3600
    shop.vendor.forget_expired()
    assert shop.vendor._kept == {}


async def test_the_secret_is_in_no_text_of_keys() -> None:
    shop = Shop()
    keys = await shop.vendor.keys("alice", "p")
    assert "secret" not in repr(keys).replace("secret_key", "")


@pytest.mark.parametrize(
    ("user", "session"),
    [
        ("alice", "alice"),
        ("a.b@example.org", "a.b@example.org"),
        ("a", "a=ca978112ca1b"),
        ("a/b", "a-b=c14cddc033f6"),
        ("*", "-=684888c0ebb1"),
        ("é", "-=4a99557e4033"),
    ],
)
def test_names_of_sessions_are_what_stores_take(user: str, session: str) -> None:
    assert Wanted(user, "", 0, 0).session == session
