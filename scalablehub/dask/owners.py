"""Who the owners of clusters are at this moment: the hub is asked, and nothing is remembered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import aiohttp

from scalablehub.errors import PublicError

PATH = "scalablehub/owners"
"""Below the hub's API."""
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ServerImage:
    """The image of a server: its name in the description, and the container image that really runs."""

    name: str
    reference: str


@dataclass(frozen=True)
class Owner:
    """A user as the hub knows them now.

    Attributes:
        groups: that they are in.
        admin: whether they are one of the hub's admins.
        servers: their servers that start or run, by name.
    """

    groups: frozenset[str]
    admin: bool = False
    servers: Mapping[str, ServerImage] = field(default_factory=dict)


class Owners:
    """The hub's answers about owners.

    Args:
        api_url: of the hub.
        api_token: of the service, whose role has the scope for it.
        ssl_context: for a hub that speaks TLS.
        timeout_seconds: for one answer.
    """

    def __init__(
        self,
        api_url: str,
        api_token: str,
        ssl_context: SSLContext | None = None,
        timeout_seconds: float = 10,
    ) -> None:
        self._url = f"{api_url.rstrip('/')}/{PATH}"
        self._headers = {"Authorization": f"token {api_token}"}
        self._ssl = ssl_context or True
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connection to the hub."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, names: Collection[str]) -> dict[str, Owner | None]:
        """Return who these users are; None is a user whom the hub does not have.

        Raises:
            PublicError: the hub cannot be asked, or does not answer as it should; then nothing is known.
        """
        if not names:
            return {}
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout)
        try:
            async with self._session.post(
                self._url,
                json={"users": sorted(names)},
                headers=self._headers,
                allow_redirects=False,
                ssl=self._ssl,
            ) as response:
                if response.status != 200:
                    raise _unknown(f"the hub answered {response.status}")
                if (response.content_length or 0) > _MOST_BYTES:
                    raise _unknown("the hub's answer is too long")
                model = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _unknown(str(error)[:200] or type(error).__name__) from None
        try:
            return {name: _owner(model[name]) for name in names}
        except (KeyError, TypeError, AttributeError):
            raise _unknown("the hub's answer is not about the users that were asked for") from None


def _owner(model: Any) -> Owner | None:
    if model is None:
        return None
    return Owner(
        groups=frozenset(map(str, model["groups"])),
        admin=model["admin"] is True,
        servers={
            str(name): ServerImage(str(server["image"]), str(server["reference"]))
            for name, server in model["servers"].items()
        },
    )


def _unknown(why: str) -> PublicError:
    return PublicError(
        "owners-unknown", f"The hub cannot be asked about the owners of clusters just now: {why}.", 503
    )
