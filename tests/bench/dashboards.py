"""The dask-gateway service with many dashboards and clusters: websockets that idle and work, and My clusters.

Against the same websockets without the service; against what dask-gateway itself lists, for the page.
"""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from tornado.web import create_signed_value

from scalablehub.services.dask_gateway.pages import cookie_secret
from scalablehub.services.dask_gateway.settings import Settings, read_settings
from tests.bench.echoing import names
from tests.bench.measuring import DIRECT, SERVICE, Row, absolute, added, at_most, ratio
from tests.bench.processes import resident, running, wait_until_answering
from tests.stack import free_port

PREFIX = "/services/dask-gateway/"
CLUSTERS = 500
IDLE, BUSY, MESSAGES_PER_SECOND, MESSAGE = 1000, 50, 20, os.urandom(200)
_KB = 1000


@dataclass(frozen=True)
class Place:
    """The service and what stands behind it."""

    upstream: int
    service: int
    process: psutil.Process
    cookie: str

    def dashboard(self, way: str, cluster: str) -> str:
        """Return the address of a cluster's websocket."""
        if way == DIRECT:
            return f"http://127.0.0.1:{self.upstream}/clusters/{cluster}/ws"
        return f"http://127.0.0.1:{self.service}{PREFIX}clusters/{cluster}/ws"

    @property
    def headers(self) -> dict[str, str]:
        """Return what a browser sends that is signed in."""
        return {"Cookie": self.cookie, "Origin": f"http://127.0.0.1:{self.service}"}


def _both() -> dict[str, list[float]]:
    return {SERVICE: [], DIRECT: []}


@dataclass(frozen=True)
class _Seen:
    """What each round came to: kilobytes of a websocket, milliseconds of messages and pages."""

    kilobytes: list[float] = field(default_factory=list)
    p50: dict[str, list[float]] = field(default_factory=_both)
    p99: dict[str, list[float]] = field(default_factory=_both)
    pages: dict[str, list[float]] = field(default_factory=_both)


def measure_dashboards(folder: Path, rounds: int, seconds: float, *, quick: bool) -> list[Row]:
    """Return kilobytes of each idle websocket, the latency of busy ones beside them, and the page's times."""
    idle, clusters = (50, 50) if quick else (IDLE, CLUSTERS)
    seen = _Seen()
    for _ in range(rounds):
        # What a service has once taken of memory it takes again: each round has one of its own.
        with _place(folder, clusters) as place:
            # Collections of the load's own would be measured with it.
            gc.disable()
            asyncio.run(_measure(place, seconds, idle, seen))
            gc.enable()
    many = f"{BUSY} websockets at {MESSAGES_PER_SECOND}/s beside {idle} idle ones"
    return [
        absolute(
            f"{idle} idle websockets, memory of each",
            "kB",
            {SERVICE: seen.kilobytes},
            SERVICE,
            at_most(100, " kB"),
        ),
        added(f"{many}, p50", "ms", seen.p50, (SERVICE, DIRECT)),
        added(f"{many}, p99", "ms", seen.p99, (SERVICE, DIRECT)),
        ratio(f"{many}, p99", "ms", seen.p99, (SERVICE, DIRECT)),
        absolute(
            f"My clusters with {clusters}", "ms", {SERVICE: seen.pages[SERVICE]}, SERVICE, at_most(500, " ms")
        ),
        ratio(f"the same, against dask-gateway's list of {clusters}", "ms", seen.pages, (SERVICE, DIRECT)),
    ]


async def _measure(
    place: Place,
    seconds: float,
    idle: int,
    seen: _Seen,
) -> None:
    """Add what one round comes to."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await _page(session, place, SERVICE)  # what is loaded once is not part of a page
        await _busy(session, place, SERVICE, 0.2)
        before = resident(place.process)
        async with AsyncExitStack() as stack:
            await _open(session, place, SERVICE, idle, stack)
            seen.kilobytes.append((resident(place.process) - before) / idle / _KB)
            await _open(session, place, DIRECT, idle, stack)
            for way in (DIRECT, SERVICE):
                found = await _busy(session, place, way, seconds)
                seen.p50[way].append(statistics.median(found))
                seen.p99[way].append(statistics.quantiles(found, n=100)[98])
        for way in (DIRECT, SERVICE):
            seen.pages[way].append(await _page(session, place, way))


async def _open(
    session: aiohttp.ClientSession, place: Place, way: str, count: int, stack: AsyncExitStack
) -> None:
    headers = place.headers if way == SERVICE else {}
    for number in range(count):
        cluster = names(CLUSTERS)[number % 20]
        await stack.enter_async_context(
            session.ws_connect(place.dashboard(way, cluster), headers=headers, max_msg_size=0)
        )


async def _busy(session: aiohttp.ClientSession, place: Place, way: str, seconds: float) -> list[float]:
    """Return the milliseconds from each message to its echo; a message is sent when it is due."""
    return [
        latency
        for found in await asyncio.gather(
            *(_talk(session, place, way, number, seconds) for number in range(BUSY))
        )
        for latency in found
    ]


async def _talk(
    session: aiohttp.ClientSession, place: Place, way: str, number: int, seconds: float
) -> list[float]:
    headers = place.headers if way == SERVICE else {}
    found = []
    async with session.ws_connect(place.dashboard(way, names(20)[number % 20]), headers=headers) as socket:
        loop = asyncio.get_running_loop()
        begin = loop.time() + number / BUSY / MESSAGES_PER_SECOND
        for count in range(max(int(seconds * MESSAGES_PER_SECOND), 3)):
            due = begin + count / MESSAGES_PER_SECOND
            await asyncio.sleep(max(due - loop.time(), 0))
            await socket.send_bytes(MESSAGE)
            assert (await socket.receive_bytes(timeout=30)) == MESSAGE
            found.append((loop.time() - due) * 1000)
    return found


async def _page(session: aiohttp.ClientSession, place: Place, way: str) -> float:
    """Return the milliseconds of one look: at the page, or at dask-gateway's own list."""
    address = (
        f"http://127.0.0.1:{place.upstream}/api/v1/clusters/"
        if way == DIRECT
        else f"http://127.0.0.1:{place.service}{PREFIX}"
    )
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"} | ({} if way == DIRECT else place.headers)
    began = time.perf_counter()
    async with session.get(address, headers=headers, allow_redirects=False) as answer:
        text = await answer.text()
        assert answer.status == 200, text[:300]
    assert names(CLUSTERS)[0] in text
    return (time.perf_counter() - began) * 1000


@contextmanager
def _place(folder: Path, clusters: int) -> Iterator[Place]:
    upstream, service = free_port(), free_port()
    log = folder / "log"
    environment = {
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{service}",
        "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{upstream}/hub/api",
        "JUPYTERHUB_API_TOKEN": "unused",
        "JUPYTERHUB_CLIENT_ID": "service-dask-gateway",
        "SCALABLEHUB_GATEWAY_URL": f"http://127.0.0.1:{upstream}",
        "SCALABLEHUB_LOOPBACK_ONLY": "1",
    }
    settings: Settings = read_settings(environment)
    signed = create_signed_value(cookie_secret(settings), "service-dask-gateway", "a-token").decode()
    with ExitStack() as stack:
        echo = [sys.executable, "-m", "tests.bench.echoing", str(upstream), str(clusters)]
        behind = stack.enter_context(running(echo, log))
        wait_until_answering(f"http://127.0.0.1:{upstream}/", behind, log)
        ours = stack.enter_context(
            running(
                [sys.executable, "-m", "scalablehub.services.dask_gateway"], log, os.environ | environment
            )
        )
        wait_until_answering(f"http://127.0.0.1:{service}{PREFIX}healthz", ours, log)
        yield Place(upstream, service, psutil.Process(ours.pid), f'service-dask-gateway="{signed}"')
