"""Who a token belongs to, asked of the hub with that very token.

* A request that changes something asks every time; a read may use an answer of the last few seconds.
* A hub that does not answer is not a no: it is the 503 refusal.
* Tokens are kept only as their SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from jupyterhub.services.auth import check_scopes

from scalablehub.errors import words_of
from scalablehub.services.dask_gateway.refusals import hub_unavailable, no_access, token_unknown
from scalablehub.services.dask_gateway.settings import Settings
from scalablehub.services.freshness import Freshness

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Person:
    """Who the hub says a token is: `known` is False for a token that it does not accept."""

    name: str
    known: bool
    allowed: bool


NOBODY = Person("", known=False, allowed=False)


def token_key(token: str) -> bytes:
    """Return what a token is remembered by."""
    return hashlib.sha256(token.encode()).digest()


class Identities:
    """The hub's answers to "who is this?", over one shared HTTP session."""

    def __init__(
        self,
        settings: Settings,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = settings.limits
        self._session = session
        self._url = f"{settings.api_url}/user"
        self._service = settings.service_name
        self._needed = set(settings.access_scopes)
        self._timeout = aiohttp.ClientTimeout(total=limits.hub_timeout_seconds)
        self._answers: Freshness[bytes, Person] = Freshness(
            limits.freshness_seconds, limits.cache_entries, clock
        )

    def known_member(self, key: bytes) -> Person | None:
        """Return the person behind a token's key if a fresh answer lets them in, without waiting."""
        person = self._answers.known(key)
        return person if person is not None and person.allowed else None

    async def member(self, token: str, *, now: bool) -> Person:
        """Return the person behind `token`, who may use this service.

        `now` asks the hub whatever is known. Raises the 401, 403 and 503 refusals.
        """
        key = token_key(token)
        answers = self._answers
        person = await (answers.ask if now else answers.read)(key, lambda: self._ask(token))
        if not person.known:
            raise token_unknown()
        if not person.allowed:
            raise no_access(self._service)
        return person

    async def _ask(self, token: str) -> Person:
        try:
            async with self._session.get(
                self._url,
                headers={"Authorization": f"token {token}"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                if response.status in (401, 403, 404):
                    return NOBODY
                if response.status != 200:
                    log.warning("The hub answered %s when asked who a token belongs to", response.status)
                    raise hub_unavailable()
                model = await response.json()
                return Person(
                    str(model["name"]),
                    known=True,
                    allowed=bool(check_scopes(self._needed, set(model.get("scopes", ())))),
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            log.warning("The hub could not be asked who a token belongs to: %s", words_of(error))
            raise hub_unavailable() from None
        except (ValueError, KeyError, TypeError):
            log.warning("The hub's answer to who a token belongs to could not be read")
            raise hub_unavailable() from None

    async def close(self) -> None:
        """Give up the questions that are still open."""
        await self._answers.close()
