"""From a bearer to the person behind it.

`Identity` is what the service needs; `HubIdentity` is the one for tokens that the hub signed. In Kubernetes
another takes its place: a projected token, the pod that it is bound to, and the pod's owner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from scalablehub.errors import PublicError
from scalablehub.services.credentials.tokens import Claims, read, same_start
from scalablehub.services.dask_gateway.freshness import Freshness

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Person:
    """Who asks, from what, and the groups that the hub knows at this moment."""

    name: str
    groups: frozenset[str]
    claims: Claims = field(repr=False)


class Identity(Protocol):
    """Who a bearer is."""

    async def person(self, bearer: str) -> Person:
        """Return who a bearer is now; raise PublicError, 401 for nobody and 503 when it cannot be known."""

    async def again(self, person: Person) -> Person:
        """Return who they are now, with the groups of now; raises as `person`."""


def unknown() -> PublicError:
    """Return the refusal for when the hub does not answer: that is not a no."""
    return PublicError("hub-unavailable", "The hub cannot be asked who you are; try again in seconds.", 503)


def stopped() -> PublicError:
    """Return the refusal for a server that does not run any more."""
    return PublicError(
        "server-stopped", "The server that this token was made for does not run any more.", 401
    )


class HubIdentity:
    """Tokens that the hub signed, for servers that the hub says are running.

    Workers of a Dask cluster get credentials for `grace_seconds` after their server was last seen to run; the
    server itself gets none.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_url: str,
        api_token: str,
        key: bytes,
        *,
        freshness_seconds: float = 2,
        timeout_seconds: float = 1,
        grace_seconds: float = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._url = f"{api_url.rstrip('/')}/users/"
        self._headers = {"Authorization": f"token {api_token}"}
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._grace = grace_seconds
        self._clock = clock
        self._answers: Freshness[str, dict[str, Any]] = Freshness(freshness_seconds, 10_000)
        self._seen: dict[tuple[str, str, str], float] = {}

    async def person(self, bearer: str) -> Person:
        """Return who a token's server belongs to, if that start of it is running."""
        return await self._person(read(bearer, self._key, self._clock()))

    async def again(self, person: Person) -> Person:
        """Return the same person as the hub knows them now."""
        if person.claims.expires <= self._clock():
            raise stopped()
        return await self._person(person.claims)

    async def _person(self, claims: Claims) -> Person:
        model = await self._answers.read(claims.user, lambda: self._ask(claims.user))
        if not model:
            raise stopped()
        now = self._clock()
        server = (model.get("servers") or {}).get(claims.server)
        start = (claims.user, claims.server, claims.started)
        if (
            server is not None
            and not server.get("stopped")
            and server.get("pending") != "stop"
            and (server.get("ready") or server.get("pending") == "spawn")
            and same_start(str(server.get("started")), claims.started)
        ):
            self._see(start, now)
        elif not claims.cluster or now - self._seen.get(start, float("-inf")) >= self._grace:
            raise stopped()
        return Person(claims.user, frozenset(model.get("groups") or ()), claims)

    def _see(self, start: tuple[str, str, str], now: float) -> None:
        self._seen.pop(start, None)
        self._seen[start] = now
        # Begins with the oldest; what is older than the grace tells nothing any more.
        while self._seen and now - next(iter(self._seen.values())) > self._grace:
            del self._seen[next(iter(self._seen))]

    async def _ask(self, name: str) -> dict[str, Any]:
        """Return what the hub says of a user; nothing if there is no such user."""
        try:
            async with self._session.get(
                self._url + quote(name, safe=""),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status == 404:
                    return {}
                if response.status != 200:
                    log.warning("The hub answered %s when asked for a user", response.status)
                    raise unknown()
                model: dict[str, Any] = await response.json()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("The hub could not be asked for a user: %s", type(error).__name__)
            raise unknown() from None
        if not isinstance(model, dict) or model.get("name") != name or "groups" not in model:
            # Without the scope for groups the answer has none, which is not the same as an empty list.
            log.warning("The hub's answer does not have name and groups: does the service have its role?")
            raise unknown()
        return model

    async def close(self) -> None:
        """Give up the questions that are still open."""
        await self._answers.close()
