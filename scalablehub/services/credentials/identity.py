"""From a bearer to the person behind it.

`Identity` is what the service needs; `HubIdentity` is the one for tokens that the hub signed. In Kubernetes
`kubernetes.PodIdentity` takes its place: a projected token, the pod that it is bound to, and the pod's owner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scalablehub.services.credentials.hub_users import Grace, HubUsers, running_server, stopped
from scalablehub.services.credentials.tokens import Claims, read, same_start


@dataclass(frozen=True)
class Person:
    """Who asks, from what, and the groups that the hub knows at this moment.

    Attributes:
        name: the hub's name of the user.
        server: name of their server; empty is the default one, None is none at all.
        cluster: name of the Dask cluster that asks; empty is the server itself.
        expires: when the token ends, in seconds since the epoch.
        proof: what told who they are, to look at it again; each identity has its own.
    """

    name: str
    groups: frozenset[str]
    server: str | None
    cluster: str
    expires: int
    proof: Any = field(repr=False)


class Identity(Protocol):
    """Who a bearer is."""

    async def person(self, bearer: str) -> Person:
        """Return who a bearer is now; raise PublicError, 401 for nobody and 503 when it cannot be known."""

    async def again(self, person: Person) -> Person:
        """Return who they are now, with the groups of now; raises as `person`."""

    async def close(self) -> None:
        """Give up the questions that are still open."""


class HubIdentity:
    """Tokens that the hub signed, for servers that the hub says are running.

    Dask clusters get credentials for `grace_seconds` after their server was last seen to run; the server
    itself gets none. A cluster's token may leave the start of its server open: then any start is its.
    """

    def __init__(
        self,
        users: HubUsers,
        key: bytes,
        *,
        grace_seconds: float = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._key = key
        self._clock = clock
        self._grace = Grace(grace_seconds)

    async def person(self, bearer: str) -> Person:
        """Return who a token's server belongs to, if that start of it is running."""
        return await self._person(read(bearer, self._key, self._clock()))

    async def again(self, person: Person) -> Person:
        """Return the same person as the hub knows them now."""
        if person.expires <= self._clock():
            raise stopped()
        return await self._person(person.proof)

    async def _person(self, claims: Claims) -> Person:
        model = await self._users.model(claims.user)
        if claims.server is not None:
            self._require_running(claims, claims.server, model)
        elif not claims.cluster:
            raise stopped()
        groups = frozenset(model.get("groups") or ())
        return Person(claims.user, groups, claims.server, claims.cluster, claims.expires, claims)

    def _require_running(self, claims: Claims, name: str, model: Mapping[str, Any]) -> None:
        server = running_server(model, name)
        any_start = bool(claims.cluster) and not claims.started
        runs = server is not None and (any_start or same_start(str(server.get("started")), claims.started))
        start = (claims.user, name, claims.started)
        self._grace.require(start, self._clock(), runs=runs, is_cluster=bool(claims.cluster))

    async def close(self) -> None:
        """Give up the questions that are still open."""
        await self._users.close()
