"""The front: every byte comes through here, and nothing passes before its sender is known.

Deliberately one plain handler over aiohttp's low-level server: a request meets what `_answer` says, in order.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
from aiohttp import http_exceptions, web
from multidict import CIMultiDict
from tornado.web import decode_signed_value
from yarl import URL

from scalablehub.errors import PublicError
from scalablehub.services.dask_gateway.answers import refused
from scalablehub.services.dask_gateway.bodies import checked_body
from scalablehub.services.dask_gateway.headers import (
    API_ANSWER,
    BODY_NAMES,
    DASHBOARD_ANSWER,
    authorization_token,
    cookie_values,
    is_foreign,
    is_navigation,
    is_same_origin,
)
from scalablehub.services.dask_gateway.identity import Identities, token_key
from scalablehub.services.dask_gateway.pages import COOKIE_DAYS, Pages, Shared, cookie_secret, new_hub_auth
from scalablehub.services.dask_gateway.refusals import (
    Refusal,
    bad_body,
    body_too_large,
    body_too_slow,
    cross_site,
    gateway_down,
    headers_too_large,
    malformed_request,
    method_not_allowed,
    not_found,
    path_too_long,
    sign_in_needed,
)
from scalablehub.services.dask_gateway.routing import READS, Kind, Route, api_query, checked_query, find_route
from scalablehub.services.dask_gateway.settings import Settings
from scalablehub.services.dask_gateway.upstream import (
    READ_BYTES,
    Gateway,
    api_headers,
    dashboard_headers,
    new_session,
)
from scalablehub.services.dask_gateway.websockets import Websockets, is_websocket

log = logging.getLogger(__name__)

LINE_BYTES = 8190
FIELD_BYTES = 16380
_SHUTDOWN_SECONDS = 1.0
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)


class Connection(web.RequestHandler):
    """One caller's connection; what it cannot parse is a refusal like any other."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to bytes that are no request, or to a failure of ours."""
        if isinstance(exc, http_exceptions.LineTooLong):
            is_line = len(exc.args) > 1 and str(exc.args[1]) == str(LINE_BYTES)
            return refused(request, path_too_long() if is_line else headers_too_large())
        if status < 500:
            return refused(request, malformed_request())
        # The exception's own text may hold what a person sent; its type and place are enough to find it.
        log.error(
            "A request failed: %s",
            type(exc).__name__,
            exc_info=exc if log.isEnabledFor(logging.DEBUG) else None,
        )
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        answer = refused(
            request, PublicError("failed", "Something failed here. Try again in a few seconds.", 500)
        )
        answer.force_close()
        return answer


class Server(web.Server):
    """aiohttp's low-level server, with our connections."""

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


class Front:
    """The whole service: `start`, then `close`; in between it listens on `port`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = settings.port
        self._limits = settings.limits
        self._prefix = settings.prefix
        self._secret = cookie_secret(settings)

    async def start(self) -> None:
        """Listen at the settings' host and port (0 takes a free one); raises OSError if that is taken."""
        settings = self.settings
        self._session = new_session(settings)
        self.identities = Identities(settings, self._session)
        self.gateway = Gateway(settings, self._session)
        self.websockets = Websockets(self._session, settings.limits)
        hub_auth = new_hub_auth(settings)
        self._cookie_name = str(hub_auth.cookie_name)
        self._pages = Pages(Shared(settings, hub_auth, self.identities, self.gateway))
        self._pages.start()
        self._inner = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=self._pages.path, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=60),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        )
        server = Server(
            self.handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=settings.limits.idle_seconds,
            lingering_time=1.0,
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            read_bufsize=READ_BYTES,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port, backlog=1024)
        try:
            await site.start()
        except OSError:
            await self.close()
            raise
        address: Any = self._runner.addresses[0]
        self.port = address[1]

    async def close(self) -> None:
        """Stop listening, say goodbye to websockets, and let go of everything, in a few seconds at most."""
        for site in list(self._runner.sites):
            await site.stop()
        await self.websockets.close()
        await self._runner.cleanup()
        await self._inner.close()
        await self._pages.close()
        await self.identities.close()
        await self.gateway.close()
        await self._session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except PublicError as error:
            page = error.status != 401 and is_navigation(request.headers) and not self._is_api(request)
            return refused(request, error, page=page, home=self._prefix)

    def _is_api(self, request: web.BaseRequest) -> bool:
        return request.raw_path.startswith(f"{self._prefix}api")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        route = find_route(path, self._prefix)
        if request.method not in route.methods:
            raise method_not_allowed(route.methods)
        if route.kind is Kind.API:
            return await self._api(request, route, query)
        if route.kind is Kind.DASHBOARD:
            return await self._dashboard(request, route, query)
        if route.kind is Kind.PAGE:
            return await self._page(request, path, query)
        if route.kind is Kind.HEALTH:
            return web.Response(body=b'{"status": "ok"}', content_type="application/json", headers=API_ANSWER)
        moved = f"{route.upstream}?{checked_query(query)}" if query else route.upstream
        return web.Response(status=302, headers=_redirect(moved))

    async def _api(self, request: web.BaseRequest, route: Route, query: str) -> web.StreamResponse:
        query = api_query(query)
        token = authorization_token(request.headers.getall("Authorization", ()))
        is_read = request.method in READS
        if not is_read or self.identities.known_member(token_key(token)) is None:
            await self.identities.member(token, now=not is_read)
        headers = api_headers(token)
        body = None
        if route.body and request.method == "POST":
            body = checked_body(route.body, await self._small_body(request))
            headers["Content-Type"] = "application/json"
        url = self.gateway.url(route.upstream, query)
        return await self.gateway.relay(request, url, headers, API_ANSWER, body, refuse=True)

    async def _dashboard(self, request: web.BaseRequest, route: Route, query: str) -> web.StreamResponse:
        query = checked_query(query)
        websocket = is_websocket(request)
        token = self._visitor_token(request, websocket)
        if token is None:
            if is_navigation(request.headers) and not websocket and request.method in READS:
                return self._to_sign_in(request)
            raise _signed_out(websocket)
        is_read = request.method in READS
        key = token_key(token)
        if not (
            is_read and self.identities.known_member(key) and self.gateway.known_owner(key, route.cluster)
        ):
            try:
                await self.identities.member(token, now=not is_read)
            except Refusal as refusal:
                if refusal.status == 401 and "Authorization" not in request.headers:
                    if is_navigation(request.headers) and not websocket and is_read:
                        return self._to_sign_in(request)
                    raise _signed_out(websocket) from None
                raise
            if not await self.gateway.owns(token, route.cluster, now=not is_read):
                raise not_found()
        url = self.gateway.url(route.upstream, query)
        if websocket:
            return await self.websockets.relay(request, url, lambda: self._may_stay(token, route.cluster))
        body = None
        headers = dashboard_headers(request)
        if not is_read and request.can_read_body:
            await _continue(request)
            body = request.content.iter_any()
        else:
            # A length without its bytes would take them from the next request on that connection.
            for name in BODY_NAMES:
                headers.popall(name, None)
        return await self.gateway.relay(request, url, headers, DASHBOARD_ANSWER, body)

    def _visitor_token(self, request: web.BaseRequest, websocket: bool) -> str | None:
        """Return the token that a dashboard's visitor came with: in the header, else in our cookie."""
        headers = request.headers
        if "Authorization" in headers:
            return authorization_token(headers.getall("Authorization"))
        if is_foreign(headers):
            raise cross_site()
        if (websocket or request.method not in READS) and not is_same_origin(
            headers.get("Origin", ""), headers.get("Host", "")
        ):
            raise cross_site()
        values = [v for line in headers.getall("Cookie", ()) for v in cookie_values(line, self._cookie_name)]
        if not values:
            return None
        if len(values) > 1:
            raise Refusal(
                "two-cookies",
                "Your browser sent two sign-ins. Clear this site's cookies and sign in again.",
                400,
            )
        signed = decode_signed_value(self._secret, self._cookie_name, values[0], max_age_days=COOKIE_DAYS)
        return signed.decode("ascii", "replace") if signed else None

    def _to_sign_in(self, request: web.BaseRequest) -> web.Response:
        target = str(URL(f"{self._prefix}sign-in").with_query({"next": request.raw_path}))
        return web.Response(status=302, headers=_redirect(target))

    async def _may_stay(self, token: str, cluster: str) -> bool:
        await self.identities.member(token, now=True)
        return await self.gateway.owns(token, cluster, now=True)

    async def _page(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        checked_query(query)
        headers: CIMultiDict[str] = CIMultiDict(
            (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
        )
        body = await self._small_body(request) if request.method == "POST" else None
        headers.popall("Content-Length", None)
        url = URL(f"http://pages{path}?{query}" if query else f"http://pages{path}", encoded=True)
        try:
            async with self._inner.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                answer = CIMultiDict(
                    (name, value)
                    for name, value in response.headers.items()
                    if name.lower() not in _HOP_BY_HOP and name.lower() != "content-length"
                )
                return web.Response(status=response.status, headers=answer, body=await response.read())
        except (TimeoutError, aiohttp.ClientError):
            raise gateway_down() from None

    async def _small_body(self, request: web.BaseRequest) -> bytes:
        """Return a request's whole body; raises the 408, 413 and 422 refusals."""
        limit = self._limits.api_body_bytes
        if (request.content_length or 0) > limit:
            raise body_too_large(limit)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise bad_body("The body must not be compressed.")
        await _continue(request)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_timeout_seconds):
                async for piece in request.content.iter_any():
                    size += len(piece)
                    if size > limit:
                        raise body_too_large(limit)
                    pieces.append(piece)
        except TimeoutError:
            raise body_too_slow() from None
        except (web.RequestPayloadError, aiohttp.ClientPayloadError):
            raise malformed_request() from None
        return b"".join(pieces)


def _redirect(target: str) -> dict[str, str]:
    return {**{str(name): value for name, value in API_ANSWER.items()}, "Location": target}


def _signed_out(websocket: bool) -> Refusal:
    if websocket:
        return Refusal("not-signed-in", "Sign in to see this dashboard.", 403)
    return sign_in_needed()


async def _continue(request: web.BaseRequest) -> None:
    """Tell a caller that waits for it to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
