"""The dask-gateway service as a proxy: against its upstream alone, and against configurable-http-proxy.

Every round measures each of them once, and begins with another one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import psutil

from tests.bench.loading import Plan, Seen
from tests.bench.measuring import (
    DIRECT,
    PROXY,
    RELAY,
    SERVICE,
    Row,
    absolute,
    added,
    at_least,
    at_most,
    ratio,
)
from tests.bench.processes import (
    Generator,
    Memory,
    cpu_seconds,
    resident,
    running,
    wait_until_answering,
    wait_until_listening,
)
from tests.bench.serving import CLUSTER
from tests.stack import free_port

PREFIX = "/services/dask-gateway/"
LIST = "api/v1/clusters/"
CONNECTIONS = (1, 32, 256)
RATE = 500.0
_MB = 1024 * 1024


@dataclass(frozen=True)
class Target:
    """One way to dask-gateway: `process` is what stands in it, if anything does."""

    name: str
    port: int
    prefix: str
    process: psutil.Process | None


@dataclass(frozen=True)
class Effort:
    """How long, how often and how much."""

    rounds: int
    seconds: float
    stream_bytes: int


@contextmanager
def all_ways(proxy_command: list[str], folder: Path) -> Iterator[list[Target]]:
    """Run the stand-ins for dask-gateway and the hub, and what is compared in front of the first."""
    log = folder / "log"
    with ExitStack() as stack:
        gateway, hub, service, proxy, api, relay = (free_port() for _ in range(6))
        for port in (gateway, hub):
            server = stack.enter_context(
                running([sys.executable, "-m", "tests.bench.serving", str(port)], log)
            )
            wait_until_answering(f"http://127.0.0.1:{port}/", server, log)
        ours = stack.enter_context(
            running(
                [sys.executable, "-m", "scalablehub.services.dask_gateway"],
                log,
                os.environ
                | {
                    "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{service}",
                    "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
                    "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
                    "JUPYTERHUB_BASE_URL": "/",
                    "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub}/hub/api",
                    "JUPYTERHUB_API_TOKEN": "unused",
                    "JUPYTERHUB_CLIENT_ID": "service-dask-gateway",
                    "SCALABLEHUB_GATEWAY_URL": f"http://127.0.0.1:{gateway}",
                    "SCALABLEHUB_LOOPBACK_ONLY": "1",
                },
            )
        )
        secret = os.urandom(16).hex()
        theirs = stack.enter_context(
            running(
                [
                    *proxy_command,
                    *("--ip=127.0.0.1", f"--port={proxy}", "--api-ip=127.0.0.1", f"--api-port={api}"),
                    "--log-level=warn",
                ],
                log,
                os.environ | {"CONFIGPROXY_AUTH_TOKEN": secret},
            )
        )
        bare = stack.enter_context(
            running([sys.executable, "-m", "tests.bench.relaying", str(relay), str(gateway)], log)
        )
        wait_until_answering(f"http://127.0.0.1:{service}{PREFIX}healthz", ours, log)
        wait_until_answering(f"http://127.0.0.1:{proxy}/_chp_healthz", theirs, log)
        wait_until_listening(relay)
        route = Request(
            f"http://127.0.0.1:{api}/api/routes{PREFIX.rstrip('/')}",
            data=json.dumps({"target": f"http://127.0.0.1:{gateway}"}).encode(),
            headers={"Authorization": f"token {secret}"},
        )
        with urlopen(route, timeout=10):
            pass
        yield [
            Target(DIRECT, gateway, "/", None),
            Target(SERVICE, service, PREFIX, psutil.Process(ours.pid)),
            Target(PROXY, proxy, PREFIX, psutil.Process(theirs.pid)),
            Target(RELAY, relay, PREFIX, psutil.Process(bare.pid)),
        ]


class Series:
    """What each target gave in each round, by measure."""

    def __init__(self, targets: list[Target]) -> None:
        self._names = [target.name for target in targets]
        self._values: dict[str, dict[str, list[float]]] = {}

    def add(self, measure: str, name: str, value: float) -> None:
        """Keep a value of this round."""
        found = self._values.setdefault(measure, {each: [] for each in self._names})
        found[name].append(value)

    def __getitem__(self, measure: str) -> dict[str, list[float]]:
        return {name: values for name, values in self._values[measure].items() if values}


def turns(targets: list[Target], rounds: int) -> Iterator[list[Target]]:
    """Return the targets for each round, every time beginning with another."""
    for number in range(rounds):
        start = number % len(targets)
        yield targets[start:] + targets[:start]


def measure_requests(targets: list[Target], effort: Effort) -> list[Row]:
    """Compare requests per second, the time that a request takes and what it costs the processor."""
    targets = [target for target in targets if target.name != RELAY]  # it takes one request per connection
    seen = Series(targets)

    def count(target: Target, found: Seen) -> None:
        seen.add("failures", target.name, found.failures)

    with Generator() as generator:
        for target in targets:
            generator.run(Plan(target.port, target.prefix + LIST, 32, effort.seconds))
        for order in turns(targets, effort.rounds):
            for connections in CONNECTIONS:
                for target in order:
                    before = cpu_seconds(target.process) if target.process else 0.0
                    found = generator.run(
                        Plan(target.port, target.prefix + LIST, connections, effort.seconds)
                    )
                    count(target, found)
                    seen.add(f"rate {connections}", target.name, found.answers / found.seconds)
                    seen.add(f"p50 {connections}", target.name, found.p50 * 1000)
                    seen.add(f"p99 {connections}", target.name, found.p99 * 1000)
                    if target.process and found.answers:
                        used = (cpu_seconds(target.process) - before) / found.answers
                        seen.add(f"cpu {connections}", target.name, used * 1e6)
            for target in order:
                found = generator.run(Plan(target.port, target.prefix + LIST, 32, effort.seconds, rate=RATE))
                count(target, found)
                seen.add("p50 open", target.name, found.p50 * 1000)
                seen.add("p99 open", target.name, found.p99 * 1000)
    rows = []
    for connections in CONNECTIONS:
        many = _connections(connections)
        rate = seen[f"rate {connections}"]
        rows.append(ratio(f"requests/s, {many}", "1/s", rate, (SERVICE, PROXY), at_least(1.0)))
        rows.append(ratio(f"requests/s, {many}", "1/s", rate, (SERVICE, DIRECT)))
    rows.append(ratio("processor time per request, 32 connections", "µs", seen["cpu 32"], (SERVICE, PROXY)))
    rate_words = f"{RATE:g} requests/s"
    rows += [
        added(f"p50 at {rate_words}", "ms", seen["p50 open"], (SERVICE, DIRECT), at_most(0.35, " ms")),
        added(f"p99 at {rate_words}", "ms", seen["p99 open"], (SERVICE, DIRECT)),
        ratio(f"p50 at {rate_words}", "ms", seen["p50 open"], (SERVICE, PROXY)),
        ratio(f"p99 at {rate_words}", "ms", seen["p99 open"], (SERVICE, PROXY)),
    ]
    for connections in CONNECTIONS:
        many = _connections(connections)
        rows.append(added(f"p50, {many}", "ms", seen[f"p50 {connections}"], (SERVICE, DIRECT)))
        rows.append(added(f"p99, {many}", "ms", seen[f"p99 {connections}"], (SERVICE, DIRECT)))
    rows.append(absolute("failed requests per round", "of all", seen["failures"], SERVICE, at_most(0)))
    return rows


def _connections(number: int) -> str:
    return f"{number} connection{'s' if number > 1 else ''}"


def measure_streams(targets: list[Target], effort: Effort) -> list[Row]:
    """Compare bytes per second of one stream, and the memory that it takes."""
    seen = Series(targets)
    before = {target.name: resident(target.process) for target in targets if target.process}

    def stream(what: str, target: Target, size: int, pieces_per_second: float = 0.0) -> None:
        path = f"{target.prefix}clusters/{CLUSTER}/stream/{size}"
        plan = Plan(target.port, path, size=size, pieces_per_second=pieces_per_second)
        if target.process is None:
            found = generator.run(plan)
        else:
            cpu = cpu_seconds(target.process)
            with Memory(target.process) as memory:
                found = generator.run(plan)
            # Against the first of all rounds: what one round keeps is growth too.
            seen.add(f"{what} memory", target.name, (memory.peak - before[target.name]) / _MB)
            used = cpu_seconds(target.process) - cpu
            seen.add(f"{what} cpu", target.name, used * 1000 * 1024 * _MB / size)
        seen.add("failures", target.name, found.failures)
        seen.add(f"{what} rate", target.name, size / _MB / found.seconds if found.answers else 0.0)

    with Generator() as generator:
        for order in turns(targets, effort.rounds):
            for target in order:
                stream("fast", target, effort.stream_bytes)
        proxies = [target for target in targets if target.name in {SERVICE, PROXY}]
        for order in turns(proxies, effort.rounds):
            for target in order:
                stream("slow", target, effort.stream_bytes // 4, pieces_per_second=200)
    name = f"one stream of {effort.stream_bytes / _MB / 1024:g} GB"
    rate = seen["fast rate"]
    return [
        ratio(f"bytes/s, {name}", "MB/s", rate, (SERVICE, DIRECT), at_least(0.8)),
        ratio(f"bytes/s, {name}", "MB/s", rate, (SERVICE, RELAY), at_least(0.8)),
        ratio(f"bytes/s, {name}", "MB/s", rate, (SERVICE, PROXY), at_least(1.0)),
        ratio("processor time per byte of it", "ms/GB", seen["fast cpu"], (SERVICE, RELAY)),
        ratio("processor time per byte of it", "ms/GB", seen["fast cpu"], (SERVICE, PROXY)),
        absolute(f"memory growth, {name}", "MB", seen["fast memory"], SERVICE, at_most(20, " MB")),
        absolute("memory growth, a slow reader", "MB", seen["slow memory"], SERVICE, at_most(20, " MB")),
        absolute("failed streams per round", "of all", seen["failures"], SERVICE, at_most(0)),
    ]
