"""What every backend of ours does alike: hold clusters to what was decided, for as long as they live.

This runs inside dask-gateway's server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

import aiohttp
from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from traitlets import Any as AnyTrait
from traitlets import Dict, Float
from traitlets.config import LoggingConfigurable

from scalablehub.dask.authenticator import ScalableHubAuthenticator
from scalablehub.dask.following import EndedCluster, KeptCluster, is_alone, why_to_end
from scalablehub.dask.logs import Log, in_order
from scalablehub.dask.owners import Owner, Owners
from scalablehub.dask.showing import ClusterPages, other_environment, shown_cluster, shown_end
from scalablehub.dask.workers import Worker, workers_to_end
from scalablehub.decisions import Amount, Bounds, Decision, Grant, User, Wish, decide, excess, grant
from scalablehub.description import Description
from scalablehub.errors import PublicError

_SCHEDULER_SECONDS = 5.0
_LATELY_SECONDS = 3600.0
_HEARTBEAT_LISTS = ("active_workers", "closing_workers", "closed_workers")


class KeepingClusters(LoggingConfigurable):
    """What makes a dask-gateway Backend, named after it in a class's bases, keep to what was decided.

    * Starts take turns, so that of many at once no more get through than of one after the other.
    * Workers are granted where their number really changes, whatever a scheduler asks for; who is clipped
      gets more when there is room, and who is over a limit that was lowered gives back.
    * A cluster ends with its user's right to it, with its age, and when its server has gone. Before one is
      ended the hub is asked; what the hub does not say changes nothing.
    """

    description = AnyTrait(help="The hub's validated Description, where the hub is not asked for it.").tag(
        config=True
    )

    lacks = Dict(
        help="What cannot be had on this hub: a place of the description, such as 'images.geo', to why."
    ).tag(config=True)

    keep_period = Float(
        10,
        min=0.1,
        help="Seconds between two looks at whether clusters may go on, and with how many workers.",
    ).tag(config=True)

    give_back_timeout = Float(
        60,
        min=0,
        help="Seconds that a scheduler has to give back workers that its user may no longer have, before "
        "they are ended.",
    ).tag(config=True)

    passes_heartbeats_on = True
    """Whether the Backend beside it does more with a heartbeat than set the number of workers."""

    # What the Backend beside it brings.
    process_cluster_options: Callable[[Any, Any], Any]
    get_cluster: Callable[..., Awaitable[Any]]
    forward_message_to_scheduler: Callable[[Any, Any], Awaitable[None]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.owners: Owners | None = None
        self.asker: Any = None
        """Who asks for the cluster that is being started."""
        self._turn = asyncio.Lock()
        self._known: dict[str, Owner | None] = {}
        self._over_since: dict[str, float] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._hub_is_away = False

    # What each backend does in its own way.

    async def kept_clusters(self, *, fresh: bool) -> list[KeptCluster]:
        """Return every cluster that starts or runs; if fresh, as they are at this moment."""
        raise NotImplementedError

    async def ended_clusters(self, owner: str) -> list[EndedCluster]:
        """Return the owner's clusters that are over, as far as they are remembered."""
        raise NotImplementedError

    async def logs_of(self, cluster_name: str) -> list[Log]:
        """Return the logs of a cluster's scheduler and workers, as far as they are kept."""
        raise NotImplementedError

    async def set_grant(self, cluster: KeptCluster, granted: Grant) -> None:
        """Have a cluster run at most so many workers."""
        raise NotImplementedError

    async def end_cluster(self, cluster: KeptCluster, reason: str) -> None:
        """Stop a cluster, and keep the reason for its user."""
        raise NotImplementedError

    async def note_alone(self, cluster: KeptCluster, alone: bool) -> None:
        """Keep that the cluster's server has gone as of now, or is back."""
        raise NotImplementedError

    async def workers_of(self, clusters: Collection[KeptCluster]) -> Mapping[str, list[Worker]] | None:
        """Return each cluster's workers by its name, the oldest first; None if they cannot be seen."""
        raise NotImplementedError

    async def end_workers(self, cluster: KeptCluster, workers: list[str]) -> None:
        """End workers, whatever their scheduler says."""
        raise NotImplementedError

    def current_description(self) -> Description:
        """Return the description to decide with.

        Raises:
            PublicError: there is none yet.
        """
        found: Description = self.description
        return found

    # What is alike.

    async def begin_keeping(self, app: web.Application) -> None:
        """Get to know the hub, and look after clusters from now on."""
        authenticator = app["authenticator"]
        if not isinstance(authenticator, ScalableHubAuthenticator):
            raise PublicError(
                "gateway-authenticator",
                "DaskGateway.authenticator_class must be scalablehub.dask.authenticator."
                "ScalableHubAuthenticator with this backend.",
                500,
            )
        self.owners = Owners(
            authenticator.jupyterhub_api_url, authenticator.jupyterhub_api_token, authenticator.ssl_context
        )
        app.middlewares.append(self._tell_who_asks)
        ClusterPages(self._listed, self._over, self._currency, self._end_by_hand, self._logs).add_to(app)
        self._keeping = asyncio.create_task(self._keep_on())

    async def end_keeping(self) -> None:
        """Look after clusters no more."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self.owners is not None:
            await self.owners.close()

    async def start_cluster(self, user: Any, cluster_options: Any) -> str:
        """Start a cluster and return its name.

        Raises:
            PublicException: the options are not the user's to choose, or they have their most clusters.
        """
        await self.process_cluster_options(user, cluster_options)
        async with self._turn:
            self._known[user.name] = _asking(user, self._known.get(user.name))
            await self._require_room(user.name)
            self.asker = user
            try:
                name: str = await super().start_cluster(user, cluster_options)  # type: ignore[misc]
            finally:
                self.asker = None
            return name

    async def on_cluster_heartbeat(self, cluster_name: str, msg: Any) -> None:
        """Grant as many workers as the scheduler wants and its user may have.

        The scheduler is the user's own program: what it sends is checked, and it may want anything.

        Raises:
            PublicException: the message is not a heartbeat.
        """
        wanted = msg.get("count") if isinstance(msg, dict) else None
        if (
            type(wanted) is not int
            or wanted < 0
            or not all(isinstance(msg.get(k), list) for k in _HEARTBEAT_LISTS)
        ):
            raise PublicException("This is not a heartbeat of a scheduler.")
        async with self._turn:
            clusters = [
                replace(cluster, wanted=wanted) if cluster.name == cluster_name else cluster
                for cluster in await self.kept_clusters(fresh=False)
            ]
            grants = await self._grants(clusters)
            await self._apply(clusters, grants)
        granted = grants[cluster_name].workers if cluster_name in grants else 0
        if granted < wanted:
            self.log.info("Cluster %s wants %d workers and gets %d", cluster_name, wanted, granted)
        if self.passes_heartbeats_on:
            await super().on_cluster_heartbeat(cluster_name, {**msg, "count": granted})  # type: ignore[misc]

    async def keep(self) -> None:
        """Look once at every cluster: whether it may go on, and with how many workers.

        Raises:
            PublicError: the hub cannot be asked; then nothing was changed.
        """
        if self.owners is None:
            return
        clusters = await self.kept_clusters(fresh=True)
        known = await self.owners.ask({cluster.owner for cluster in clusters})
        self._known = dict(known)
        staying = []
        for cluster in clusters:
            if not await self._ends(cluster, known[cluster.owner]):
                staying.append(cluster)
        async with self._turn:
            await self._apply(staying, await self._grants(staying))
        kept = await self.kept_clusters(fresh=False)
        workers = await self.workers_of(kept)
        for cluster in kept if workers is not None else ():
            await self._have_given_back(cluster, (workers or {}).get(cluster.name, []))

    def decision_of(self, name: str) -> Decision | None:
        """Return what an owner may have, as they were last known; None for nobody."""
        owner = self._known.get(name)
        if owner is None:
            return None
        return decide(self.current_description(), User(name, owner.groups, owner.admin), self.lacks)

    async def _listed(self, whose: str | None) -> list[Mapping[str, Any]]:
        clusters = await self.kept_clusters(fresh=False)
        grants = await self._grants(clusters)
        shown = [cluster for cluster in clusters if whose in (None, cluster.owner)]
        workers = await self.workers_of(shown)
        return [
            shown_cluster(
                cluster,
                grants.get(cluster.name),
                None if workers is None else workers.get(cluster.name, []),
                owner.groups if (owner := self._known.get(cluster.owner)) is not None else (),
            )
            for cluster in sorted(shown, key=lambda cluster: -cluster.age_seconds)
        ]

    def _currency(self) -> str:
        try:
            return self.current_description().currency
        except PublicError:  # before the hub was heard
            return ""

    async def _over(self, owner: str) -> list[Mapping[str, Any]]:
        since = time.time() - _LATELY_SECONDS
        ended = [cluster for cluster in await self.ended_clusters(owner) if cluster.ended >= since]
        return [shown_end(cluster) for cluster in sorted(ended, key=lambda cluster: -cluster.ended)]

    async def _logs(self, name: str, owner: str) -> list[Mapping[str, Any]] | None:
        theirs = {kept.name for kept in await self.kept_clusters(fresh=False) if kept.owner == owner}
        theirs |= {ended.name for ended in await self.ended_clusters(owner)}
        return [asdict(log) for log in in_order(await self.logs_of(name))] if name in theirs else None

    async def _end_by_hand(self, name: str, owner: str | None) -> bool:
        for cluster in await self.kept_clusters(fresh=True):
            if cluster.name == name and owner in (None, cluster.owner):
                await self.end_cluster(cluster, "It was stopped on the hub's page.")
                return True
        return False

    async def _ends(self, cluster: KeptCluster, owner: Owner | None) -> bool:
        if owner is not None and is_alone(cluster, owner) != (cluster.alone_seconds is not None):
            await self.note_alone(cluster, is_alone(cluster, owner))
            cluster = replace(cluster, alone_seconds=0 if is_alone(cluster, owner) else None)
        decision = self.decision_of(cluster.owner) or decide(
            self.current_description(), User(cluster.owner), self.lacks
        )
        reason = why_to_end(cluster, owner, decision.dask)
        if reason is None:
            return False
        self.log.info("Cluster %s of %s ends: %s", cluster.name, cluster.owner, reason)
        await self.end_cluster(cluster, reason)
        return True

    async def _require_room(self, name: str) -> None:
        """Refuse a cluster more than the user, or a group of theirs, may have."""
        decision = self.decision_of(name)
        clusters = await self.kept_clusters(fresh=True)
        for bounds in decision.dask.bounds if decision is not None else ():
            counted = await self._members(clusters, name, bounds)
            found = excess(bounds, Amount(clusters=len(counted)), Amount(clusters=1))
            if found is None:
                continue
            if bounds.group is not None:
                raise PublicException(f"{found.sentence}. Try again later.")
            most = int(bounds.by_measure["clusters"].most)
            names = ", ".join(cluster.name for cluster in counted)
            raise PublicException(
                f"You have {len(counted)} of {most} clusters{f': {names}' if names else ''}. Stop one first, "
                "with Gateway().stop_cluster(name) or on the hub's page 'My Dask clusters'."
                if counted
                else f"You may have no clusters: the most is {most}."
            )

    async def _members(self, clusters: list[KeptCluster], name: str, bounds: Bounds) -> list[KeptCluster]:
        if bounds.group is None:
            return [cluster for cluster in clusters if cluster.owner == name]
        await self._get_to_know({cluster.owner for cluster in clusters})
        return [
            cluster
            for cluster in clusters
            if (owner := self._known.get(cluster.owner)) is not None and bounds.group in owner.groups
        ]

    async def _get_to_know(self, names: Collection[str]) -> None:
        """Ask the hub about owners that were not asked about yet, such as after a restart."""
        strangers = {name for name in names if name not in self._known}
        if not strangers or self.owners is None:
            return
        try:
            self._known |= await self.owners.ask(strangers)
        except PublicError as error:
            self.log.warning("%s", error.message)

    async def _grants(self, clusters: list[KeptCluster]) -> dict[str, Grant]:
        """Return what each cluster gets; before its owner and the description are known, what it has."""
        await self._get_to_know({cluster.owner for cluster in clusters})
        decisions: dict[str, Decision | None] = {}
        with contextlib.suppress(PublicError):
            decisions = {
                name: self.decision_of(name)
                for name in {cluster.owner for cluster in clusters}
                if name in self._known
            }
        bounds = {
            name: decision.dask.bounds
            for name, decision in decisions.items()
            if decision is not None and decision.dask.is_open
        }
        wishes = [
            Wish(
                cluster=cluster.name,
                owner=cluster.owner,
                wanted=cluster.wanted,
                granted=cluster.granted,
                worker=cluster.worker,
                most=_most(cluster, decisions[cluster.owner]),
                age_seconds=cluster.age_seconds,
            )
            for cluster in clusters
            if cluster.owner in decisions
        ]
        unknown = {
            cluster.name: Grant(min(cluster.granted, cluster.wanted))
            for cluster in clusters
            if cluster.owner not in decisions
        }
        return unknown | grant(wishes, bounds)

    async def _apply(self, clusters: list[KeptCluster], grants: Mapping[str, Grant]) -> None:
        for cluster in clusters:
            await self.set_grant(cluster, grants[cluster.name])

    async def _have_given_back(self, cluster: KeptCluster, workers: list[Worker]) -> None:
        """End workers that are too many and do nothing yet; ask the scheduler for others, for a while."""
        since = self._over_since.get(cluster.name)
        given_back = since is not None and time.monotonic() - since >= self.give_back_timeout
        ending = workers_to_end(workers, cluster.granted, given_back=given_back)
        if ending:
            self.log.info("Cluster %s has %d workers too many; they end", cluster.name, len(ending))
            await self.end_workers(cluster, ending)
        if sum(worker.runs for worker in workers) <= cluster.granted:
            self._over_since.pop(cluster.name, None)
        elif since is None:
            self._over_since[cluster.name] = time.monotonic()
            if cluster.granted < cluster.wanted:
                model = await self.get_cluster(cluster.name)
                if model is not None:
                    # A scheduler that does not answer is not waited for: its workers are ended later on.
                    with contextlib.suppress(PublicException, aiohttp.ClientError, OSError):
                        async with asyncio.timeout(_SCHEDULER_SECONDS):
                            await self.forward_message_to_scheduler(
                                model, {"op": "scale", "count": cluster.granted}
                            )

    async def _keep_on(self) -> None:
        while True:
            await asyncio.sleep(self.keep_period)
            try:
                await self.keep()
            except PublicError as error:
                if not self._hub_is_away:
                    self.log.warning("%s Clusters go on as they are.", error.message)
                self._hub_is_away = True
            except Exception:
                self.log.exception("Clusters could not be looked after; it is tried again")
            else:
                self._hub_is_away = False

    @web.middleware
    async def _tell_who_asks(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Tell who asks for workers what they have to know, where dask-gateway says nothing."""
        response = await handler(request)
        action = request.path.rpartition("/")[2]
        if (
            action not in ("scale", "adapt")
            or response.status != 200
            or not isinstance(response, web.Response)
        ):
            return response
        name = request.match_info.get("cluster_name", "")
        clusters = await self.kept_clusters(fresh=False)
        cluster = next((cluster for cluster in clusters if cluster.name == name), None)
        if cluster is None:
            return response
        words = [json.loads(response.text or "{}").get("msg"), await self._other_environment(cluster)]
        if action == "scale":
            count = (await request.json()).get("count")
            words.append(await self._clipped(clusters, replace(cluster, wanted=count)))
        told = " ".join(filter(None, words))
        return web.json_response({"ok": False, "msg": told}) if told else response

    async def _other_environment(self, cluster: KeptCluster) -> str:
        """Return what is told to who asks for the first workers of an environment not their server's."""
        if self.owners is None or cluster.granted:
            return ""
        try:
            known = await self.owners.ask({cluster.owner})
        except PublicError:
            return ""
        return other_environment(cluster, known[cluster.owner])

    async def _clipped(self, clusters: list[KeptCluster], asking: KeptCluster) -> str:
        """Return that a cluster gets fewer workers than it is asked to have, and why."""
        found = (
            await self._grants([asking if cluster.name == asking.name else cluster for cluster in clusters])
        ).get(asking.name)
        if found is None or found.held_by is None:
            return ""
        return (
            f"The cluster gets {found.workers} of {asking.wanted} workers for now: {found.held_by.sentence}."
        )


def refuse(reason: str) -> Callable[..., dict[str, Any]]:
    """Return a stand-in for a model's ``to_dict``, which dask-gateway calls once it knows the owner asks."""

    def refusing(full: bool = True) -> dict[str, Any]:
        # A log may hold anything; aiohttp drops the connection rather than send a control character.
        line = " ".join(reason.split())
        raise web.HTTPConflict(
            reason="".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        )

    return refusing


def _asking(user: Any, known: Owner | None) -> Owner:
    """Return the owner that a user is who asks for a cluster just now."""
    servers = dict(known.servers) if known is not None else {}
    return Owner(frozenset(user.groups), bool(user.admin), servers)


def _most(cluster: KeptCluster, decision: Decision | None) -> int:
    """Return the most workers of a cluster: what was decided when it started, and the hub's of now."""
    return min(cluster.most, decision.dask.max_workers if decision is not None else 0)
