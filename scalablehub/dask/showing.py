"""What people see of clusters, for the hub's own page: theirs, and an admin everybody's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scalablehub.dask.following import KeptCluster
from scalablehub.decisions import Grant

PATH = "/api/scalablehub/clusters"
"""On dask-gateway's server: GET lists, DELETE of one below it stops it."""


@dataclass(frozen=True)
class Workers:
    """What has become of a cluster's workers.

    Attributes:
        running: how many do their work.
        pending: how many are on their way.
        why: what keeps those that are on their way, in words; empty if nothing is known to.
    """

    running: int = 0
    pending: int = 0
    why: str = ""


def shown_cluster(
    cluster: KeptCluster, granted: Grant | None, workers: Workers | None, currency: str
) -> dict[str, Any]:
    """Return what is told of a cluster; numbers of workers are None where they cannot be seen."""
    held = granted.held_by if granted is not None else None
    price = cluster.worker.price
    return {
        "name": cluster.name,
        "owner": cluster.owner,
        "server": cluster.server,
        "status": cluster.status,
        "size": cluster.size,
        "image": cluster.image,
        "age_seconds": round(cluster.age_seconds),
        "wanted": cluster.wanted,
        "granted": cluster.granted,
        "running": workers.running if workers is not None else None,
        "pending": workers.pending if workers is not None else None,
        "why": held.sentence if held is not None else workers.why if workers is not None else "",
        "price": f"{currency}{price * cluster.granted:.2f}" if price else "",
        "alone": cluster.alone_seconds is not None,
    }


class ClusterPages:
    """The two routes.

    Args:
        listed: from (owner or None for everybody) to what is shown.
        end: stops a cluster by its name, of the owner or of anybody if None; returns whether it was there.
    """

    def __init__(
        self,
        listed: Callable[[str | None], Awaitable[list[Mapping[str, Any]]]],
        end: Callable[[str, str | None], Awaitable[bool]],
    ) -> None:
        self._listed = listed
        self._end = end

    def add_to(self, app: web.Application) -> None:
        """Add the routes to dask-gateway's server."""
        app.router.add_get(PATH, self.list)
        app.router.add_delete(f"{PATH}/{{name}}", self.stop)

    async def list(self, request: web.Request) -> web.Response:
        """Answer with the asker's clusters; to an admin who asks for it, with everybody's."""
        user = await request.app["authenticator"].authenticate(request)
        everybody = bool(user.admin) and request.query.get("everybody") == "1"
        found = await self._listed(None if everybody else user.name)
        answer = {"admin": bool(user.admin), "everybody": everybody, "clusters": found}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def stop(self, request: web.Request) -> web.Response:
        """Stop one of the asker's clusters; an admin's hand reaches everybody's."""
        user = await request.app["authenticator"].authenticate(request)
        if not await self._end(request.match_info["name"], None if user.admin else user.name):
            raise web.HTTPNotFound(reason="There is no such cluster among yours.")
        return web.Response(status=204)
