"""What stands in for Google, since there is no account: a gate before a store, an STS, an account's tokens.

The store takes any token. The gate lets pass only tokens that the STS gave, while they live, and only what
their boundary says, read by the few words that a boundary of ours has. This file needs aiohttp and nothing of
the tests, so that it is a program in a pod, too:

    STORE=http://127.0.0.1:4443 HOST=0.0.0.0 PORTS=8080,8081,8082 SECONDS=3600 python stand_in.py
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

BUCKET = "data"
OWN = "canary-the-accounts-own"
"""The token of the service's own account."""


@dataclass
class Issued:
    """What the STS gave."""

    boundary: dict[str, Any]
    ends: float
    used: int = 0


@dataclass
class StandIn:
    """The three servers before a store.

    Args:
        store: URL of fake-gcs-server.
        seconds: that narrowed tokens live.
        status: of the STS; 200 gives tokens.
    """

    store: str
    seconds: int = 3600
    status: int = 200
    issued: dict[str, Issued] = field(default_factory=dict)
    exchanges: list[dict[str, str]] = field(default_factory=list)

    async def start(self, host: str = "127.0.0.1", ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Listen, and make the bucket once the store is there."""
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runners: list[web.ServerRunner] = []
        self.ports = [
            await self._listen(handler, host, port)
            for handler, port in zip((self._pass, self._exchange, self._account), ports, strict=True)
        ]
        deadline = time.monotonic() + 20
        while True:
            try:
                bucket = f"{self.store}/storage/v1/b?project=x"
                async with self._client.post(bucket, json={"name": BUCKET}) as made:
                    assert made.status in (200, 409), made.status
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

    async def _listen(self, handler: Any, host: str, port: int) -> int:
        runner = web.ServerRunner(web.Server(handler, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self._runners.append(runner)
        found: int = runner.addresses[0][1]
        return found

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        await self._client.close()

    async def _account(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer as the metadata server of Google's machines, and as the server that takes keys."""
        token = {"access_token": OWN, "expires_in": 3600, "token_type": "Bearer"}
        flavor = {"Metadata-Flavor": "Google"}
        if request.method == "POST":
            return web.json_response(token)
        if request.path.endswith("/token"):
            return web.json_response(token, headers=flavor)
        if request.path.endswith("/default/"):
            about = {"email": "hub@example.org", "scopes": ["cloud-platform"], "aliases": ["default"]}
            return web.json_response(about, headers=flavor)
        return web.Response(text="research-hub", headers=flavor)

    async def _exchange(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(urllib.parse.parse_qsl((await request.read()).decode()))
        self.exchanges.append(form)
        if self.status != 200:
            return web.json_response({"error": "canary-of-google"}, status=self.status)
        if form["subject_token"] != OWN:
            return web.json_response({"error": "invalid_grant"}, status=400)
        token = f"canary-narrowed-{len(self.issued)}"
        boundary = json.loads(urllib.parse.unquote(form["options"]))
        self.issued[token] = Issued(boundary, time.time() + self.seconds)
        return web.json_response({"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"})

    async def _pass(self, request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        known = self.issued.get(token)
        if known is None or known.ends <= time.time():
            return web.json_response({"error": {"code": 401, "message": "not a token"}}, status=401)
        known.used += 1
        if not allows(known.boundary, request, await request.read()):
            return web.json_response({"error": {"code": 403, "message": "beyond the boundary"}}, status=403)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("authorization", "content-length", "transfer-encoding")
        }
        if "storage/v1/" not in request.raw_path:
            headers["Host"] = "storage.googleapis.com"  # by which the store knows the XML API
        async with self._client.request(
            *self._in_json(request),
            data=await request.read(),
            headers=headers,
            allow_redirects=False,
        ) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")
            }
            body = await answer.read()
            if request.method == "PUT":
                kept["ETag"] = json.loads(body)["etag"]
            return web.Response(status=answer.status, body=body, headers=kept)

    def _in_json(self, request: web.BaseRequest) -> tuple[str, URL]:
        """Return method and address; the store takes uploads by the JSON API alone."""
        path = request.raw_path
        if request.method == "PUT":
            bucket, _, name = path.lstrip("/").partition("/")
            path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
        elif "storage/v1/" not in path:
            path = urllib.parse.quote(urllib.parse.unquote(path), safe="/?=&")
        method = "POST" if request.method == "PUT" else request.method
        return method, URL(f"{self.store}{path}", encoded=True)


def allows(boundary: dict[str, Any], request: web.BaseRequest, body: bytes) -> bool:
    """Whether a boundary has a rule for a request of the JSON or the XML API."""
    path = urllib.parse.unquote(request.raw_path.partition("?")[0])
    found = re.match(r"(?:/(?:upload/|download/)?storage/v1/b)?/([^/]+)(?:/o)?(?:/(.*))?$", path)
    assert found, path
    # In an upload of several parts the first says the name.
    in_body = re.search(rb'"name": ?"([^"]+)"', body[:1000])
    name = found[2] or request.query.get("name") or (in_body[1].decode() if in_body else "")
    bucket = found[1]
    writes = request.method not in ("GET", "HEAD")
    for rule in boundary["accessBoundary"]["accessBoundaryRules"]:
        if rule["availableResource"] != f"//storage.googleapis.com/projects/_/buckets/{bucket}":
            continue
        if writes and rule["availablePermissions"] != ["inRole:roles/storage.objectUser"]:
            continue
        condition = rule.get("availabilityCondition", {}).get("expression")
        if condition is None:
            return True
        listed = "api.getAttribute('storage.googleapis.com/objectListPrefix', '')"
        values = {
            "resource.name": f"projects/_/buckets/{bucket}/objects/{name}",
            listed: request.query.get("prefix", ""),
        }
        for test in condition.split(" || "):
            what, prefix = re.fullmatch(r"(.+)\.startsWith\('([^']*)'\)", test).groups()  # type: ignore[union-attr]
            if values[what].startswith(prefix):
                return True
    return False


async def main() -> None:
    """Serve until the process is ended."""
    gate, sts, account = (int(port) for port in os.environ["PORTS"].split(","))
    standing_in = StandIn(os.environ["STORE"], int(os.environ["SECONDS"]))
    await standing_in.start(os.environ["HOST"], (gate, sts, account))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
