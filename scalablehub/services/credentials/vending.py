"""Keys for a person: made once, shared by all that they run, renewed long before they end.

* Keys are kept for one user and one policy, so that a change of groups is another entry, never an old answer.
* They live an hour and are handed out while half an hour is left, or a little more, so that clients have
  nothing to wait for and not everybody renews in the same second. botocore fetches anew for each request
  when less than 15 minutes are left.
* Who comes while keys are being made waits for the same ones. Nobody waits longer than `answer_seconds`:
  botocore gives up after 2 s, and finds the keys made when it tries again.
* When none can be made, those that are left are handed out while they live; with less than `least_seconds`
  nothing is. A failure is remembered for some seconds, so that a store in trouble is not asked by everybody.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from scalablehub.errors import PublicError
from scalablehub.services.credentials.backends import Backend, Keys, StoreError, Wanted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Times in seconds."""

    lifetime_seconds: int = 3600
    keep_seconds: int = 1800
    jitter_seconds: int = 300
    least_seconds: int = 15
    answer_seconds: float = 1.8
    failure_seconds: float = 5
    recheck_seconds: float = 30

    @classmethod
    def of(cls, lifetime_seconds: int) -> Limits:
        """Return the times for keys that live that long."""
        least = min(cls.least_seconds, lifetime_seconds // 6)
        return cls(lifetime_seconds, lifetime_seconds // 2, lifetime_seconds // 12, least)


@dataclass(frozen=True)
class Entry:
    """What keys are kept for: a user and the digest of a policy."""

    user: str
    policy: str


@dataclass
class _Kept:
    keys: list[Keys] = field(default_factory=list)
    renew_at: float = 0
    failed_at: float = float("-inf")
    failure: PublicError | None = None
    making: asyncio.Task[Keys] | None = None


class Vendor:
    """A backend, and what it made."""

    def __init__(self, backend: Backend, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._backend = backend
        self._limits = limits
        self._clock = clock
        self._kept: dict[Entry, _Kept] = {}

    @property
    def entries(self) -> list[Entry]:
        """For whom there are keys that live."""
        now = self._clock()
        return [entry for entry, kept in self._kept.items() if any(one.expires > now for one in kept.keys)]

    @staticmethod
    def entry(user: str, policy: str) -> Entry:
        """Return what the keys of a user and a policy are kept for."""
        return Entry(user, sha256(policy.encode()).hexdigest())

    async def keys(self, user: str, policy: str, patience_seconds: float | None = None) -> Keys:
        """Return keys that live long enough; raises PublicError, status 502 or 503.

        Args:
            user: the hub's name for who gets them.
            policy: what they open, as the backend has it.
            patience_seconds: how long whoever asks can wait. Default: `Limits.answer_seconds`.
        """
        now, limits = self._clock(), self._limits
        kept = self._kept.setdefault(self.entry(user, policy), _Kept())
        last = kept.keys[-1] if kept.keys else None
        if last is not None and now < kept.renew_at:
            return last
        usable = last if last is not None and last.expires - now >= limits.least_seconds else None
        if kept.failure is not None and now - kept.failed_at < limits.failure_seconds:
            if usable is not None:
                return usable
            raise kept.failure
        if kept.making is None:
            kept.making = asyncio.create_task(self._make(kept, user, policy))
            kept.making.add_done_callback(lambda done: _settle(kept, done))
        try:
            patience = limits.answer_seconds if patience_seconds is None else max(patience_seconds, 0)
            return await asyncio.wait_for(asyncio.shield(kept.making), patience)
        except (PublicError, TimeoutError) as error:
            if usable is not None:
                return usable
            if isinstance(error, TimeoutError):
                raise StoreError("takes longer than clients wait") from None
            raise

    async def _make(self, kept: _Kept, user: str, policy: str) -> Keys:
        now, limits = self._clock(), self._limits
        expires = int(now) + limits.lifetime_seconds
        try:
            keys = await self._backend.issue(Wanted(user, policy, expires, limits.lifetime_seconds))
            if keys.expires - self._clock() < limits.least_seconds:
                raise StoreError("gave keys that end at once", 502)
        except PublicError as error:
            kept.failed_at, kept.failure = self._clock(), error
            raise
        kept.failure = None
        kept.keys = [one for one in kept.keys if one.expires > now] + [keys]
        # Early by up to the jitter, never late. Not for secrecy.
        early = random.uniform(0, limits.jitter_seconds)  # noqa: S311
        # Some backends give less than was asked for: renewing those at once would never end.
        given = min((keys.expires - now) / limits.lifetime_seconds, 1)
        kept.renew_at = keys.expires - (limits.keep_seconds + early) * given
        return keys

    async def end(self, entry: Entry) -> bool:
        """End the keys that an entry has now; False if the backend cannot.

        Keys that somebody is given meanwhile are none of them.

        Raises:
            StoreError: the backend did not end one of them; it and the rest are kept.
        """
        kept = self._kept.get(entry)
        if kept is None:
            return True
        if kept.making is not None:
            await asyncio.wait([kept.making])
        ended, kept.renew_at = True, 0
        for keys in reversed(kept.keys.copy()):
            ended = await self._backend.end(keys) and ended
            kept.keys = [one for one in kept.keys if one is not keys]
        if self._kept.get(entry) is kept and kept.making is None and not kept.keys:
            del self._kept[entry]
        return ended

    def forget_expired(self) -> None:
        """Let go of entries whose keys have all ended."""
        now = self._clock()
        for entry, kept in list(self._kept.items()):
            old = not any(one.expires > now for one in kept.keys)
            if old and kept.making is None and now - kept.failed_at >= self._limits.failure_seconds:
                del self._kept[entry]

    async def close(self) -> None:
        """Stop making keys. Those that are out live on: a restart of ours ends nobody's work."""
        making = [kept.making for kept in self._kept.values() if kept.making is not None]
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)


def _settle(kept: _Kept, done: asyncio.Task[Keys]) -> None:
    kept.making = None
    if not done.cancelled():
        # Whoever waited has heard of it; that nobody waited any more is no news.
        done.exception()
