"""Bytes to and from dask-gateway: one shared session, no cookies, nothing buffered that is large.

* A small answer goes out in one write; a large one streams, as fast as its reader takes it.
* An answer that dies half-way closes the caller's connection: it never looks complete.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, istr
from yarl import URL

from scalablehub.errors import words_of
from scalablehub.services.dask_gateway.headers import (
    CONTENT_LENGTH,
    REQUEST_NAMES,
    RESPONSE_NAMES,
    passed_on,
)
from scalablehub.services.dask_gateway.identity import token_key
from scalablehub.services.dask_gateway.listing import COUNTS
from scalablehub.services.dask_gateway.refusals import (
    Refusal,
    bad_body,
    gateway_down,
    gateway_failed,
    gateway_slow,
    not_found,
    token_unknown,
)
from scalablehub.services.dask_gateway.settings import Settings
from scalablehub.services.freshness import Freshness

log = logging.getLogger(__name__)

SMALL_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
_GLANCE_SECONDS = 1.0
_LOCATION = istr("Location")
_AUTHORIZATION = istr("Authorization")
_BODILESS = frozenset({204, 304})


def new_session(settings: Settings) -> aiohttp.ClientSession:
    """Return the session for dask-gateway and the hub; call it with the event loop running.

    It never keeps a cookie: dask-gateway's would answer one person's request as another.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.limits.connect_timeout_seconds),
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        read_bufsize=READ_BYTES,
    )


class Gateway:
    """dask-gateway, as one person at a time: every call names the token, or none for a dashboard."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        limits = settings.limits
        self.session = session
        self._base = settings.gateway_url
        self._base_path = URL(settings.gateway_url).raw_path.rstrip("/")
        self._origin = str(URL(settings.gateway_url).origin())
        self._prefix = settings.prefix
        self._headers_timeout = limits.headers_timeout_seconds
        self._owned: Freshness[tuple[bytes, str], bool] = Freshness(
            limits.freshness_seconds, limits.cache_entries
        )

    def url(self, path: str, query: str = "") -> URL:
        """Return the address of a path at dask-gateway; both parts as they shall go on the request line."""
        return URL(f"{self._base}{path}?{query}" if query else f"{self._base}{path}", encoded=True)

    async def open(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return its response once the headers are there.

        Raises the 502 refusal when dask-gateway is not there, and the 504 one when no headers came in time;
        while a body is still being sent, the time starts anew with each of its pieces.
        """
        timeout = asyncio.timeout(self._headers_timeout)
        data: bytes | AsyncIterator[bytes] | None = body
        if body is not None and not isinstance(body, bytes):
            data = _patient(body, timeout, self._headers_timeout)
        try:
            async with timeout:
                return await self.session.request(
                    method, url, headers=headers, data=data, allow_redirects=False
                )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientError, OSError) as error:
            if timeout.expired():
                raise gateway_slow() from None
            log.warning("dask-gateway is not reachable: %s", words_of(error))
            raise gateway_down() from None

    async def relay(
        self,
        request: web.BaseRequest,
        url: URL,
        headers: Mapping[str, str],
        own_headers: Mapping[istr, str],
        body: bytes | AsyncIterator[bytes] | None = None,
        *,
        refuse: bool = False,
    ) -> web.StreamResponse:
        """Answer `request` with dask-gateway's answer; `own_headers` are added to it.

        `refuse` raises our refusal for a status of 400 or more instead of passing it on.
        """
        response = await self.open(request.method, url, headers, body)
        try:
            if refuse and response.status >= 400:
                raise await refusal_of(response)
            return await self._relay(request, response, own_headers)
        finally:
            response.release()

    async def _relay(
        self, request: web.BaseRequest, response: aiohttp.ClientResponse, own_headers: Mapping[istr, str]
    ) -> web.StreamResponse:
        headers = passed_on(response.headers, RESPONSE_NAMES)
        headers.update(own_headers)
        if _LOCATION in headers:
            headers[_LOCATION] = self._public_location(headers[_LOCATION])
        status, reason = response.status, response.reason
        if request.method == "HEAD" or status in _BODILESS:
            return web.Response(status=status, reason=reason, headers=headers)
        length = response.content_length
        if length is not None and length <= SMALL_BYTES:
            headers.popall(CONTENT_LENGTH, None)
            return web.Response(
                status=status, reason=reason, headers=headers, body=await read_small(response)
            )
        answer = web.StreamResponse(status=status, reason=reason, headers=headers)
        await answer.prepare(request)
        content = response.content
        write = answer.write
        try:
            while chunk := await content.readany():
                await write(chunk)
        except (TimeoutError, aiohttp.ClientError) as error:
            # Too late for a status: only a broken connection tells the caller that this is not all of it.
            log.warning("dask-gateway broke off an answer: %s", words_of(error))
            response.close()
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the upstream broke off") from None
        except BaseException:
            # The caller left: what is still to come must not go to the next one.
            response.close()
            raise
        await answer.write_eof()
        return answer

    def _public_location(self, location: str) -> str:
        if location.startswith(self._origin + "/"):
            location = location[len(self._origin) :]
        if location.startswith(f"{self._base_path}/") and not location.startswith("//"):
            return self._prefix + location[len(self._base_path) + 1 :]
        return location

    async def api(self, method: str, path: str, token: str, body: bytes | None = None) -> Any:
        """Call dask-gateway's API as the owner of `token`; return the JSON, None for an empty answer.

        Raises the refusal that says what went wrong, 404 for another person's cluster.
        """
        headers = api_headers(token)
        response = await self.open(method, self.url(path), headers, body)
        try:
            # Others may wait for this answer too: one that never ends would keep them for ever.
            async with asyncio.timeout(self._headers_timeout):
                if response.status >= 400:
                    raise await refusal_of(response)
                raw = await response.read()
            return json.loads(raw) if raw else None
        except TimeoutError:
            raise gateway_slow() from None
        except (aiohttp.ClientError, ValueError) as error:
            log.warning("dask-gateway's answer could not be read: %s", words_of(error))
            raise gateway_failed() from None
        finally:
            response.release()

    async def counts(self, cluster: str) -> Any:
        """Return what a cluster's scheduler says of its tasks; None if it says nothing soon, or no JSON.

        The scheduler is a user's program: it is not told who asks, and gets neither time nor room.
        """
        try:
            async with asyncio.timeout(_GLANCE_SECONDS):
                async with self.session.get(
                    self.url(f"/clusters/{cluster}/{COUNTS}"), allow_redirects=False
                ) as response:
                    if response.status != 200:
                        return None
                    return json.loads(await response.content.read(SMALL_BYTES))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError):
            return None

    def known_owner(self, key: bytes, cluster: str) -> bool:
        """Tell whether a fresh answer says that the token with this key owns `cluster`, without waiting."""
        return self._owned.known((key, cluster)) is True

    async def owns(self, token: str, cluster: str, *, now: bool = False) -> bool:
        """Tell whether the owner of `token` owns `cluster`; `now` asks whatever is known."""
        answers = self._owned
        return await (answers.ask if now else answers.read)(
            (token_key(token), cluster), lambda: self._ask_owner(token, cluster)
        )

    async def _ask_owner(self, token: str, cluster: str) -> bool:
        # The answer holds the cluster's TLS key: nothing of it is kept.
        try:
            await self.api("GET", f"/api/v1/clusters/{cluster}", token)
        except Refusal as refusal:
            if refusal.status in (401, 404):
                return False
            raise
        return True

    async def close(self) -> None:
        """Give up the questions that are still open."""
        await self._owned.close()


async def _patient(
    body: AsyncIterator[bytes], limit: asyncio.Timeout, seconds: float
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    async for chunk in body:
        if not limit.expired():
            limit.reschedule(loop.time() + seconds)
        yield chunk


async def read_small(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of a response that is known to be small; raise the 502 refusal if it breaks."""
    try:
        return await response.read()
    except (TimeoutError, aiohttp.ClientError) as error:
        log.warning("dask-gateway broke off an answer: %s", words_of(error))
        raise gateway_down() from None


async def refusal_of(response: aiohttp.ClientResponse) -> Refusal:
    """Return our refusal for an answer of dask-gateway's API with a status of 400 or more.

    Its sentences for people (409, 422) are kept; whose a cluster is stays untold.
    """
    status = response.status
    if status in (403, 404):
        return not_found()
    if status == 401:
        return token_unknown()
    if status >= 500 and status != 503:
        log.warning("dask-gateway answered %s to %s", status, response.method)
        return gateway_failed()
    message = response.reason or "dask-gateway refused this."
    length = response.content_length
    if length is not None and length <= SMALL_BYTES:
        try:
            said = json.loads(await read_small(response))["error"]
        except (ValueError, KeyError, TypeError):
            said = None
        if isinstance(said, str) and said:
            message = said
    if status == 422:
        return bad_body(message)
    headers = {"Retry-After": "5"} if status == 503 else {}
    return Refusal(f"gateway-{status}", message, status, headers)


def api_headers(token: str) -> CIMultiDict[str]:
    """Return what an API request carries on to dask-gateway: who is asking, and nothing else."""
    headers: CIMultiDict[str] = CIMultiDict()
    headers[_AUTHORIZATION] = f"jupyterhub {token}"
    return headers


def dashboard_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    """Return what a dashboard request carries on: never the token, since the other end is the user's code."""
    return passed_on(request.headers, REQUEST_NAMES)
