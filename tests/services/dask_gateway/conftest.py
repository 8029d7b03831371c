"""Tiny real servers in place of the hub and of dask-gateway, and the service in front of them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tornado.web import create_signed_value

from scalablehub.services.dask_gateway.app import Front
from scalablehub.services.dask_gateway.pages import cookie_secret
from scalablehub.services.dask_gateway.settings import Limits, Settings

PREFIX = "/services/dask-gateway/"
ACCESS = "access:services!service=dask-gateway"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class TinyServer:
    """A real HTTP server on loopback whose answers a test decides."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    async def start(self, port: int = 0) -> None:
        self._runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.handler(request)

    async def stop(self) -> None:
        await self._runner.cleanup()


class FakeHub:
    """The hub's answer to "who is this?"; `people` maps tokens to names, scopes are per name."""

    def __init__(self) -> None:
        self.people = {"alice-token": "alice", "bob-token": "bob", "carol-token": "carol"}
        self.scopes = {"alice": [ACCESS], "bob": [ACCESS], "carol": ["read:users:name!user=carol"]}
        self.questions: list[str] = []
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.server = TinyServer(self.answer)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.path == "/hub/api/user"
        token = request.headers["Authorization"].removeprefix("token ")
        self.questions.append(token)
        self.asked.set()
        await self.gate.wait()
        if self.status != 200:
            return web.Response(status=self.status, text="broken")
        name = self.people.get(token)
        if name is None:
            return web.json_response({"status": 403, "message": "Forbidden"}, status=403)
        return web.json_response({"name": name, "kind": "user", "groups": [], "scopes": self.scopes[name]})


class Seen:
    """A request as dask-gateway received it."""

    def __init__(self, request: web.BaseRequest, body: bytes) -> None:
        self.method = request.method
        self.path = request.raw_path
        self.headers = request.headers.copy()
        self.body = body


class FakeGateway:
    """A dask-gateway whose clusters are `owners`; like the real one, it prefers its cookie to the header."""

    def __init__(self) -> None:
        self.owners = {"a1": "alice", "b1": "bob"}
        self.names = {"jupyterhub alice-token": "alice", "jupyterhub bob-token": "bob"}
        self.seen: list[Seen] = []
        self.dashboard: Handler = self.page
        self.override: Handler | None = None
        self.sockets = 0
        self.socket_closed = asyncio.Event()
        self.close_code: int | None = None
        self.server = TinyServer(self.answer)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            self.seen.append(Seen(request, b""))
            return await self.socket(request)
        streaming = self.override is not None
        self.seen.append(Seen(request, b"" if streaming else await request.read()))
        if self.override is not None:
            return await self.override(request)
        if request.path.startswith("/clusters/"):
            return await self.dashboard(request)
        cookie = request.headers.get("Cookie", "")
        name = cookie.removeprefix("dask-gateway-x=") if cookie else None
        name = name or self.names.get(request.headers.get("Authorization", ""))
        if name is None:
            return web.json_response({"error": "Permission failure"}, status=500)
        parts = request.path.removeprefix("/api/v1/clusters/").split("/")
        if request.path.startswith("/api/v1/clusters/") and parts[0]:
            owner = self.owners.get(parts[0])
            if owner is None:
                return web.json_response({"error": f"Cluster {parts[0]} not found"}, status=404)
            if owner != name:
                return web.json_response({"error": f"User {name} lacks permissions"}, status=403)
            if request.method == "DELETE":
                del self.owners[parts[0]]
                return web.Response(status=204)
        answer = web.json_response(
            {
                key: {"name": key, "status": "RUNNING", "start_time": 1767225600000, "dashboard_route": "/x"}
                for key, owner in self.owners.items()
                if owner == name
            }
        )
        answer.headers["X-Owner"] = name
        answer.headers["Set-Cookie"] = f"dask-gateway-x={name}; Path=/"
        return answer

    async def page(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"dashboard {request.path}", headers={"Set-Cookie": "a=b", "ETag": '"v1"'})

    async def socket(self, request: web.BaseRequest) -> web.StreamResponse:
        self.sockets += 1
        socket = web.WebSocketResponse(protocols=("bokeh",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str("echo " + message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        self.close_code = socket.close_code
        self.socket_closed.set()
        return socket

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]


class Place:
    """The service between its two tiny servers, and a client that keeps no cookies."""

    def __init__(
        self, hub: FakeHub, gateway: FakeGateway, front: Front, client: aiohttp.ClientSession
    ) -> None:
        self.hub = hub
        self.gateway = gateway
        self.front = front
        self.client = client
        self.host = f"127.0.0.1:{front.port}"
        self.origin = f"http://{self.host}"

    def url(self, path: str) -> str:
        return f"{self.origin}{PREFIX}{path}"

    def cookie(self, token: str) -> dict[str, str]:
        value = create_signed_value(
            cookie_secret(self.front.settings), "service-dask-gateway", token
        ).decode()
        return {"Cookie": f'service-dask-gateway="{value}"'}

    async def raw(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes back until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.front.port)
        try:
            writer.write(data)
            await writer.drain()
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}", "Accept": "application/json"}


def settings_for(hub: FakeHub, gateway_port: int, limits: Limits) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        prefix=PREFIX,
        service_name="dask-gateway",
        api_url=f"http://localhost:{hub.server.port}/hub/api",
        api_token="the-service-token",
        client_id="service-dask-gateway",
        # A name: cookie jars ignore bare addresses, and would hide a shared cookie.
        gateway_url=f"http://localhost:{gateway_port}",
        callback_url=f"{PREFIX}oauth_callback",
        access_scopes=frozenset({"access:services", ACCESS}),
        limits=limits,
    )


@pytest.fixture
def limits() -> Limits:
    """A test that needs other limits overrides this."""
    return Limits()


@pytest.fixture
async def place(limits: Limits) -> AsyncIterator[Place]:
    before = asyncio.all_tasks()
    hub, gateway = FakeHub(), FakeGateway()
    await hub.server.start()
    await gateway.server.start()
    front = Front(settings_for(hub, gateway.server.port, limits))
    await front.start()
    client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
    yield Place(hub, gateway, front, client)
    hub.gate.set()
    await client.close()
    await front.close()
    await gateway.server.stop()
    await hub.server.stop()
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    if leaked:
        await asyncio.wait(leaked, timeout=5)
    assert not [task for task in leaked if not task.done()]


def open_descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def with_limits(**changes: float) -> Limits:
    return dataclasses.replace(Limits(), **changes)
