from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from dask_gateway_server.backends.base import PublicException
from traitlets.config import LoggingConfigurable

from scalablehub.dask.limiting import ClusterLimits


class Backend(LoggingConfigurable):
    """A backend that takes its time, and shows a cluster only after it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []

    async def process_cluster_options(self, user: Any, options: Any) -> None:
        await asyncio.sleep(0)
        if options == "bad":
            raise PublicException("bad options")

    async def start_cluster(self, user: Any, options: Any) -> str:
        await asyncio.sleep(0.001)
        if options == "broken":
            raise OSError("disk")
        self.started.append(user.name)
        return f"{user.name}-{self.started.count(user.name)}"


class Limited(ClusterLimits, Backend):
    async def active_clusters(self, user: Any) -> list[str]:
        await asyncio.sleep(0)
        return [f"{user.name}-{n + 1}" for n in range(self.started.count(user.name))]


def user(name: str = "alice") -> Any:
    return SimpleNamespace(name=name)


async def test_of_many_starts_at_once_no_more_get_through_than_are_allowed() -> None:
    backend = Limited()
    backend.max_clusters = 3
    names = ["alice", "bob"] * 20
    results = await asyncio.gather(
        *(backend.start_cluster(user(name), {}) for name in names), return_exceptions=True
    )
    assert sorted(r for r in results if isinstance(r, str)) == [
        *("alice-1", "alice-2", "alice-3"),
        *("bob-1", "bob-2", "bob-3"),
    ]
    assert {type(r) for r in results} == {str, PublicException}


async def test_who_has_their_most_is_told_which_they_are() -> None:
    backend = Limited()
    backend.max_clusters = 1
    await backend.start_cluster(user(), {})
    with pytest.raises(PublicException) as refusal:
        await backend.start_cluster(user(), {})
    assert str(refusal.value) == (
        "You have 1 of 1 clusters: alice-1. Stop one first, with Gateway().stop_cluster(name) or on the "
        "hub's page 'My Dask clusters'."
    )


async def test_a_start_that_failed_leaves_its_turn_to_the_next() -> None:
    backend = Limited()
    backend.max_clusters = 1
    with pytest.raises(OSError, match="disk"):
        await backend.start_cluster(user(), "broken")
    assert await backend.start_cluster(user(), {}) == "alice-1"


async def test_bad_options_are_the_first_to_be_told() -> None:
    backend = Limited()
    backend.max_clusters = 1
    await backend.start_cluster(user(), {})
    with pytest.raises(PublicException, match="bad options"):
        await backend.start_cluster(user(), "bad")


async def test_nothing_is_kept_of_users_who_have_started() -> None:
    backend = Limited()
    await backend.start_cluster(user(), {})
    assert dict(backend._turns) == {}
