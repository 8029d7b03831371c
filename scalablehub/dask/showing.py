"""What people see of clusters, for the hub's own page: theirs, and an admin everybody's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from aiohttp import web

from scalablehub.dask.following import EndedCluster, KeptCluster
from scalablehub.dask.owners import Owner
from scalablehub.dask.workers import Worker, why_missing
from scalablehub.decisions import Grant

PATH = "/api/scalablehub/clusters"
"""On dask-gateway's server: GET lists, DELETE of one below it stops it, GET of its ``logs`` has those."""

_NOT_YOURS = "There is no such cluster among yours."


def shown_cluster(
    cluster: KeptCluster,
    granted: Grant | None,
    workers: Sequence[Worker] | None,
    groups: Collection[str] = (),
) -> dict[str, Any]:
    """Return what is told of a cluster.

    Numbers of workers are None where they cannot be seen; so are the price of an hour as it runs now, and the
    cost so far, where its size has no price.
    """
    held = granted.held_by if granted is not None else None
    running = sum(worker.runs for worker in workers) if workers is not None else None
    why = next((worker.why for worker in workers or () if worker.why), "")
    if workers is not None and not why:
        why = why_missing(cluster, workers)
    price = cluster.worker.price
    return {
        "name": cluster.name,
        "owner": cluster.owner,
        "groups": sorted(groups),
        "server": cluster.server,
        "status": cluster.status,
        "size": cluster.size,
        "image": cluster.image,
        "age_seconds": round(cluster.age_seconds),
        "wanted": cluster.wanted,
        "granted": cluster.granted,
        "running": running,
        "pending": len(workers) - running if workers is not None and running is not None else None,
        "why": held.sentence if held is not None else why,
        "price": price * cluster.granted if price else None,
        "cost": price * cluster.worker_seconds / 3600 if price else None,
        "alone": cluster.alone_seconds is not None,
    }


def other_environment(cluster: KeptCluster, owner: Owner | None) -> str:
    """Return that a cluster has another environment than its server; "" if not so, or if it is unknown."""
    server = owner.servers.get(cluster.server) if owner is not None and cluster.server is not None else None
    if server is None or cluster.image in ("", server.name):
        return ""
    return (
        f"The environment of the cluster is {cluster.image}, and that of your server is {server.name}: "
        "get_client() says whether their versions of Python and Dask fit."
    )


def shown_end(cluster: EndedCluster) -> dict[str, Any]:
    """Return what is told of a cluster that is over."""
    return {
        "name": cluster.name,
        "owner": cluster.owner,
        "size": cluster.size,
        "image": cluster.image,
        "ended": round(cluster.ended),
        "reason": cluster.reason,
    }


class ClusterPages:
    """The routes.

    Args:
        listed: from (owner or None for everybody) to what is shown of clusters.
        over: from an owner to what is shown of those of theirs that ended lately.
        currency: what stands before a price.
        end: stops a cluster by its name, of the owner or of anybody if None; returns whether it was there.
        logs: from a cluster's name and its owner's to the logs of its parts; None where it is not theirs.
    """

    def __init__(
        self,
        listed: Callable[[str | None], Awaitable[list[Mapping[str, Any]]]],
        over: Callable[[str], Awaitable[list[Mapping[str, Any]]]],
        currency: Callable[[], str],
        end: Callable[[str, str | None], Awaitable[bool]],
        logs: Callable[[str, str], Awaitable[list[Mapping[str, Any]] | None]],
    ) -> None:
        self._listed = listed
        self._over = over
        self._currency = currency
        self._end = end
        self._logs = logs

    def add_to(self, app: web.Application) -> None:
        """Add the routes to dask-gateway's server."""
        app.router.add_get(PATH, self.list)
        app.router.add_delete(f"{PATH}/{{name}}", self.stop)
        app.router.add_get(f"{PATH}/{{name}}/logs", self.logs)

    async def list(self, request: web.Request) -> web.Response:
        """Answer with the asker's clusters; to an admin who asks for it, with everybody's."""
        user = await request.app["authenticator"].authenticate(request)
        everybody = bool(user.admin) and request.query.get("everybody") == "1"
        found = await self._listed(None if everybody else user.name)
        answer = {
            "admin": bool(user.admin),
            "everybody": everybody,
            "currency": self._currency(),
            "clusters": found,
            "ended": await self._over(user.name),
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def stop(self, request: web.Request) -> web.Response:
        """Stop one of the asker's clusters; an admin's hand reaches everybody's."""
        user = await request.app["authenticator"].authenticate(request)
        if not await self._end(request.match_info["name"], None if user.admin else user.name):
            raise web.HTTPNotFound(reason=_NOT_YOURS)
        return web.Response(status=204)

    async def logs(self, request: web.Request) -> web.Response:
        """Answer with the logs of one of the asker's clusters; nobody else sees them, no admin either."""
        user = await request.app["authenticator"].authenticate(request)
        found = await self._logs(request.match_info["name"], user.name)
        if found is None:
            raise web.HTTPNotFound(reason=_NOT_YOURS)
        return web.json_response({"logs": found}, headers={"Cache-Control": "no-store"})
