"""The service before a real VersityGW, with a small HTTP server in place of the hub's API."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web

from scalablehub.decisions import User, decide
from scalablehub.description import Description
from scalablehub.services.credentials.app import Service
from scalablehub.services.credentials.backends import Backend
from scalablehub.services.credentials.backends.versity import Versity
from scalablehub.services.credentials.desk import Desk
from scalablehub.services.credentials.hub_users import HubUsers
from scalablehub.services.credentials.identity import HubIdentity
from scalablehub.services.credentials.stores import s3_desk
from scalablehub.services.credentials.tokens import Claims, sign, signing_key, write_token
from scalablehub.services.credentials.vending import Limits
from scalablehub.storage.access import bucket_access
from scalablehub.storage.credentials import CONFLICTING, credential_environment
from scalablehub.storage.environment import bucket_environment
from tests.descriptions import described
from tests.services.credentials.versitygw import VersityGW
from tests.services.dask_gateway.conftest import TinyServer

STARTED = "2026-11-26T01:00:00.123456Z"
HUB_TOKEN = "canary-hub-token-of-the-service"
KEY = signing_key(HUB_TOKEN)
CANARIES = ("canary-", KEY.hex())


class FakeHub:
    """`GET /users/<name>`; `people` maps names to the API's model of them."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.status = 200
        self.server = TinyServer(self.answer)

    def add(self, name: str, *groups: str) -> None:
        server = {"name": "", "started": STARTED, "ready": True, "pending": None, "stopped": False}
        self.people[name] = {"name": name, "groups": list(groups), "servers": {"": server}}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"token {HUB_TOKEN}"
        name = request.path.removeprefix("/hub/api/users/")
        self.asked.append(name)
        if self.status != 200:
            return web.Response(status=self.status, text="canary-text-of-a-broken-hub")
        if name not in self.people:
            return web.json_response({"status": 404}, status=404)
        return web.json_response(self.people[name])


def claims_of(user: str, **changes: Any) -> Claims:
    return dataclasses.replace(Claims(user, "", STARTED, int(time.time()) + 3600), **changes)


def token_of(user: str, **changes: Any) -> str:
    return sign(claims_of(user, **changes), KEY)


_Place = TypeVar("_Place", bound="Place")


class Place:
    """The hub, the service, and what a test needs to play a client."""

    def __init__(self, hub: FakeHub, client: aiohttp.ClientSession, folder: Path) -> None:
        self.hub = hub
        self.client = client
        self.folder = folder
        self.users: HubUsers
        self.identity: HubIdentity
        self.service: Service
        self.desk: Desk
        self.description: Description

    async def start_identity(self, description: Description, **more: Any) -> None:
        """Begin to know people; `more` goes to HubUsers and HubIdentity."""
        self.description = description
        url = f"http://127.0.0.1:{self.hub.server.port}/hub/api"
        times = {"freshness_seconds": 0.2, "timeout_seconds": 5} | more
        told = {name: times.pop(name) for name in ("grace_seconds", "clock") if name in times}
        self.users = HubUsers(self.client, url, HUB_TOKEN, **times)
        self.identity = HubIdentity(self.users, KEY, **told)

    async def start(self, backend: Backend, description: Description, limits: Limits, **more: Any) -> None:
        """Run the service; `more` goes to HubUsers and HubIdentity."""
        await self.start_identity(description, **more)
        endpoint = next(iter(description.buckets.values())).endpoint
        self.desk = s3_desk(backend, endpoint, limits)
        self.service = Service(
            self.identity,
            lambda: self.description,
            s3=self.desk,
            recheck_seconds=limits.recheck_seconds,
        )
        await self.service.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    async def get(
        self, path: str = "/aws/credentials", token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = token
        async with self.client.get(self.url + path, headers=sent) as answer:
            return answer.status, json.loads(await answer.read())

    async def boto(self, gateway: VersityGW, user: str) -> Any:
        """Return a boto3 client with the keys that the service gives a user."""
        status, keys = await self.get(token=token_of(user))
        assert status == 200, keys
        return gateway.client(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["Token"] or None,
        )

    def environment(self, user: str) -> dict[str, str]:
        """Return a server's environment: what the project sets, and nothing else of Amazon's."""
        file = self.folder / f"token-{user}"
        write_token(file, token_of(user))
        decision = decide(self.description, User(user, frozenset(self.hub.people[user]["groups"])))
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(self.folder),
            "PYTHONPATH": str(Path(__file__).parents[3]),
            **bucket_environment(bucket_access(decision, {}), user),
            **credential_environment(self.url, file),
        }

    async def run(self, user: str, script: str, *arguments: str, python: str = sys.executable) -> str:
        """Run a script as that user's server would, and return what it wrote."""
        environment = self.environment(user)
        assert not set(environment) & set(CONFLICTING)
        code, said = await run_process(python, "-c", script, *arguments, environment=environment)
        assert code == 0, said[-3000:]
        return said


async def run_process(*command: str, environment: dict[str, str]) -> tuple[int | None, str]:
    """Return how a process ended, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGW]:
    running = VersityGW(tmp_path_factory.mktemp("versitygw"))
    s3 = running.client()
    for bucket in ("scratch", "teams", "public", "scratch-2"):
        s3.create_bucket(Bucket=bucket)
    yield running
    running.stop()


def buckets_at(endpoint: str, iam_endpoint: str = "") -> Description:
    """Return the description of these tests' store."""
    raw: dict[str, dict[str, Any]] = {
        "scratch": {"url": "s3://scratch", "access": "write", "per_user": True, "variable": "SCRATCH_BUCKET"},
        "team-a": {
            "url": "s3://teams/team-a",
            "allowed_groups": ["team-a", "leads-a"],
            "write_groups": ["leads-a"],
        },
        "team-ab": {"url": "s3://teams/team-ab", "access": "write", "allowed_groups": ["team-ab"]},
        "public": {"url": "s3://public"},
    }
    return described(
        buckets={name: entry | {"endpoint": endpoint} for name, entry in raw.items()},
        credentials={
            "s3": {"backend": "versity", "endpoint": endpoint, "iam_endpoint": iam_endpoint or endpoint}
        },
    )


@asynccontextmanager
async def running_place(
    folder: Path, caplog: pytest.LogCaptureFixture, kind: type[_Place]
) -> AsyncIterator[_Place]:
    """A service that a test starts; at its end no secret is in any log, and no task is left."""
    caplog.set_level(logging.DEBUG, "scalablehub")
    before = asyncio.all_tasks()
    hub = FakeHub()
    hub.add("alice", "team-a")
    hub.add("bob", "team-ab")
    hub.add("carol", "leads-a")
    await hub.server.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        made = kind(hub, client, folder)
        yield made
        await made.service.close()
        await made.identity.close()
    await hub.server.stop()
    ours = [record for record in caplog.records if record.name.startswith("scalablehub")]
    said = "\n".join(record.getMessage() for record in ours)
    assert not [canary for canary in CANARIES if canary in said]
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    if leaked:
        await asyncio.wait(leaked, timeout=5)
    assert not [task for task in leaked if not task.done()]


@pytest.fixture
async def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Place]:
    async with running_place(tmp_path, caplog, Place) as made:
        yield made


@pytest.fixture
async def store(place: Place, gateway: VersityGW) -> Place:
    """The service before VersityGW, with the times that it really has."""
    await place.start(
        Versity(gateway.iam_endpoint, keys=gateway.keys), buckets_at(gateway.endpoint), Limits()
    )
    return place


def short_lived(seconds: int) -> Limits:
    """Return the times of keys that live so long, of which half is handed out."""
    return Limits(
        lifetime_seconds=seconds,
        keep_seconds=seconds // 2,
        jitter_seconds=0,
        least_seconds=1,
        recheck_seconds=0.5,
        # A store that a busy machine made slow once is asked again before the keys end.
        failure_seconds=0.5,
    )
