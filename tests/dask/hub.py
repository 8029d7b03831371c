"""A hub that answers what a test says, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from scalablehub.description import Description
from scalablehub.description.sharing import hash_of, share

TOKEN = "gateways-own"


class Hub:
    """The routes of JupyterHub's API that dask-gateway's server asks."""

    def __init__(self) -> None:
        self.url = ""
        self.tokens: dict[str, Any] = {}
        self.description: bytes | int = 404
        self.broken: web.Response | None = None
        self.asked: list[web.Request] = []
        self.third = asyncio.Event()
        self.owners: dict[str, Any] = {}

    def describes(self, description: Description) -> str:
        """Serve a description; return its hash."""
        shared = share(description)
        self.description = shared.body
        return shared.hash

    def has_user(self, token: str, name: str, *scopes: str, **words: Any) -> None:
        """Know a token, with the access scope unless other scopes are given."""
        granted = list(scopes) or ["access:services!service=dask-gateway"]
        self.tokens[token] = {"kind": "user", "name": name, "groups": [], "admin": False, "scopes": granted}
        self.tokens[token] |= words
        if name not in self.owners:
            self.has_owner(name, *self.tokens[token]["groups"])

    def has_owner(self, name: str, *groups: str, servers: tuple[str, ...] = ("",)) -> None:
        """Know a user who may own clusters, with the servers that run."""
        running = {server: {"image": "geo", "reference": "quay.io/hub/geo:1"} for server in servers}
        self.owners[name] = {"groups": list(groups), "admin": False, "servers": running}

    async def user(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.broken is not None:
            return self.broken
        token = request.headers.get("Authorization", "").removeprefix("token ")
        if token not in self.tokens:
            return web.json_response(
                {"status": 403, "message": "Missing or invalid credentials."}, status=403
            )
        answer = web.json_response(self.tokens[token])
        answer.set_cookie("jupyterhub-session-id", "somebody")
        return answer

    async def who_owners_are(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if self.broken is not None:
            return self.broken
        if request.headers.get("Authorization") != f"token {TOKEN}":
            return web.json_response({"status": 403}, status=403)
        names = (await request.json())["users"]
        return web.json_response({name: self.owners.get(name) for name in names})

    async def shared(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if len(self.asked) == 3:
            self.third.set()
        if self.broken is not None:
            return self.broken
        if request.headers.get("Authorization") != f"token {TOKEN}":
            return web.json_response({"status": 403}, status=403)
        if isinstance(self.description, int):
            return web.json_response({}, status=self.description)
        answer = web.Response(body=self.description, content_type="application/json")
        answer.etag = hash_of(self.description)
        if (wanted := request.if_none_match) and answer.etag in wanted:
            return web.Response(status=304)
        return answer


@asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve an application on loopback; yield its URL."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, found = runner.addresses[0][:2]
        yield f"http://{host}:{found}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def a_hub(port: int = 0) -> AsyncIterator[Hub]:
    """Run a hub with a base URL of its own."""
    hub = Hub()
    app = web.Application()
    app.router.add_get("/base/hub/api/user", hub.user)
    app.router.add_get("/base/hub/api/scalablehub/description", hub.shared)
    app.router.add_post("/base/hub/api/scalablehub/owners", hub.who_owners_are)
    async with serving(app, port) as url:
        hub.url = f"{url}/base/hub/api"
        yield hub
