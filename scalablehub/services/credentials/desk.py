"""Where one kind of store is asked for: what a person may open there, keys for it, and their end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from scalablehub.decisions import BucketChoice, Decision
from scalablehub.errors import PublicError
from scalablehub.services.credentials.backends import Backend, Keys, StoreError
from scalablehub.services.credentials.identity import Identity, Person
from scalablehub.services.credentials.vending import Entry, Limits, Vendor

audit = logging.getLogger("scalablehub.audit.credentials")
Deciding = Callable[[Person], Decision]


class Desk:
    """Gives keys of one backend, and ends them when their owners may not have them any more.

    Args:
        backend: where keys come from; the desk starts and closes it.
        policy: from a decision and the most characters to what the keys open, as text; raises PublicError.
        covers: whether a bucket is one of this backend's.
        limits: times.
    """

    def __init__(
        self,
        backend: Backend,
        policy: Callable[[Decision, int], str],
        covers: Callable[[BucketChoice], bool],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.vendor = Vendor(backend, limits or Limits(), clock)
        self._backend = backend
        self._policy = policy
        self._covers = covers
        self._clock = clock
        self._people: dict[Entry, dict[tuple[str | None, str], Person]] = {}

    async def start(self) -> None:
        """Connect."""
        await self._backend.start()

    async def close(self) -> None:
        """Disconnect. Keys that are out live on."""
        await self.vendor.close()
        await self._backend.close()

    async def give(self, person: Person, decision: Decision, patience_seconds: float | None = None) -> Keys:
        """Return keys for what was decided, and say in the audit log that they were given.

        Args:
            person: who gets them.
            decision: what they may have.
            patience_seconds: how long whoever asks can wait; None is as long as is usual.

        Raises:
            PublicError: there is nothing to open (403), or no keys can be had (5xx).
        """
        policy = self._policy(decision, self._backend.limit)
        keys = await self.vendor.keys(person.name, policy, patience_seconds)
        known = self._people.setdefault(self.vendor.entry(person.name, policy), {})
        known[(person.server, person.cluster)] = person
        given = {
            "user": person.name,
            "server": person.server,
            "cluster": person.cluster,
            "access_key": keys.access_key,
            "buckets": {one["name"]: one["access"] for one in self.buckets(decision)},
            "expires": moment(keys.expires),
        }
        audit.info("%s", json.dumps(given))
        return keys

    def buckets(self, decision: Decision) -> list[dict[str, Any]]:
        """Return what the keys open, for people to read."""
        return [
            {"name": one.name, "url": one.url, "access": "write" if one.writable else "read", "why": one.why}
            for one in decision.buckets
            if one.is_open and self._covers(one)
        ]

    async def recheck(self, identity: Identity, deciding: Deciding) -> None:
        """End keys whose owners may not have them any more, where the store can; delete what has expired."""
        with suppress(StoreError):
            await self._backend.sweep(self._clock())
        for entry in self.vendor.entries:
            await self._recheck(entry, identity, deciding)
        self.vendor.forget_expired()
        live = set(self.vendor.entries)
        self._people = {entry: known for entry, known in self._people.items() if entry in live}

    async def _recheck(self, entry: Entry, identity: Identity, deciding: Deciding) -> None:
        people = self._people.get(entry, {})
        for which, person in list(people.items()):
            try:
                policy = self._policy(deciding(await identity.again(person)), self._backend.limit)
            except PublicError as error:
                if error.status >= 500:
                    return  # Unknown is not gone.
            else:
                if self.vendor.entry(person.name, policy) == entry:
                    return
            people.pop(which, None)
        if people or entry not in self._people:
            return
        try:
            ended = await self.vendor.end(entry)
        except StoreError:
            # The next round tries again.
            return
        if not people:
            # Who was given others while these ended is to be looked at again.
            del self._people[entry]
        audit.info("%s", json.dumps({"user": entry.user, "ended": ended}))


def moment(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
