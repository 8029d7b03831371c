"""The credential service: the first keys of a user, keys that are kept, and a thousand pods that ask at once.

Against STS alone for the first; against the aim for the rest, as there is no other such service.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from scalablehub.services.credentials.tokens import Claims, sign, signing_key
from tests.bench.measuring import DIRECT, SERVICE, Row, absolute, added, at_least, at_most
from tests.bench.processes import running, wait_until_answering
from tests.bench.vouching import STARTED
from tests.stack import free_port

HUB_TOKEN = "the-token-of-the-service"
CONNECTIONS, USERS, PODS_OF_EACH = 8, 100, 10


@dataclass(frozen=True)
class Place:
    """Ports of the service and of what stands behind it."""

    upstream: int
    service: int

    @property
    def credentials(self) -> str:
        """Address of keys."""
        return f"http://127.0.0.1:{self.service}/aws/credentials"

    @property
    def sts(self) -> str:
        """Address of STS."""
        return f"http://127.0.0.1:{self.upstream}/"


@dataclass(frozen=True)
class _Seen:
    """What each round came to: milliseconds, and numbers."""

    cold: dict[str, list[float]] = field(default_factory=lambda: {SERVICE: [], DIRECT: []})
    rate: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    stampede: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)


def measure_credentials(folder: Path, rounds: int, seconds: float, *, quick: bool) -> list[Row]:
    """Return how soon the first keys are there, how many are handed out, and what a stampede comes to."""
    users = 10 if quick else USERS
    seen = _Seen()
    for _ in range(rounds):
        # Nothing is kept of the round before.
        with _place(folder) as place:
            asyncio.run(_measure(place, users, seconds, seen))
    pods = f"{users * PODS_OF_EACH} pods of {users} users at once"
    return [
        added("first keys of a user", "ms", seen.cold, (SERVICE, DIRECT)),
        absolute("keys that are kept, handed out", "1/s", {SERVICE: seen.rate}, SERVICE, at_least(1000)),
        absolute(
            f"the same, p99 with {CONNECTIONS} clients",
            "ms",
            {SERVICE: seen.p99},
            SERVICE,
            at_most(10, " ms"),
        ),
        absolute(
            f"{pods}, the last has keys after", "ms", {SERVICE: seen.stampede}, SERVICE, at_most(2000, " ms")
        ),
        absolute(f"{pods}, calls of STS for a user", "", {SERVICE: seen.calls}, SERVICE, at_most(1)),
    ]


async def _measure(place: Place, users: int, seconds: float, seen: _Seen) -> None:
    """Add what one round comes to."""
    tokens = _tokens("known", users)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await _ask(session, place, _tokens("first", 1)[0])  # what is loaded once
        cold = [await _ask(session, place, token) for token in tokens]
        direct = [await _ask_sts(session, place, f"direct-{number}") for number in range(len(tokens))]
        seen.cold[SERVICE].append(statistics.median(cold))
        seen.cold[DIRECT].append(statistics.median(direct))
        began = time.perf_counter()
        found = [
            one
            for times in await asyncio.gather(
                *(
                    _keep_asking(session, place, tokens[number::CONNECTIONS], seconds)
                    for number in range(CONNECTIONS)
                )
            )
            for one in times
        ]
        seen.rate.append(len(found) / (time.perf_counter() - began))
        seen.p99.append(statistics.quantiles(found, n=100)[98])
        pods = _tokens("pod", users) * PODS_OF_EACH
        began = time.perf_counter()
        await asyncio.gather(*(_ask(session, place, token) for token in pods))
        seen.stampede.append((time.perf_counter() - began) * 1000)
        async with session.get(place.sts) as answer:
            counts = await answer.json()
        seen.calls.append(max(count for name, count in counts.items() if "pod" in name))


async def _keep_asking(
    session: aiohttp.ClientSession, place: Place, tokens: Sequence[str], seconds: float
) -> list[float]:
    """Return the milliseconds of each question, one after the other."""
    end = time.perf_counter() + seconds
    found = []
    while time.perf_counter() < end:
        found += [await _ask(session, place, token) for token in tokens]
    return found


async def _ask(session: aiohttp.ClientSession, place: Place, token: str) -> float:
    """Return the milliseconds until there are keys."""
    began = time.perf_counter()
    async with session.get(place.credentials, headers={"Authorization": token}) as answer:
        assert (await answer.json())["AccessKeyId"], answer.status
    return (time.perf_counter() - began) * 1000


async def _ask_sts(session: aiohttp.ClientSession, place: Place, name: str) -> float:
    began = time.perf_counter()
    async with session.post(place.sts, data={"RoleSessionName": name}) as answer:
        assert "AccessKeyId" in await answer.text()
    return (time.perf_counter() - began) * 1000


def _tokens(kind: str, count: int) -> list[str]:
    key = signing_key(HUB_TOKEN)
    expires = int(time.time()) + 3600
    return [sign(Claims(f"{kind}-{number}", "", STARTED, expires), key) for number in range(count)]


@contextmanager
def _place(folder: Path) -> Iterator[Place]:
    upstream, service = free_port(), free_port()
    log = folder / "log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{service}",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{upstream}/hub/api",
        "JUPYTERHUB_API_TOKEN": HUB_TOKEN,
        "AWS_ACCESS_KEY_ID": "unused",
        "AWS_SECRET_ACCESS_KEY": "unused",
    }
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.bench.vouching", str(upstream)]
        behind = stack.enter_context(running(command, log))
        wait_until_answering(f"http://127.0.0.1:{upstream}/", behind, log)
        command = [sys.executable, "-m", "scalablehub.services.credentials"]
        ours = stack.enter_context(running(command, log, environment))
        wait_until_answering(f"http://127.0.0.1:{service}/health", ours, log)
        yield Place(upstream, service)
