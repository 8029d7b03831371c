"""Whose keys are looked at again and ended: a desk before a backend in memory."""

from __future__ import annotations

import asyncio

from scalablehub.decisions import Decision, User, decide
from scalablehub.services.credentials.desk import Desk
from scalablehub.services.credentials.hub_users import stopped
from scalablehub.services.credentials.identity import Person
from tests.descriptions import described
from tests.services.credentials.memory import Memory

ALICE = Person("alice", frozenset(), "", "", 0, None)


class Known:
    """One person, whose server runs or does not."""

    runs = True

    async def person(self, bearer: str) -> Person:
        return ALICE

    async def again(self, person: Person) -> Person:
        if not self.runs:
            raise stopped()
        return person

    async def close(self) -> None: ...


class Counter:
    def __init__(self) -> None:
        self.backend, self.identity = Memory(), Known()
        self.desk = Desk(self.backend, lambda decision, limit: "policy", lambda bucket: True)
        self.decision = decide(described(), User("alice", frozenset()))

    def decide(self, _person: Person) -> Decision:
        return self.decision

    async def give(self) -> str:
        return (await self.desk.give(ALICE, self.decision)).access_key

    async def recheck(self) -> None:
        await self.desk.recheck(self.identity, self.decide)


async def test_who_still_may_keeps_their_keys() -> None:
    counter = Counter()
    await counter.give()
    await counter.recheck()
    assert counter.backend.ended == []


async def test_who_may_not_any_more_has_them_ended_once() -> None:
    counter = Counter()
    await counter.give()
    counter.identity.runs = False
    await counter.recheck()
    await counter.recheck()
    assert counter.backend.ended == ["key-1"]


async def test_who_comes_back_while_their_keys_end_is_looked_at_again() -> None:
    counter = Counter()
    await counter.give()
    counter.identity.runs = False
    counter.backend.end_gate.clear()
    looking = asyncio.create_task(counter.recheck())
    await counter.backend.is_ending.wait()
    assert await counter.give() == "key-2"
    counter.backend.end_gate.set()
    await looking
    await counter.recheck()
    assert counter.backend.ended == ["key-1", "key-2"]
