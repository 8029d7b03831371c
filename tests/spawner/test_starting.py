"""How a start in Kubernetes goes, and what runs is watched: KubeSpawner's own code, with an API of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from jupyterhub.utils import format_exception
from kubernetes_asyncio.client.rest import ApiException
from tornado import web

from scalablehub.spawner import kubernetes
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from tests.spawner.pods import (
    RUNNING,
    answer,
    container,
    event,
    pod,
    running,
    terminated,
    unscheduled,
    waiting,
)
from tests.spawner.stubs import around, config

NO_ROOM = pod(**unscheduled("0/3 nodes are available: 3 Insufficient memory."))
NO_IMAGE = pod(containerStatuses=[container(waiting("ImagePullBackOff"), started=False)])
OUT_OF_MEMORY = pod("Running", containerStatuses=[container(terminated("OOMKilled", 137))])
ENDED_WELL = pod("Succeeded", containerStatuses=[container(terminated("Completed", 0))])
EARLIER = running(uid="earlier", port=1)
NO_ROOM_WORDS = (
    "There is no machine with room for 0.88 cores and 3.8 GB at the moment. Choose a smaller size, or try "
    "again when others have stopped their servers."
)
AWAY_WORDS = (
    "The hub cannot start servers at the moment: the machines that run them do not answer. What runs goes "
    "on; try again in a minute."
)
MEMORY_WORDS = (
    "Your server needed more than its 3.8 GB of memory and was ended. Choose a larger size, or work on less "
    "data at a time."
)


class View:
    """What the hub sees of pods and events."""

    def __init__(self, **_: Any) -> None:
        self.pods: dict[str, Any] = {}
        self.events: list[Any] = []
        self.first_load_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.watch_task: asyncio.Future[None] | None = None

    async def start(self) -> None:
        self.first_load_future.set_result(None)
        self.watch_task = asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        pass


class Cluster:
    """The API of a Kubernetes cluster as far as servers need it: what is made there comes into view."""

    def __init__(self, spawner: ScalableKubeSpawner) -> None:
        self.api_client = spawner.api.api_client
        self.view, self.events = View(), View()
        self.key = f"{spawner.namespace}/{spawner.pod_name}"
        self.made: list[Any] = []
        self.answers: list[Callable[[], None]] = []
        """What happens at each request for a pod; the last goes on happening."""

    def show(self, seen: dict[str, Any]) -> None:
        self.view.pods[self.key] = seen

    async def create_namespaced_pod(self, namespace: str, body: Any) -> None:
        happens = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        happens()
        self.made.append(self.api_client.sanitize_for_serialization(body))

    async def delete_namespaced_pod(self, **_: Any) -> None:
        self.view.pods.pop(self.key, None)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kubernetes, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(kubernetes, "_FAULT_SECONDS", 0.001)
    # On a machine that is busy a test may take longer than a pod may stay unseen.
    monkeypatch.setattr(kubernetes, "_UNSEEN_SECONDS", 600)
    yield
    ScalableKubeSpawner._ends.clear()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ScalableKubeSpawner, Cluster]]:
    """Make a spawner and the cluster that it talks to."""

    def make(
        *happens: Callable[[Cluster], None], name: str = "alice", server: str = "", **options: Any
    ) -> tuple[ScalableKubeSpawner, Cluster]:
        c = config()
        c.KubeSpawner.update({"start_timeout": 60, "events_enabled": True} | options)
        around_it = around(name, server=server, options={"size": "small"})
        spawner = ScalableKubeSpawner(_mock=True, config=c, **around_it)
        cluster = Cluster(spawner)
        cluster.answers = [lambda happen=happen: happen(cluster) for happen in happens]  # type: ignore[misc]
        cluster.view.first_load_future.set_result(None)
        cluster.events.first_load_future.set_result(None)
        spawner.api = cluster
        views = {("pods", spawner.namespace): cluster.view, ("events", spawner.namespace): cluster.events}
        monkeypatch.setattr(ScalableKubeSpawner, "reflectors", views)
        return spawner, cluster

    return make


Make = Callable[..., tuple[ScalableKubeSpawner, Cluster]]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Listen as a server does."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


def shows(seen: dict[str, Any]) -> Callable[[Cluster], None]:
    """Let a new pod be seen like this."""
    return lambda cluster: cluster.show(seen)


def refuses(status: int, message: str = "") -> Callable[[Cluster], None]:
    def refuse(_: Cluster) -> None:
        error = ApiException(status=status, reason="Refused")
        error.body = answer(status, message)
        raise error

    return refuse


def soon(*happens: Callable[[], None]) -> None:
    """Let things happen one after another while a start waits."""
    for number, happen in enumerate(happens, start=1):
        asyncio.get_running_loop().call_later(0.03 * number, happen)


async def words_of(spawner: ScalableKubeSpawner) -> tuple[int, str]:
    """Return the status and the words with which a start fails, once it has left nothing behind."""
    before = asyncio.all_tasks()
    with pytest.raises(web.HTTPError) as raised:
        await spawner.start()
    assert asyncio.all_tasks() <= before
    return raised.value.status_code, raised.value.jupyterhub_message


async def test_a_server_has_started_when_it_listens(make: Make, port: int) -> None:
    spawner, _ = make(shows(running(port=port)))
    before = asyncio.all_tasks()
    assert await spawner.start() == f"http://127.0.0.1:{port}"
    assert asyncio.all_tasks() <= before


async def test_an_address_without_a_port_is_that_of_its_scheme(make: Make, port: int) -> None:
    spawner, _ = make(shows(running(port=port)), get_pod_url=lambda spawner, pod: "http://127.0.0.1")
    asked: list[Any] = []

    async def connect(host: str, port: int) -> Any:
        asked.append((host, port))
        return await asyncio.get_running_loop().create_future()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "open_connection", connect)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(spawner.start(), 0.5)
    assert asked == [("127.0.0.1", 80)]


async def test_a_server_that_ends_before_it_listens_has_not_started(make: Make, unused_tcp_port: int) -> None:
    spawner, cluster = make(shows(running(port=unused_tcp_port)))
    crashed = container(waiting("CrashLoopBackOff"), terminated("Error", 1), restarts=1)
    soon(lambda: cluster.show(pod("Running", containerStatuses=[crashed])))
    status, words = await words_of(spawner)
    assert (status, words[:62]) == (500, "Your server ended as soon as it started (exit code 1). Often s")


async def test_a_fault_that_waiting_does_not_heal_ends_the_start_at_once(make: Make) -> None:
    spawner, _ = make(shows(NO_IMAGE))
    assert await words_of(spawner) == (
        500,
        "The environment base could not be fetched: its image is not there, or the hub may not read it. "
        "Choose another environment, and tell the hub's admin.",
    )


async def test_a_fault_that_heals_is_not_told(make: Make, port: int) -> None:
    spawner, cluster = make(shows(NO_ROOM))
    soon(lambda: cluster.show(pod()), lambda: cluster.show(running(port=port)))
    assert await spawner.start() == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("seen", "reasons", "status", "words"),
    [
        (NO_ROOM, [], 503, NO_ROOM_WORDS),
        (
            NO_ROOM,
            ["TriggeredScaleUp"],
            503,
            "A new machine with room for 0.88 cores and 3.8 GB did not come in time. Try again, or choose a "
            "smaller size.",
        ),
        (
            pod(),
            [],
            500,
            "Your server did not answer within 1 seconds. Try again; if it stays so, choose another "
            "environment than base, or ask the hub's admin.",
        ),
    ],
    ids=["no room", "machine late", "silent"],
)
async def test_before_the_hub_gives_up_the_start_says_what_it_waits_for(
    make: Make, seen: dict[str, Any], reasons: list[str], status: int, words: str
) -> None:
    spawner, cluster = make(shows(seen), start_timeout=1)
    soon(lambda: cluster.events.events.extend(map(event, reasons)))
    assert await words_of(spawner) == (status, words)


async def test_while_no_pod_can_be_asked_for_it_is_not_the_server_that_does_not_answer(make: Make) -> None:
    spawner, cluster = make(shows(pod()), start_timeout=1)

    async def hang(namespace: str, body: Any) -> None:
        await asyncio.get_running_loop().create_future()

    cluster.create_namespaced_pod = hang  # type: ignore[method-assign]
    assert await words_of(spawner) == (503, AWAY_WORDS)


async def test_an_admin_may_set_how_long_a_start_waits_for_room(make: Make) -> None:
    spawner, _ = make(shows(NO_ROOM))
    spawner.no_room_patience = 0.01
    assert await words_of(spawner) == (503, NO_ROOM_WORDS)


async def test_who_waits_for_a_machine_that_is_on_its_way_waits_on(make: Make, port: int) -> None:
    spawner, cluster = make(lambda cluster: cluster.events.events.append(event("TriggeredScaleUp")))
    spawner.no_room_patience = 0.01
    soon(lambda: None, lambda: cluster.show(NO_ROOM), lambda: None, lambda: cluster.show(running(port=port)))
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_an_autoscaler_that_sends_no_machine_ends_the_start_at_once(make: Make) -> None:
    spawner, cluster = make(shows(NO_ROOM))
    soon(lambda: cluster.events.events.append(event("NotTriggerScaleUp")))
    assert await words_of(spawner) == (503, NO_ROOM_WORDS)


@pytest.mark.parametrize(
    ("refusal", "status", "words"),
    [
        (
            refuses(403, 'pods "jupyter-alice" is forbidden: exceeded quota: hub'),
            503,
            "The hub has reached its quota: there is no room for 0.88 cores and 3.8 GB at the moment. Choose "
            "a smaller size, or try again when others have stopped their servers.",
        ),
        (
            refuses(422, 'Pod "jupyter-alice" is invalid'),
            500,
            "Servers with size small and environment base cannot be started: the hub's description of them "
            "was refused. Choose another, and tell the hub's admin.",
        ),
        (refuses(500, "etcdserver: request timed out"), 503, AWAY_WORDS),
    ],
    ids=["quota", "invalid", "etcd"],
)
async def test_a_refusal_of_kubernetes_is_told_in_words(
    make: Make, refusal: Callable[[Cluster], None], status: int, words: str
) -> None:
    spawner, _ = make(refusal)
    assert await words_of(spawner) == (status, words)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        aiohttp.ClientConnectionError("refused"),
        OSError("no route"),
        aiohttp.ClientPayloadError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_kubernetes_that_does_not_answer_is_told_in_words(make: Make, error: Exception) -> None:
    def raise_it(spawner: Any, pod: Any) -> None:
        raise error

    spawner, _ = make(shows(pod()), modify_pod_hook=raise_it)
    assert await words_of(spawner) == (503, AWAY_WORDS)


async def test_a_size_that_is_not_the_users_is_refused_as_it_is_elsewhere(make: Make) -> None:
    spawner, cluster = make(shows(pod()))
    spawner.user_options = {"size": "large"}
    assert await words_of(spawner) == (403, "large cannot be chosen: Ask the research group.")
    assert cluster.made == []


async def test_an_error_of_an_admins_hook_stays_what_it_is(make: Make) -> None:
    def raise_it(spawner: Any, pod: Any) -> None:
        raise LookupError("theirs")

    spawner, _ = make(shows(pod()), modify_pod_hook=raise_it)
    with pytest.raises(LookupError, match="theirs"):
        await spawner.start()


async def test_what_an_admins_hook_adds_gets_no_rights_either(make: Make, port: int) -> None:
    def add(spawner: Any, pod: Any) -> Any:
        pod.spec.containers.append({"name": "beside", "image": "x"})
        return pod

    spawner, cluster = make(shows(running(port=port)), modify_pod_hook=add)
    await spawner.start()
    (made,) = cluster.made
    assert made["spec"]["containers"][1]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


async def test_an_admins_hook_that_takes_rights_is_refused_in_words(make: Make) -> None:
    def take(spawner: Any, pod: Any) -> Any:
        pod.spec.host_network = True
        return pod

    spawner, cluster = make(shows(pod()), modify_pod_hook=take)
    status, words = await words_of(spawner)
    assert (status, "ask for rights that this hub does not give" in words) == (500, True)
    assert cluster.made == []


async def test_a_server_that_is_still_being_ended_is_not_taken_for_the_new_one(make: Make, port: int) -> None:
    spawner, cluster = make(refuses(409, "already exists"), shows(running(port=port)))
    cluster.show(running(uid="earlier", deleted=True))
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_a_server_that_was_there_before_the_hub_looked_is_not_taken_for_the_new_one(
    make: Make, port: int
) -> None:
    """A hub that has just started sees the pods only after the start began."""
    spawner, cluster = make(refuses(409, "already exists"), shows(running(port=port)))
    soon(lambda: cluster.show(running(uid="earlier", deleted=True)))

    seen = asyncio.Event()
    soon(seen.set)

    async def wait(spawner: Any, pod: Any) -> Any:
        await seen.wait()
        return pod

    spawner.modify_pod_hook = wait
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_a_server_that_only_seems_to_be_there_is_not_taken_for_the_new_one(
    make: Make, port: int
) -> None:
    spawner, cluster = make(lambda cluster: None)
    cluster.show(EARLIER)
    soon(lambda: None, lambda: cluster.show(running(port=port)))
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_a_pod_that_the_hub_itself_ends_is_not_a_machine_that_went_away(make: Make) -> None:
    spawner, cluster = make(shows(pod()))

    async def delete(**_: Any) -> None:
        cluster.show(pod(deleted=True))
        soon(cluster.view.pods.clear)

    cluster.delete_namespaced_pod = delete  # type: ignore[method-assign]
    refused = ApiException(status=403, reason="Forbidden")

    def fail(spawner: Any, pod: Any) -> None:
        raise refused

    spawner.after_pod_created_hook = fail
    assert await words_of(spawner) == (
        500,
        "The hub cannot start servers, because it was not given what it needs for that. Tell the hub's "
        "admin.",
    )


async def test_a_state_that_cannot_be_read_does_not_end_the_start(make: Make, port: int) -> None:
    spawner, cluster = make(shows(pod(containerStatuses=["nonsense"])))
    soon(lambda: cluster.show(running(port=port)))
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_a_start_that_the_hub_gives_up_leaves_nothing_behind(make: Make) -> None:
    spawner, _ = make(shows(pod()))
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(spawner.start(), 0.05)
    assert asyncio.all_tasks() <= before


async def test_the_words_reach_the_page_and_the_api_of_every_jupyterhub(make: Make) -> None:
    spawner, _ = make(refuses(403, "exceeded quota of 100 % of 5 %s"))
    with pytest.raises(web.HTTPError) as raised:
        await spawner.start()
    error = raised.value
    assert format_exception(error, only_jupyterhub=True) == (error.jupyterhub_message, None)
    assert error.log_message % error.args == error.jupyterhub_message


class Broken(View):
    """A view for which Kubernetes does not answer."""

    async def start(self) -> None:
        self.first_load_future.set_exception(error := ApiException(status=503))
        raise error


def done(view: View) -> None:
    view.first_load_future.set_result(None)
    view.watch_task = asyncio.get_running_loop().create_future()
    view.watch_task.set_result(None)


@pytest.mark.parametrize(
    "ends",
    [
        done,
        lambda view: view.first_load_future.set_exception(OSError()),
        lambda view: view.first_load_future.cancel(),
    ],
    ids=["gave up", "never loaded", "was given up"],
)
async def test_a_view_that_sees_nothing_any_more_is_made_anew(
    make: Make, ends: Callable[[View], None]
) -> None:
    spawner, _ = make()
    blind = View()
    ends(blind)
    ScalableKubeSpawner.reflectors["pods", spawner.namespace] = blind
    found = await spawner._start_reflector("pods", View)
    assert found is not blind
    assert spawner.pod_reflector is found
    assert await spawner._start_reflector("pods", View) is found


async def test_a_new_pod_that_does_not_come_into_view_is_looked_for_anew(
    make: Make, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawner, cluster = make(lambda _: None, events_enabled=False)

    class Seeing(View):
        async def start(self) -> None:
            await super().start()
            self.pods[cluster.key] = running(port=port)

    monkeypatch.setattr("kubespawner.spawner.PodReflector", Seeing)
    monkeypatch.setattr(kubernetes, "_UNSEEN_SECONDS", 0.05)
    assert await spawner.start() == f"http://127.0.0.1:{port}"


async def test_a_view_that_fails_to_come_back_is_tried_again(make: Make) -> None:
    spawner, _ = make()
    blind = View()
    done(blind)
    ScalableKubeSpawner.reflectors["pods", spawner.namespace] = blind
    for _ in range(2):
        with pytest.raises(ApiException):
            await spawner._start_reflector("pods", Broken)
    assert (await spawner._start_reflector("pods", View)).first_load_future.done()


async def test_a_start_that_is_given_up_does_not_leave_a_view_half_loaded(make: Make) -> None:
    spawner, _ = make()
    ScalableKubeSpawner.reflectors.clear()
    answers = asyncio.Event()

    class Slow(View):
        async def start(self) -> None:
            await answers.wait()
            await super().start()

    first = asyncio.ensure_future(spawner._start_reflector("pods", Slow))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    answers.set()
    found = await asyncio.wait_for(spawner._start_reflector("pods", Slow), 5)
    assert not found.first_load_future.cancelled()


@pytest.mark.parametrize(
    ("seen", "code"),
    [(running(), None), (pod(), None), (None, 1), (ENDED_WELL, 0), (OUT_OF_MEMORY, 137)],
    ids=["runs", "starts", "gone", "ended well", "out of memory"],
)
async def test_a_server_that_is_seen_is_what_it_is(
    make: Make, seen: dict[str, Any] | None, code: int | None
) -> None:
    spawner, cluster = make()
    if seen is not None:
        cluster.show(seen)
    assert await spawner.poll() == code


@pytest.mark.parametrize(
    "error",
    [ApiException(status=503), aiohttp.ClientConnectionError(), TimeoutError(), OSError()],
    ids=lambda error: type(error).__name__,
)
async def test_a_server_counts_as_running_while_pods_cannot_be_seen(make: Make, error: Exception) -> None:
    spawner, _ = make()
    ScalableKubeSpawner.reflectors.clear()

    async def fail(**_: Any) -> None:
        raise error

    spawner._start_reflector = fail  # type: ignore[method-assign]
    assert await spawner.poll() is None


async def test_a_server_that_ended_counts_as_running_until_its_pod_can_be_removed(make: Make) -> None:
    spawner, cluster = make()
    cluster.show(ENDED_WELL)

    async def fail(**_: Any) -> None:
        raise ApiException(status=503)

    cluster.delete_namespaced_pod = fail  # type: ignore[method-assign]
    assert await spawner.poll() is None


async def test_the_next_page_says_that_a_server_ran_out_of_memory(make: Make) -> None:
    spawner, cluster = make()
    cluster.show(OUT_OF_MEMORY)
    await spawner.poll()
    again, _ = make()
    assert again.notes() == [MEMORY_WORDS]
    assert MEMORY_WORDS in again.render_options_form()


@pytest.mark.parametrize(("name", "server"), [("bob", ""), ("alice", "two")])
async def test_it_is_said_of_that_server_of_that_user_alone(make: Make, name: str, server: str) -> None:
    spawner, cluster = make()
    cluster.show(OUT_OF_MEMORY)
    await spawner.poll()
    other, _ = make(name=name, server=server)
    assert other.notes() == []


async def test_it_is_said_until_the_next_start(make: Make, port: int) -> None:
    spawner, cluster = make(shows(running(port=port)))
    cluster.show(OUT_OF_MEMORY)
    await spawner.poll()
    await spawner.start()
    assert spawner.notes() == []


async def test_a_poll_after_the_hubs_own_restart_leaves_the_users_options_alone(make: Make) -> None:
    spawner, cluster = make()
    spawner.user_options = {"size": "gone"}
    cluster.show(OUT_OF_MEMORY)
    assert await spawner.poll() == 137
    assert spawner.user_options == {"size": "gone"}
    assert spawner.notes() == [MEMORY_WORDS]


async def test_a_server_that_ended_well_leaves_no_note(make: Make) -> None:
    spawner, cluster = make()
    cluster.show(ENDED_WELL)
    await spawner.poll()
    assert spawner.notes() == []


async def told(spawner: ScalableKubeSpawner, *seen: dict[str, Any]) -> list[tuple[int, str]]:
    """Return what a user is told of a start with these events."""
    spawner._start_future = asyncio.get_running_loop().create_future()
    spawner._start_future.set_result(None)
    assert spawner.event_reflector is not None
    spawner.event_reflector.events.extend(seen)
    return [(step["progress"], step["message"]) async for step in spawner.progress()]


async def test_a_user_is_told_in_words_what_happens(make: Make) -> None:
    spawner, _ = make()
    assert await told(spawner, event("Scheduled"), event("NodeNotReady"), event("Pulling")) == [
        (30, "A machine with room for your server was found."),
        (63, "Your environment is being fetched; on a machine that is new to it that takes a few minutes."),
    ]


async def test_a_user_is_told_the_same_once_only(make: Make) -> None:
    spawner, _ = make()
    assert await told(spawner, event("BackOff"), event("BackOff"), event("Failed")) == [
        (30, "Your server did not start; the hub tries again.")
    ]


async def test_a_user_is_not_told_what_becomes_of_an_earlier_pod(make: Make) -> None:
    spawner, _ = make()
    spawner._earlier_pod = "earlier"
    assert await told(spawner, event("Killing", uid="earlier"), event("Started")) == [
        (50, "Your server starts.")
    ]


def test_the_stand_ins_are_json_as_kubernetes_sends_it() -> None:
    for seen in (NO_ROOM, NO_IMAGE, OUT_OF_MEMORY, ENDED_WELL, EARLIER, event("Started"), RUNNING):
        assert json.loads(json.dumps(seen)) == seen
