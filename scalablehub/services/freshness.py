"""Answers that may be reused for a few seconds.

* An answer counts from the moment that it was asked for, not from when it came.
* Reads of one key that meet share one question; `ask` always asks anew and joins nobody.
* An older answer never replaces a newer one.
* At most `entries` answers are kept; the oldest go first.
* A question that failed is not remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Freshness(Generic[Key, Answer]):
    """A bounded cache in front of a question; `max_age_seconds` is how old a read's answer may be."""

    def __init__(
        self, max_age_seconds: float, entries: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_age = max_age_seconds
        self._entries = entries
        self._clock = clock
        self._answers: dict[Key, tuple[float, Answer]] = {}
        self._questions: dict[Key, asyncio.Task[Answer]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def known(self, key: Key) -> Answer | None:
        """Return the answer if there is one that is fresh enough, without waiting."""
        kept = self._answers.get(key)
        if kept is None:
            return None
        if self._clock() - kept[0] > self._max_age:
            del self._answers[key]
            return None
        return kept[1]

    async def read(self, key: Key, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return a fresh enough answer, asking `question` if there is none; raises what it raises."""
        answer = self.known(key)
        if answer is not None:
            return answer
        task = self._questions.get(key)
        if task is None:
            task = asyncio.create_task(self.ask(key, question))
            self._questions[key] = task
            task.add_done_callback(lambda done: self._settle(key, done))
        # One caller who leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def ask(self, key: Key, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask now, whatever is known, and keep the answer for later reads."""
        asked_at = self._clock()
        answer = await question()
        kept = self._answers.pop(key, None)
        self._answers[key] = (asked_at, answer) if kept is None or kept[0] <= asked_at else kept
        while len(self._answers) > self._entries:
            del self._answers[next(iter(self._answers))]
        return answer

    def _settle(self, key: Key, task: asyncio.Task[Answer]) -> None:
        self._questions.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Cancel the questions that are still open."""
        tasks = list(self._questions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
