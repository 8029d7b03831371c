"""What the hub sees of Kubernetes' nodes, if it may: looked at while people choose, never waited for long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from scalablehub.description import Description
from scalablehub.errors import PublicError, words_of
from scalablehub.registry import ImageFinder, parse_reference
from scalablehub.spawner.readiness import readiness
from scalablehub.spawner.ready import Readiness

FRESH_SECONDS = 10.0
"""A look is not repeated before."""
STALE_SECONDS = 60.0
"""What is older is not told to anybody."""
WAIT_SECONDS = 0.3
"""The page waits no longer."""
_REFUSED_SECONDS = 300.0
_ANSWER_SECONDS = 10.0
_PLACED = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="


class NodesRefused(Exception):
    """The hub has no right to see nodes, or pods of every namespace."""


class NodeView:
    """How soon servers could run, as the last look at the nodes had it.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, Readiness] = {}
        self._seen_at: float | None = None
        self._next_look = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def readiness(
        self,
        look: Callable[[], Awaitable[dict[str, Readiness]]],
        say: Callable[[str], object] = lambda _sentence: None,
    ) -> Mapping[str, Readiness]:
        """Return what is known of each size, within `WAIT_SECONDS`; nothing if nothing is.

        Args:
            look: looks anew.
            say: is told why nothing can be known.
        """
        if self._looking is None and self._clock() >= self._next_look:
            self._looking = asyncio.create_task(self._look(look, say))
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=WAIT_SECONDS)
        if self._seen_at is None or self._clock() > self._seen_at + STALE_SECONDS:
            return {}
        return self._found

    async def _look(
        self, look: Callable[[], Awaitable[dict[str, Readiness]]], say: Callable[[str], object]
    ) -> None:
        pause = FRESH_SECONDS
        try:
            self._found = await asyncio.wait_for(look(), _ANSWER_SECONDS)
            self._seen_at = self._clock()
        except NodesRefused as error:
            say(f"The spawn page does not say how soon servers start: {error}")
            pause = _REFUSED_SECONDS
        except Exception as error:  # the page is more important than what it could say
            say(
                f"The nodes cannot be seen ({words_of(error)}); "
                "the spawn page does not say how soon servers start."
            )
        finally:
            self._next_look = self._clock() + pause
            self._looking = None


async def look_at_nodes(
    api: Any,
    description: Description,
    finder: ImageFinder | None = None,
    tolerated: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Readiness]:
    """Return what can be said of each size at this moment.

    Args:
        api: the Kubernetes client, a CoreV1Api.
        description: the hub's description, resolved.
        finder: knows the digests that servers run by; None: they run by their tags.
        tolerated: taints that every server accepts.

    Raises:
        NodesRefused: the hub has no right to see them.
    """
    nodes, pods, images = await asyncio.gather(
        _listed(api.list_node),
        _listed(api.list_pod_for_all_namespaces, field_selector=_PLACED),
        _names_of_images(description, finder),
    )

    def told() -> dict[str, Readiness]:
        return readiness(
            description,
            json.loads(nodes)["items"],
            json.loads(pods)["items"],
            images=images,
            tolerated=tolerated,
        )

    # A large Kubernetes cluster is megabytes of JSON: others' requests do not wait for it.
    return await asyncio.to_thread(told)


async def _listed(method: Callable[..., Awaitable[Any]], **words: str) -> bytes:
    answer = await method(_preload_content=False, _request_timeout=_ANSWER_SECONDS, **words)
    body: bytes = await answer.read()
    if answer.status in {401, 403}:
        raise NodesRefused(f"the hub may not list {'pods' if words else 'nodes'} of the Kubernetes cluster.")
    answer.raise_for_status()
    return body


async def _names_of_images(
    description: Description, finder: ImageFinder | None
) -> dict[str, Collection[str]]:
    """Return the names that each environment's image can have on a node: its tag, and its digest if known."""
    names = {name: image.image for name, image in description.images.items() if image.image}

    async def both(image: str) -> tuple[str, ...]:
        if finder is not None:
            with contextlib.suppress(PublicError, TimeoutError):
                found = await asyncio.wait_for(
                    finder.find(parse_reference(image), description.registries.platform), WAIT_SECONDS * 5
                )
                return (image, found.pinned)
        return (image,)

    return dict(zip(names, await asyncio.gather(*map(both, names.values())), strict=True))
