"""Where services beside the hub have its description from: the hub, asked again and again.

The last good one is kept in memory: a server that restarts while the hub is away knows none until the hub is
back, and its disk in Kubernetes would not have kept one either.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from ssl import SSLContext
from typing import Any

import aiohttp
from traitlets import Float
from traitlets.config import LoggingConfigurable

from scalablehub.description import Description, DescriptionError
from scalablehub.description.sharing import hash_of, read_shared
from scalablehub.errors import PublicError

PATH = "scalablehub/description"
"""Of the description, below the hub's API."""
_MOST_BYTES = 4 * 2**20
_FIRST_PERIOD_SECONDS = 2.0


class State(StrEnum):
    """What the last question to the hub came to."""

    UNASKED = "unasked"
    GOOD = "good"
    AWAY = "away"
    REFUSED = "refused"
    INVALID = "invalid"


class DescriptionSource(LoggingConfigurable):
    """The hub's description, as good as it is known here.

    The hub is asked at the start, every `period` seconds, and whenever somebody calls `refresh`. An answer
    that cannot be used changes nothing but the state, which is logged once.
    """

    period = Float(30, min=1, help="Seconds between two questions to the hub.").tag(config=True)
    timeout = Float(10, min=0.1, help="Seconds to wait for the hub's answer.").tag(config=True)

    def __init__(
        self,
        *,
        api_url: str,
        api_token: str,
        ssl_context: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        service: str = "dask-gateway",
        role: str = "scalablehub-description",
        without: str = "no cluster can start",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # For an admin who reads the log: whose token it is, and what waits for the description.
        self._service, self._role, self._without = service, role, without
        self._url = f"{api_url.rstrip('/')}/{PATH}"
        self._headers = {"Authorization": f"token {api_token}"}
        self._ssl_context = ssl_context
        self._clock = clock
        self._state = State.UNASKED
        self._said = ""
        self._hash = ""
        self._description: Description | None = None
        self._known = asyncio.Event()
        self._news = asyncio.Event()
        self._heard: float | None = None
        self._session: aiohttp.ClientSession | None = None
        self._asking: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, and go on asking."""
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=self.timeout)
        )
        await self.refresh()
        self._keeping = asyncio.create_task(self._keep_asking())

    async def stop(self) -> None:
        """Ask no more."""
        tasks = [task for task in (self._keeping, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def refresh(self) -> None:
        """Ask the hub; who comes while it is being asked waits for the same answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(self._asking)

    async def first(self) -> Description:
        """Return the description once there is one."""
        await self._known.wait()
        return self.current()

    async def news(self) -> Description:
        """Return the description once it is another than it is now."""
        await self._news.wait()
        return self.current()

    def current(self) -> Description:
        """Return the last good description.

        Raises:
            PublicError: there never was one; status 503.
        """
        if self._description is None:
            raise PublicError(
                "description-unknown",
                "The Dask gateway has not heard from the hub yet; try again in a minute.",
                503,
            )
        return self._description

    def status(self) -> dict[str, Any]:
        """Return what can be told to anybody: the hash, when the hub last confirmed it, and the state."""
        age = None if self._heard is None else round(self._clock() - self._heard, 1)
        return {"hash": self._hash or None, "age_seconds": age, "state": str(self._state)}

    async def _keep_asking(self) -> None:
        pause = min(_FIRST_PERIOD_SECONDS, self.period)
        while True:
            await asyncio.sleep(pause if self._description is None else self.period)
            pause = min(pause * 2, self.period)
            try:
                await self.refresh()
            except Exception:
                self.log.exception("The hub cannot be asked for its description; it is asked again")

    async def _ask(self) -> None:
        if self._session is None:
            raise RuntimeError("the source was not started")
        headers = self._headers | ({"If-None-Match": f'"{self._hash}"'} if self._hash else {})
        try:
            async with self._session.get(
                self._url, headers=headers, allow_redirects=False, ssl=self._ssl_context or True
            ) as response:
                status, body = response.status, b""
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        return self._note(State.INVALID, f"it has more than {_MOST_BYTES} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return self._note(State.AWAY, str(error)[:200] or type(error).__name__)
        match status:
            case 304 if self._description is not None:
                self._heard = self._clock()
                self._note(State.GOOD)
            case 200:
                self._take(body)
            case 401 | 403:
                self._note(
                    State.REFUSED,
                    f"the hub answered {status}: the token in JUPYTERHUB_API_TOKEN must be that of the hub's "
                    f"service {self._service}, with the role {self._role}",
                )
            case 404:
                self._note(
                    State.REFUSED, f"there is none at {self._url}; load scalablehub's drop-ins into the hub"
                )
            case _:
                self._note(State.AWAY, f"the hub answered {status}")

    def _take(self, body: bytes) -> None:
        try:
            description = read_shared(body)
        except DescriptionError as error:
            return self._note(State.INVALID, error.message)
        changed = self._hash != (new := hash_of(body))
        self._description, self._hash, self._heard = description, new, self._clock()
        self._known.set()
        self._note(State.GOOD)
        if changed:
            self.log.info("The hub's description is now %s", new[:12])
            self._news.set()
            self._news = asyncio.Event()

    def _note(self, state: State, said: str = "") -> None:
        """Keep the state; log it if it is news."""
        same = state is self._state and (state is State.AWAY or said == self._said)
        self._state, self._said = state, said
        if same:
            return
        so_far = "the last good one stays" if self._description else f"{self._without} until there is one"
        if state is State.GOOD:
            self.log.info("The hub's description is known")
        else:
            self.log.warning("The hub's description is not to be had (%s): %s; %s", state, said, so_far)
