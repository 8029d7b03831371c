"""Images that were found are remembered for a while, and nobody asks twice at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from scalablehub.errors import PublicError
from scalablehub.registry.client import FoundImage, Registries
from scalablehub.registry.reference import ImageReference

_MOST_REMEMBERED = 1000
_Key = tuple[ImageReference, str]


class ImageFinder:
    """Asks registries, and remembers.

    Args:
        registries: the client.
        found_seconds: how long a tag is what it was.
        failed_seconds: how long an error is repeated instead of asking again.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        registries: Registries,
        *,
        found_seconds: float = 300,
        failed_seconds: float = 5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registries = registries
        self._found_seconds = found_seconds
        self._failed_seconds = failed_seconds
        self._clock = clock
        self._answers: OrderedDict[_Key, tuple[float, FoundImage | PublicError]] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[FoundImage]] = {}

    async def find(self, reference: ImageReference, platform: str = "linux/amd64") -> FoundImage:
        """Return the image as its registry has it, or had it a short while ago.

        Raises:
            PublicError: as `Registries.find` does.
        """
        key = (reference, platform)
        until, answer = self._answers.get(key, (0.0, None))
        if answer is not None and self._clock() < until:
            if isinstance(answer, PublicError):
                raise answer
            return answer
        if key not in self._asking:
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
            # Whoever asked may have gone by then.
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._asking[key])

    async def _ask(self, key: _Key) -> FoundImage:
        try:
            found = await self._registries.find(*key)
        except PublicError as error:
            self._remember(key, error, self._failed_seconds)
            raise
        else:
            self._remember(key, found, self._found_seconds)
            return found
        finally:
            del self._asking[key]

    def _remember(self, key: _Key, answer: FoundImage | PublicError, seconds: float) -> None:
        self._answers[key] = (self._clock() + seconds, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > _MOST_REMEMBERED:
            self._answers.popitem(last=False)
