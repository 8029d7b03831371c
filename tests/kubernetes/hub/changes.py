"""Other values for the hub's release, as an admin gives them, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.kubernetes.research_hub import HUB, ResearchHub
from tests.stack import call, until


@contextmanager
def changed(hub: ResearchHub, changes: dict[str, Any], *, wait: bool = True) -> Iterator[None]:
    """Give the hub other values in the block: a new pod of the hub, and one more for the way back."""
    earlier, hub.changes = hub.changes, changes
    try:
        hub.upgrade_hub(wait=wait)
        if wait:
            until_signed_in(hub)
        yield
    finally:
        hub.changes = earlier
        hub.upgrade_hub()
        until_signed_in(hub)


def until_signed_in(hub: ResearchHub) -> None:
    """Wait until the proxy leads to the hub of this moment."""
    until(lambda: answers(f"{hub.url}hub/api/"), "the hub answers through the proxy", 60)


def answers(url: str, status: int = 200) -> bool:
    """Return whether somebody answers at an address, and so."""
    with suppress(OSError):
        return call("GET", url)[0] == status
    return False


def pod_of_hub(hub: ResearchHub) -> str:
    """Return the id of the hub's own pod."""
    (pod,) = hub.kubectl.list("pods", HUB, "component=hub")
    return str(pod["metadata"]["uid"])


def named(image: str) -> dict[str, str]:
    """Return an image as the chart's values have it."""
    name, _, tag = image.rpartition(":")
    return {"name": name, "tag": tag}
