"""Images that were found are remembered for a while, and nobody asks twice at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from scalablehub.errors import PublicError
from scalablehub.registry.client import FoundImage, Registries
from scalablehub.registry.reference import ImageReference

_MOST_REMEMBERED = 1000
# Whoever knows an answer does not wait longer for a newer one.
_PATIENCE_SECONDS = 2.0
_Key = tuple[ImageReference, str]
_Answer = TypeVar("_Answer", FoundImage, PublicError)


class ImageFinder:
    """Asks registries, and remembers.

    While a registry cannot be asked, what it said last is still true: nodes have that image under its digest,
    and would have to pull its tag.

    Args:
        registries: the client.
        found_seconds: how long a tag is what it was.
        failed_seconds: how long an error is repeated instead of asking again.
        away_seconds: how old an answer may be while its registry cannot be asked.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        registries: Registries,
        *,
        found_seconds: float = 300,
        failed_seconds: float = 5,
        away_seconds: float = 86400,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registries = registries
        self._found_seconds = found_seconds
        self._failed_seconds = failed_seconds
        self._away_seconds = away_seconds
        self._clock = clock
        self._found: OrderedDict[_Key, tuple[float, FoundImage]] = OrderedDict()
        self._failed: OrderedDict[_Key, tuple[float, PublicError]] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[FoundImage]] = {}

    async def find(self, reference: ImageReference, platform: str = "linux/amd64") -> FoundImage:
        """Return the image as its registry has it, or had it a short while ago.

        Raises:
            PublicError: as `Registries.find` does.
        """
        key = (reference, platform)
        found = _newer(self._found, key, self._clock() - self._found_seconds)
        if found is not None:
            return found
        earlier = _newer(self._found, key, self._clock() - self._away_seconds)
        error = _newer(self._failed, key, self._clock() - self._failed_seconds)
        if error is None:
            asking = self._ask(key)
            await asyncio.wait([asking], timeout=None if earlier is None else _PATIENCE_SECONDS)
            if earlier is not None and not asking.done():
                return earlier
            try:
                return await asyncio.shield(asking)
            except PublicError as raised:
                error = raised
        if earlier is not None and error.status == 503:
            return earlier
        raise error.with_traceback(None)

    def _ask(self, key: _Key) -> asyncio.Task[FoundImage]:
        """Return the one question that is under way about an image."""
        if key not in self._asking:
            asking = self._asking[key] = asyncio.create_task(self._answer(key))
            # Whoever asked may have gone by then.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._asking[key]

    async def _answer(self, key: _Key) -> FoundImage:
        try:
            found = await self._registries.find(*key)
        except PublicError as error:
            if error.status != 503:
                self._found.pop(key, None)
            _remember(self._failed, key, (self._clock(), error))
            raise
        else:
            _remember(self._found, key, (self._clock(), found))
            return found
        finally:
            del self._asking[key]


def _newer(answers: OrderedDict[_Key, tuple[float, _Answer]], key: _Key, than: float) -> _Answer | None:
    when, answer = answers.get(key, (0.0, None))
    return answer if when > than else None


def _remember(
    answers: OrderedDict[_Key, tuple[float, _Answer]], key: _Key, answer: tuple[float, _Answer]
) -> None:
    answers[key] = answer
    answers.move_to_end(key)
    while len(answers) > _MOST_REMEMBERED:
        answers.popitem(last=False)
