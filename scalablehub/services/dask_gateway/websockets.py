"""A dashboard's websocket, from the browser to the scheduler and back.

* dask-gateway is connected before the browser is told yes, so that a failure is an HTTP status.
* Both sides are pinged; a side that does not answer is closed.
* Whoever may no longer see the dashboard is closed with 1008; everybody, when the service ends, with 1001.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

from scalablehub.errors import words_of
from scalablehub.services.dask_gateway.headers import REQUEST_NAMES, passed_on
from scalablehub.services.dask_gateway.refusals import (
    Refusal,
    gateway_down,
    gateway_slow,
    malformed_request,
    not_found,
)
from scalablehub.services.dask_gateway.settings import Limits

log = logging.getLogger(__name__)

_GOODBYE_SECONDS = 2.0
_UNSENDABLE = frozenset({1005, 1006, 1015})
_PROTOCOLS = 8


def is_websocket(request: web.BaseRequest) -> bool:
    """Tell whether a request asks to become a websocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


class Websockets:
    """All websockets that are open through this service."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._open: set[web.WebSocketResponse] = set()
        self._ending = False

    def __len__(self) -> int:
        return len(self._open)

    async def relay(
        self, request: web.BaseRequest, url: URL, may_stay: Callable[[], Awaitable[bool]]
    ) -> web.StreamResponse:
        """Join the browser of `request` with the websocket at `url` until either side ends.

        `may_stay` is asked every `recheck_seconds`; when it cannot tell (it raises 503), nothing changes.
        Raises the refusals for an upstream that does not open one.
        """
        protocols = _offered(request)
        if not web.WebSocketResponse().can_prepare(request):
            raise malformed_request()
        upstream = await self._connect(request, url, protocols)
        browser: web.WebSocketResponse | None = None
        try:
            browser = web.WebSocketResponse(
                protocols=(upstream.protocol,) if upstream.protocol else (),
                heartbeat=self._limits.ping_seconds,
                max_msg_size=self._limits.message_bytes,
                compress=False,
                timeout=_GOODBYE_SECONDS,
            )
            await browser.prepare(request)
            self._open.add(browser)
            try:
                await self._join(browser, upstream, may_stay)
            finally:
                self._open.discard(browser)
            return browser
        finally:
            # A browser that leaves has us cancelled, wherever we are: its own words still go on.
            await upstream.close(code=_sendable(browser.close_code if browser is not None else None))

    async def _connect(
        self, request: web.BaseRequest, url: URL, protocols: tuple[str, ...]
    ) -> aiohttp.ClientWebSocketResponse:
        headers: CIMultiDict[str] = passed_on(request.headers, REQUEST_NAMES)
        headers.popall("Content-Length", None)
        try:
            async with asyncio.timeout(self._limits.headers_timeout_seconds):
                return await self._session.ws_connect(
                    url,
                    protocols=protocols,
                    headers=headers,
                    heartbeat=self._limits.ping_seconds,
                    max_msg_size=self._limits.message_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_SECONDS),
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (403, 404):
                raise not_found() from None
            log.warning("dask-gateway answered %s to a websocket", error.status)
            raise gateway_down() from None
        except TimeoutError:
            raise gateway_slow() from None
        except (aiohttp.ClientError, OSError) as error:
            log.warning("dask-gateway is not reachable for a websocket: %s", words_of(error))
            raise gateway_down() from None

    async def _join(
        self,
        browser: web.WebSocketResponse,
        upstream: aiohttp.ClientWebSocketResponse,
        may_stay: Callable[[], Awaitable[bool]],
    ) -> None:
        up = asyncio.create_task(_pump(browser, upstream))
        down = asyncio.create_task(_pump(upstream, browser))
        watch = asyncio.create_task(self._watch(may_stay))
        tasks = {up, down, watch}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._ending:
            await browser.close(code=WSCloseCode.GOING_AWAY, message=b"the service is restarting")
        elif down in done:
            await browser.close(code=_sendable(upstream.close_code))
        elif up in done:
            await upstream.close(code=_sendable(browser.close_code))
        else:
            log.info("A dashboard's websocket was closed: its visitor may no longer see it")
            await browser.close(code=WSCloseCode.POLICY_VIOLATION, message=b"you may no longer see this")

    async def _watch(self, may_stay: Callable[[], Awaitable[bool]]) -> None:
        while True:
            await asyncio.sleep(self._limits.recheck_seconds)
            try:
                if not await may_stay():
                    return
            except Refusal as refusal:
                if refusal.status in (401, 403, 404):
                    return

    async def close(self) -> None:
        """Say goodbye to every browser, with 1001, within two seconds."""
        self._ending = True
        goodbyes = [
            browser.close(code=WSCloseCode.GOING_AWAY, message=b"the service is restarting")
            for browser in tuple(self._open)
        ]
        await asyncio.gather(*goodbyes, return_exceptions=True)


def _offered(request: web.BaseRequest) -> tuple[str, ...]:
    header = request.headers.get("Sec-WebSocket-Protocol", "")
    names = tuple(name.strip() for name in header.split(",") if name.strip())
    return names[:_PROTOCOLS]


def _sendable(code: int | None) -> int:
    return WSCloseCode.OK if code is None or code in _UNSENDABLE else code


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    try:
        async for message in source:
            if message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            else:
                return
    except (aiohttp.ClientError, ConnectionError):
        return
