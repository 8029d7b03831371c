"""What the hub says of a user at this moment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from scalablehub.errors import PublicError
from scalablehub.services.freshness import Freshness

log = logging.getLogger(__name__)


def unknown() -> PublicError:
    """Return the refusal for when the hub does not answer: that is not a no."""
    return PublicError("hub-unavailable", "The hub cannot be asked who you are; try again in seconds.", 503)


def stopped() -> PublicError:
    """Return the refusal for a server that does not run any more."""
    return PublicError(
        "server-stopped", "The server that this token was made for does not run any more.", 401
    )


class HubUsers:
    """The hub's API of users, asked with the service's own token.

    Args:
        session: without cookies.
        api_url: of the hub.
        api_token: with `read:users:name`, `read:users:groups` and `read:servers`.
        freshness_seconds: how old an answer may be.
        timeout_seconds: until an answer has to be there.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        api_url: str,
        api_token: str,
        *,
        freshness_seconds: float = 2,
        timeout_seconds: float = 1,
    ) -> None:
        self._session = session
        self._url = f"{api_url.rstrip('/')}/users/"
        self._headers = {"Authorization": f"token {api_token}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._answers: Freshness[str, dict[str, Any]] = Freshness(freshness_seconds, 10_000)

    async def model(self, name: str) -> Mapping[str, Any]:
        """Return the hub's model of a user; raise PublicError, 401 if there is none and 503 if unknown."""
        model = await self._answers.read(name, lambda: self._ask(name))
        if not model:
            raise stopped()
        return model

    async def ask(self, name: str) -> Mapping[str, Any]:
        """Return the hub's model of a user as of now, and keep it; nothing if there is no such user."""
        return await self._answers.ask(name, lambda: self._ask(name))

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


def running_server(model: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return the hub's model of a server that starts or runs; None if it does neither.

    Args:
        model: of its user.
        name: of the server; empty is the default one.
    """
    server: Mapping[str, Any] | None = (model.get("servers") or {}).get(name)
    if server is None or server.get("stopped") or server.get("pending") == "stop":
        return None
    return server if server.get("ready") or server.get("pending") == "spawn" else None


class Grace:
    """When servers were last seen to run: what belongs to them goes on for a while after."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[tuple[str, ...], float] = {}

    def require(self, server: tuple[str, ...], now: float, *, runs: bool, is_cluster: bool) -> None:
        """Note that a server runs; if not, raise PublicError, 401, unless a cluster of it has its grace."""
        if runs:
            self._see(server, now)
        elif not is_cluster or now - self._seen.get(server, float("-inf")) >= self._seconds:
            raise stopped()

    def _see(self, server: tuple[str, ...], now: float) -> None:
        self._seen.pop(server, None)
        self._seen[server] = now
        # Begins with the oldest; what is older than the grace tells nothing any more.
        while self._seen and now - next(iter(self._seen.values())) > self._seconds:
            del self._seen[next(iter(self._seen))]
