"""In Google's place, since there is no account: a store that forgets who asks, a gate before it, and an STS.

The store is fake-gcs-server, which takes any token. The gate lets pass only tokens that the STS gave, while
they live, and only what their boundary says, read by the few words that a boundary of ours has.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.go import go_program
from tests.services.credentials.versitygw import free_port
from tests.services.dask_gateway.conftest import TinyServer

PACKAGE = "github.com/fsouza/fake-gcs-server"
VERSION = "v1.56.1"
OWN = "canary-the-accounts-own"


def binary() -> Path:
    """Return the program."""
    return go_program(PACKAGE, VERSION)


@dataclass
class Issued:
    """What the STS gave."""

    boundary: dict[str, Any]
    ends: float
    used: int = 0


@dataclass
class FakeGoogle:
    """A store with one bucket ``data``, the gate before it, and the STS; all on loopback."""

    seconds: int = 3600
    issued: dict[str, Issued] = field(default_factory=dict)
    exchanges: list[dict[str, str]] = field(default_factory=list)
    status: int = 200

    async def start(self) -> None:
        self._store = free_port()
        program = await asyncio.to_thread(binary)
        self._process = await asyncio.create_subprocess_exec(
            *(str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self._store)),
            *("-backend", "memory", "-log-level", "error"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._gate, self._sts = TinyServer(self._pass), TinyServer(self._exchange)
        await self._gate.start()
        await self._sts.start()
        deadline = time.monotonic() + 20
        while True:
            try:
                async with self._client.post(
                    f"http://127.0.0.1:{self._store}/storage/v1/b?project=x", json={"name": "data"}
                ) as made:
                    assert made.status == 200
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.wait()
        await self._gate.stop()
        await self._sts.stop()
        await self._client.close()

    @property
    def url(self) -> str:
        """Where clients find the buckets."""
        return f"http://127.0.0.1:{self._gate.port}"

    @property
    def sts(self) -> str:
        """Where tokens are narrowed."""
        return f"http://127.0.0.1:{self._sts.port}/v1/token"

    async def _exchange(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(urllib.parse.parse_qsl((await request.read()).decode()))
        self.exchanges.append(form)
        if self.status != 200:
            return web.json_response({"error": "canary-of-google"}, status=self.status)
        token = f"canary-narrowed-{len(self.issued)}"
        boundary = json.loads(urllib.parse.unquote(form["options"]))
        self.issued[token] = Issued(boundary, time.time() + self.seconds)
        answer = {"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"}
        return web.json_response(answer)

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
        return method, URL(f"http://127.0.0.1:{self._store}{path}", encoded=True)


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
