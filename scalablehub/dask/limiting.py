"""What every backend of ours does alike: a user's most clusters, and the reason to whom waits in vain.

This runs inside dask-gateway's server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from traitlets import Integer
from traitlets.config import LoggingConfigurable


class ClusterLimits(LoggingConfigurable):
    """What makes a dask-gateway Backend, named after it in a class's bases, count a user's clusters.

    One user's starts take turns, so that of many at once no more get through than of one after the other.
    """

    max_clusters = Integer(4, min=1, help="Most clusters of one user at a time.").tag(config=True)

    # What the Backend beside it brings.
    process_cluster_options: Callable[[Any, Any], Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def active_clusters(self, user: Any) -> list[str]:
        """Return the names of the user's clusters that start or run, as they are at this moment."""
        raise NotImplementedError

    async def most_clusters(self, user: Any) -> int:
        """Return how many clusters the user may have at a time."""
        return self.max_clusters

    async def start_cluster(self, user: Any, cluster_options: Any) -> str:
        """Start a cluster and return its name.

        Raises:
            PublicException: the options are not the user's to choose, or they have their most clusters.
        """
        await self.process_cluster_options(user, cluster_options)
        turn = self._turns.setdefault(user.name, asyncio.Lock())
        async with turn:
            most = await self.most_clusters(user)
            mine = await self.active_clusters(user)
            if len(mine) >= most:
                raise PublicException(
                    f"You have {len(mine)} of {most} clusters: {', '.join(mine)}. Stop one first, "
                    "with Gateway().stop_cluster(name) or on the hub's page 'My Dask clusters'."
                )
            name: str = await super().start_cluster(user, cluster_options)  # type: ignore[misc]
            return name


def refuse(reason: str) -> Callable[..., dict[str, Any]]:
    """Return a stand-in for a model's ``to_dict``, which dask-gateway calls once it knows the owner asks."""

    def refusing(full: bool = True) -> dict[str, Any]:
        # A log may hold anything; aiohttp drops the connection rather than send a control character.
        line = " ".join(reason.split())
        raise web.HTTPConflict(
            reason="".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        )

    return refusing
