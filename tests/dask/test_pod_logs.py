"""Logs of pods as Kubernetes' API gives them; `tests/kubernetes` reads those of real pods."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration, CoreV1Api
from kubernetes_asyncio.client.rest import ApiException

from scalablehub.dask import pod_logs
from scalablehub.dask.pod_logs import PodLogs
from tests.services.dask_gateway.conftest import Handler, TinyServer


class Response:
    def __init__(self, status: int, chunks: list[bytes]) -> None:
        self.status, self._chunks, self.closed = status, chunks, False
        self.content = self

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk

    def close(self) -> None:
        self.closed = True


class Core:
    """Kubernetes' API for pods."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] | int = []
        self.logs: dict[tuple[str, bool], list[bytes] | int | None] = {}
        self.asked: list[tuple[str, bool]] = []
        self.responses: list[Response] = []
        self.api_client = SimpleNamespace(sanitize_for_serialization=lambda found: found)

    async def list_namespaced_pod(self, namespace: str, label_selector: str) -> dict[str, Any]:
        assert (namespace, label_selector) == ("users", "gw=1,gateway.dask.org/cluster=c")
        if isinstance(self.pods, int):
            raise ApiException(status=self.pods)
        return {"items": list(self.pods)}

    async def read_namespaced_pod_log(
        self, name: str, _namespace: str, *, previous: bool, _preload_content: bool, **_: Any
    ) -> Response:
        assert not _preload_content
        self.asked.append((name, previous))
        found = self.logs.get((name, previous), 404)
        if found is None:
            await asyncio.Event().wait()
        self.responses.append(Response(found, []) if isinstance(found, int) else Response(200, found or []))
        return self.responses[-1]


def pod(
    name: str, part: str = "worker", *, cluster: str = "c", leaving: bool = False, **status: Any
) -> dict[str, Any]:
    labels = {"gateway.dask.org/cluster": cluster, "app.kubernetes.io/component": f"dask-{part}"}
    metadata = {"name": name, "uid": f"uid-{name}", "namespace": "users", "labels": labels}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    beside = {"name": "beside", "state": {"running": {}}, "restartCount": 7}
    dask = {"name": f"dask-{part}", **(status or {"state": {"running": {}}})}
    return {"metadata": metadata, "status": {"containerStatuses": [beside, dask]}}


FAILED = {"exitCode": 3, "message": "last words"}


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
async def logs(core: Core, caplog: pytest.LogCaptureFixture) -> AsyncIterator[PodLogs]:
    yield PodLogs(core, "users", "gw=1", {"users.c"}.__contains__, logging.getLogger("gateway"))
    assert all(response.closed for response in core.responses)


async def heard(logs: PodLogs, *pods: dict[str, Any]) -> None:
    """Have the pods heard of, and wait until what is read of them is read."""
    for one in pods:
        logs.hear(one)
    await asyncio.gather(*logs._reading)


async def read(logs: PodLogs) -> list[tuple[str, str, bool, str]]:
    return [(log.name, log.text, log.over, log.how) for log in await logs.of("users.c")]


@asynccontextmanager
async def following(answer: Handler) -> AsyncIterator[None]:
    """Follow the pods of an API server, with Kubernetes' own client."""
    server = TinyServer(answer)
    await server.start()
    async with ApiClient(Configuration(host=f"http://127.0.0.1:{server.port}")) as api:
        log = logging.getLogger("gateway")
        logs = PodLogs(CoreV1Api(api), "users", "gw=1", {"users.c"}.__contains__, log)
        work = asyncio.create_task(logs.follow())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    await server.stop()


@pytest.mark.parametrize("cut", [b'{"type": "ADDED", "obj', b'{"type": "ADDED"}\n', b"\xff\n"], ids=repr)
async def test_a_watch_that_is_cut_off_begins_anew(monkeypatch: pytest.MonkeyPatch, cut: bytes) -> None:
    monkeypatch.setattr(pod_logs, "_PAUSE_SECONDS", 0)
    event = {"type": "ADDED", "object": pod("w", state={"terminated": FAILED})}
    watches, read = [cut, json.dumps(event).encode() + b"\n"], asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/log"):
            read.set()
            return web.Response(text="its log")
        return web.Response(body=watches.pop(0) if watches else b"")

    async with following(answer):
        await asyncio.wait_for(read.wait(), 10)


async def test_a_watch_in_which_nobody_is_left_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_PAUSE_SECONDS", 0), ("_WATCH_SECONDS", 0.1), ("_LATE_SECONDS", 0.1)):
        monkeypatch.setattr(pod_logs, name, seconds)
    watches, second = 0, asyncio.Event()

    async def never(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal watches
        watches += 1
        if watches == 2:
            second.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with following(never):
        await asyncio.wait_for(second.wait(), 10)


async def test_what_runs_is_read_when_somebody_looks(logs: PodLogs, core: Core) -> None:
    core.pods = [pod("w"), pod("s", "scheduler")]
    core.logs = {("s", False): [b"hel", b"lo\n"], ("w", False): [b"there"]}
    assert await read(logs) == [("s", "hello", False, ""), ("w", "there", False, "")]


@pytest.mark.parametrize(
    ("ending", "previous", "how"),
    [
        ({"leaving": True}, False, ""),
        ({"state": {"terminated": FAILED}}, False, "it failed (exit code 3)"),
        ({"state": {"terminated": {"exitCode": 0}}}, False, ""),
        (
            {"state": {"running": {}}, "lastState": {"terminated": FAILED}, "restartCount": 1},
            True,
            "it failed (exit code 3)",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": FAILED},
                "restartCount": 2,
            },
            True,
            "it failed (exit code 3), 2 times so far",
        ),
        (
            {"leaving": True, "state": {"running": {}}, "restartCount": 1},
            False,
            "",
        ),
    ],
    ids=["removed", "failed", "ended", "started anew", "waits to start anew", "removed after a new start"],
)
async def test_the_log_of_what_ends_is_kept_when_the_pod_is_gone(
    logs: PodLogs, core: Core, ending: dict[str, Any], previous: bool, how: str
) -> None:
    core.logs = {("w", previous): [b"words"]}
    await heard(logs, pod("w", **ending))
    assert core.asked == [("w", previous)]
    assert await read(logs) == [("w", "words", True, how)]


async def test_before_a_cluster_is_ended_its_logs_are_kept(logs: PodLogs, core: Core) -> None:
    core.pods = [pod("s", "scheduler"), pod("w")]
    core.logs = {("s", False): [b"one"], ("w", False): [b"two"]}
    await logs.keep("users.c")
    core.pods, core.logs = [], {("w", False): [b"two and the end"], ("s", False): []}
    await heard(logs, pod("w", leaving=True), pod("s", "scheduler", leaving=True))
    assert sorted(await read(logs)) == [("s", "one", True, ""), ("w", "two and the end", True, "")]


@pytest.mark.parametrize("answer", [500, 403, None], ids=["failed", "no right", "no answer"])
async def test_a_cluster_is_ended_whatever_becomes_of_its_logs(
    logs: PodLogs, core: Core, answer: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "_LAST_LOOK_SECONDS", 0.01)
    core.pods = [pod("w")] if answer is None else answer
    core.logs = {("w", False): None}
    await logs.keep("users.c")


async def test_what_has_not_changed_is_not_read_again(logs: PodLogs, core: Core) -> None:
    core.logs = {("w", False): [b"words"]}
    await heard(logs, pod("w"))
    for _ in range(3):
        await heard(logs, pod("w", leaving=True))
    assert len(core.asked) == 1


async def test_pods_of_another_gateways_clusters_are_left_alone(logs: PodLogs, core: Core) -> None:
    await heard(logs, pod("w", cluster="other", leaving=True))
    assert core.asked == []


async def test_how_a_scheduler_failed_is_known_at_once(logs: PodLogs) -> None:
    logs.hear(pod("s", "scheduler", state={"terminated": FAILED}))
    assert logs.last_words("users.c") == "it failed (exit code 3):\nlast words"
    assert logs.last_words("users.other") == ""
    await asyncio.gather(*logs._reading)


async def test_of_thousands_of_workers_that_end_few_are_read(logs: PodLogs, core: Core) -> None:
    core.logs = {(str(number), False): [b"x"] for number in range(3000)}
    for start in range(0, 3000, 100):
        await heard(logs, *(pod(str(number), leaving=True) for number in range(start, start + 100)))
    assert len(core.asked) <= 200
    assert len(await read(logs)) == 20


async def test_a_log_without_end_is_read_so_far_and_its_end_is_shown(logs: PodLogs, core: Core) -> None:
    core.pods = [pod("w")]
    core.logs = {("w", False): [b"x" * 2**20] * 8 + [b"never"]}
    (log,) = await logs.of("users.c")
    assert set(log.text) == {"x"}


async def test_a_kubelet_that_does_not_answer_holds_up_no_page(
    logs: PodLogs, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "_READ_SECONDS", 0.01)
    core.pods = [pod("w"), pod("s", "scheduler")]
    core.logs = {("w", False): None, ("s", False): [b"ready"]}
    assert [name for name, *_ in await read(logs)] == ["s"]


@pytest.mark.parametrize("refused", ["pods", "pods/log"])
async def test_without_a_right_there_are_no_logs_and_an_admin_is_told_once(
    logs: PodLogs, core: Core, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    core.pods = 403 if refused == "pods" else [pod("w")]
    core.logs = {("w", False): 403}
    for _ in range(2):
        assert await read(logs) == []
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"The gateway may not {'list' if refused == 'pods' else 'get'} {refused}, so")


async def test_what_is_being_read_ends_with_the_gateway(logs: PodLogs, core: Core) -> None:
    core.logs = {("w", False): None}

    class Ended(Exception):
        pass

    async def watch() -> None:
        logs.hear(pod("w", leaving=True))
        await asyncio.sleep(0)
        raise Ended

    logs._watch = watch  # type: ignore[method-assign]
    (before,) = [asyncio.all_tasks()]
    with pytest.raises(Ended):
        await logs.follow()
    assert asyncio.all_tasks() == before
