from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from dask_gateway_server.backends.base import PublicException
from traitlets.config import LoggingConfigurable

from scalablehub.dask import keeping
from scalablehub.dask.following import EndedCluster, KeptCluster
from scalablehub.dask.keeping import KeepingClusters
from scalablehub.dask.logs import Log
from scalablehub.dask.owners import Owners
from scalablehub.dask.showing import ClusterPages
from scalablehub.dask.workers import Worker
from scalablehub.decisions import Amount, Grant
from scalablehub.description import Description, resolve
from scalablehub.errors import PublicError
from tests.dask.hub import TOKEN, Hub, a_hub
from tests.descriptions import described, written

DASK = written()["dask"] | {"max_clusters": 3, "max_workers": 6, "linger": "5m"}


class Memory(LoggingConfigurable):
    """A backend that takes its time, and shows a cluster only after it was made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clusters: dict[str, KeptCluster] = {}

    async def process_cluster_options(self, user: Any, options: Any) -> None:
        await asyncio.sleep(0)
        if options == "bad":
            raise PublicException("bad options")

    async def start_cluster(self, user: Any, options: Any) -> str:
        await asyncio.sleep(0.001)
        if options == "broken":
            raise OSError("disk")
        name = f"{user.name}-{sum(c.owner == user.name for c in self.clusters.values()) + 1}"
        self.clusters[name] = KeptCluster(name, user.name, user.server, 0, Amount(cores=1, workers=1), 6)
        return name

    async def on_cluster_heartbeat(self, name: str, msg: Any) -> None:
        self.passed_on = (name, msg["count"])

    async def get_cluster(self, name: str, wait: bool = False) -> Any:
        return SimpleNamespace(name=name)


class Keeping(KeepingClusters, Memory):
    """The mixin over it, which notes what it is told to do."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ended: dict[str, str] = {}
        self.workers: dict[str, list[Worker]] = {}
        self.asked_back: list[tuple[str, int]] = []
        self.killed: list[str] = []
        self.over: list[EndedCluster] = []

    async def kept_clusters(self, *, fresh: bool) -> list[KeptCluster]:
        await asyncio.sleep(0)
        return [cluster for name, cluster in self.clusters.items() if name not in self.ended]

    async def set_grant(self, cluster: KeptCluster, granted: Grant) -> None:
        kept = self.clusters[cluster.name]
        self.clusters[cluster.name] = replace(kept, wanted=cluster.wanted, granted=granted.workers)

    async def end_cluster(self, cluster: KeptCluster, reason: str) -> None:
        self.ended[cluster.name] = reason

    async def ended_clusters(self, owner: str) -> list[EndedCluster]:
        return [cluster for cluster in self.over if cluster.owner == owner]

    async def logs_of(self, cluster_name: str) -> list[Log]:
        return [Log("worker", "w", "canary"), Log("scheduler", "s", f"of {cluster_name}")]

    async def note_alone(self, cluster: KeptCluster, alone: bool) -> None:
        self.clusters[cluster.name] = replace(cluster, alone_seconds=0.0 if alone else None)

    async def workers_of(self, clusters: Collection[KeptCluster]) -> Mapping[str, list[Worker]] | None:
        return {cluster.name: self.workers.get(cluster.name, []) for cluster in clusters}

    async def end_workers(self, cluster: KeptCluster, workers: list[str]) -> None:
        self.killed += workers

    async def forward_message_to_scheduler(self, model: Any, msg: Any) -> None:
        self.asked_back.append((model.name, msg["count"]))

    def describes(self, **dask: Any) -> None:
        self.description = resolve(described(dask=DASK | dask))

    async def wants(self, name: str, count: int) -> int:
        """Send a heartbeat; return what is granted."""
        lists: dict[str, Any] = {k: [] for k in ("active_workers", "closing_workers", "closed_workers")}
        await self.on_cluster_heartbeat(name, {"count": count, **lists})
        assert self.passed_on[0] == name
        return int(self.passed_on[1])


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with a_hub() as hub:
        for name in ("alice", "bob"):
            hub.has_owner(name, "research")
        yield hub


@pytest.fixture
async def backend(hub: Hub) -> AsyncIterator[Keeping]:
    backend = Keeping(log=logging.getLogger("gateway"))
    backend.describes()
    backend.owners = Owners(hub.url, TOKEN, timeout_seconds=5)
    yield backend
    await backend.end_keeping()


def user(name: str = "alice", *groups: str, server: str | None = "") -> Any:
    return SimpleNamespace(name=name, groups={"research", *groups}, admin=False, server=server)


# Clusters


async def test_of_many_starts_at_once_no_more_get_through_than_are_allowed(backend: Keeping) -> None:
    results = await asyncio.gather(
        *(backend.start_cluster(user(name), {}) for name in ["alice", "bob"] * 20), return_exceptions=True
    )
    assert sorted(r for r in results if isinstance(r, str)) == [
        *("alice-1", "alice-2", "alice-3"),
        *("bob-1", "bob-2", "bob-3"),
    ]
    assert {type(r) for r in results} == {str, PublicException}


async def test_who_has_their_most_is_told_which_they_are(backend: Keeping) -> None:
    backend.describes(max_clusters=1)
    await backend.start_cluster(user(), {})
    with pytest.raises(PublicException) as refusal:
        await backend.start_cluster(user(), {})
    assert str(refusal.value) == (
        "You have 1 of 1 clusters: alice-1. Stop one first, with Gateway().stop_cluster(name) or on the "
        "hub's page 'My Dask clusters'."
    )


async def test_a_group_has_no_more_clusters_together_than_it_may(backend: Keeping, hub: Hub) -> None:
    hub.has_owner("bob", "research", "course")
    backend.describes(caps={"course": {"groups": ["course"], "together": True, "clusters": 2}})
    for name in ("alice", "bob"):
        await backend.start_cluster(user(name, "course"), {})
    with pytest.raises(PublicException, match="2 clusters is the most that the members of course together"):
        await backend.start_cluster(user("alice", "course"), {})
    await backend.start_cluster(user("carol"), {})


async def test_a_group_may_have_more_clusters_than_everybody(backend: Keeping) -> None:
    backend.describes(max_clusters=1, caps={"power": {"groups": ["power"], "clusters": 2}})
    await backend.start_cluster(user("alice", "power"), {})
    assert await backend.start_cluster(user("alice", "power"), {}) == "alice-2"


async def test_a_start_that_failed_leaves_its_turn_to_the_next(backend: Keeping) -> None:
    backend.describes(max_clusters=1)
    with pytest.raises(OSError, match="disk"):
        await backend.start_cluster(user(), "broken")
    assert await backend.start_cluster(user(), {}) == "alice-1"


async def test_bad_options_are_the_first_to_be_told(backend: Keeping) -> None:
    backend.describes(max_clusters=1)
    await backend.start_cluster(user(), {})
    with pytest.raises(PublicException, match="bad options"):
        await backend.start_cluster(user(), "bad")


# Workers


async def test_a_cluster_gets_what_it_wants_up_to_its_most(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    assert [await backend.wants(name, count) for count in (0, 4, 6, 7, 10**9, 2)] == [0, 4, 6, 6, 6, 2]


async def test_all_clusters_of_a_user_share_what_they_may_have(backend: Keeping) -> None:
    backend.describes(caps={"all": {"workers": 8}})
    first, second = [await backend.start_cluster(user(), {}) for _ in range(2)]
    assert await backend.wants(first, 6) == 6
    assert await backend.wants(second, 6) == 2


async def test_a_clipped_cluster_gets_more_when_another_needs_less(backend: Keeping) -> None:
    backend.describes(caps={"all": {"workers": 8}})
    first, second = [await backend.start_cluster(user(), {}) for _ in range(2)]
    await backend.wants(first, 6)
    backend.clusters[second] = replace(backend.clusters[second], wanted=6)
    await backend.wants(first, 1)
    assert backend.clusters[second].granted == 6


async def test_a_clipped_cluster_gets_more_when_the_admin_gives_more(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    backend.describes(caps={"all": {"workers": 1}})
    backend.clusters[name] = replace(backend.clusters[name], wanted=5)
    await backend.keep()
    assert backend.clusters[name].granted == 1
    backend.describes()
    await backend.keep()
    assert backend.clusters[name].granted == 5


@pytest.mark.parametrize(
    "msg",
    [
        None,
        [],
        {},
        {"count": 1},
        {"count": -1, "active_workers": [], "closing_workers": [], "closed_workers": []},
        {"count": True, "active_workers": [], "closing_workers": [], "closed_workers": []},
        {"count": "9", "active_workers": [], "closing_workers": [], "closed_workers": []},
        {"count": 1, "active_workers": None, "closing_workers": [], "closed_workers": []},
    ],
    ids=str,
)
async def test_what_is_no_heartbeat_is_refused(backend: Keeping, msg: Any) -> None:
    name = await backend.start_cluster(user(), {})
    with pytest.raises(PublicException, match="not a heartbeat"):
        await backend.on_cluster_heartbeat(name, msg)


async def test_a_limit_that_is_lowered_is_asked_for_and_then_taken(backend: Keeping) -> None:
    backend.give_back_timeout = 0
    name = await backend.start_cluster(user(), {})
    await backend.wants(name, 4)
    backend.clusters[name] = replace(backend.clusters[name], wanted=4)
    backend.workers[name] = [Worker(name) for name in ("oldest", "old", "young", "youngest")]
    backend.describes(max_workers=3)
    await backend.keep()
    assert (backend.asked_back, backend.killed) == ([(name, 3)], [])
    await backend.keep()
    assert backend.killed == ["youngest"]


async def test_workers_that_are_given_back_in_time_are_not_taken(backend: Keeping) -> None:
    backend.give_back_timeout = 0
    name = await backend.start_cluster(user(), {})
    backend.describes(max_workers=1)
    backend.clusters[name] = replace(backend.clusters[name], wanted=2, granted=2)
    backend.workers[name] = [Worker(name) for name in ["a", "b"]]
    await backend.keep()
    backend.workers[name] = [Worker(name) for name in ["a"]]
    await backend.keep()
    backend.workers[name] = [Worker(name) for name in ["a", "c"]]
    await backend.keep()
    assert backend.killed == []


async def test_workers_that_do_nothing_yet_end_at_once_when_fewer_are_wanted(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    backend.clusters[name] = replace(backend.clusters[name], wanted=2, granted=2)
    backend.workers[name] = [Worker("a"), Worker("b", False), Worker("c", False), Worker("d", False)]
    await backend.keep()
    assert (backend.killed, backend.asked_back) == (["c", "d"], [])


# The end


async def test_a_cluster_whose_server_stops_ends_when_its_time_is_over(backend: Keeping, hub: Hub) -> None:
    name = await backend.start_cluster(user(), {})
    hub.has_owner("alice", "research", servers=())
    await backend.keep()
    assert (backend.clusters[name].alone_seconds, backend.ended) == (0.0, {})
    backend.clusters[name] = replace(backend.clusters[name], alone_seconds=300.0)
    await backend.keep()
    assert backend.ended == {name: "The server that it was started from has been stopped for 5 minutes."}


async def test_a_server_that_is_back_has_its_clusters_again(backend: Keeping, hub: Hub) -> None:
    name = await backend.start_cluster(user(), {})
    hub.has_owner("alice", "research", servers=())
    await backend.keep()
    hub.has_owner("alice", "research")
    await backend.keep()
    assert backend.clusters[name].alone_seconds is None


async def test_only_the_clusters_of_that_server_end(backend: Keeping, hub: Hub) -> None:
    backend.describes(linger=0)
    of_named = await backend.start_cluster(user(server="gpu"), {})
    await backend.start_cluster(user(), {})
    await backend.start_cluster(user(server=None), {})
    await backend.start_cluster(user("bob"), {})
    hub.has_owner("alice", "research", servers=("",))
    await backend.keep()
    assert list(backend.ended) == [of_named]


async def test_clusters_of_who_left_the_group_end(backend: Keeping, hub: Hub) -> None:
    name = await backend.start_cluster(user(), {})
    await backend.start_cluster(user("bob"), {})
    hub.has_owner("alice", "others")
    await backend.keep()
    assert backend.ended == {
        name: "Its user may have no Dask clusters any more: only for members of research."
    }


async def test_clusters_of_a_user_who_is_gone_end(backend: Keeping, hub: Hub) -> None:
    name = await backend.start_cluster(user(), {})
    hub.owners["alice"] = None
    await backend.keep()
    assert backend.ended == {name: "Its user is no longer on this hub."}


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=403),
        web.Response(status=302, headers={"Location": "/"}),
        web.Response(text="no JSON"),
        web.json_response([]),
        web.json_response({}),
        web.json_response({"alice": {"groups": ["research"], "admin": False}}),
        web.json_response({"alice": "gone"}),
    ],
    ids=["500", "403", "302", "no JSON", "list", "nobody", "no servers", "text"],
)
async def test_a_hub_that_does_not_say_changes_nothing(
    backend: Keeping, hub: Hub, answer: web.Response
) -> None:
    backend.describes(linger=0)
    await backend.start_cluster(user(), {})
    hub.broken = answer
    with pytest.raises(PublicError):
        await backend.keep()
    assert backend.ended == {}


async def test_a_gateway_that_has_just_started_asks_who_owners_are(backend: Keeping, hub: Hub) -> None:
    name = await backend.start_cluster(user(), {})
    backend._known = {}
    assert await backend.wants(name, 4) == 4


async def test_while_nobody_can_say_who_an_owner_is_a_cluster_keeps_what_it_has(
    backend: Keeping, hub: Hub
) -> None:
    name = await backend.start_cluster(user(), {})
    await backend.wants(name, 3)
    backend._known = {}
    hub.broken = web.Response(status=503)
    assert await backend.wants(name, 6) == 3


async def test_before_the_hub_was_heard_a_cluster_keeps_what_it_has(
    backend: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await backend.start_cluster(user(), {})
    await backend.wants(name, 3)

    def unheard() -> Description:
        raise PublicError("description-unknown", "The hub was not heard yet.", 503)

    monkeypatch.setattr(backend, "current_description", unheard)
    assert await backend.wants(name, 6) == 3
    assert await backend.wants(name, 2) == 2
    assert await scaled(backend, name, 6, {"ok": True, "msg": None}) == {"ok": True, "msg": None}
    assert backend._currency() == ""


async def test_a_scheduler_that_does_not_answer_keeps_no_other_cluster_waiting(
    backend: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_SCHEDULER_SECONDS", 0.01)
    monkeypatch.setattr(backend, "forward_message_to_scheduler", lambda *_: asyncio.Event().wait())
    name = await backend.start_cluster(user(), {})
    await backend.wants(name, 4)
    backend.workers[name] = [Worker(f"w{number}", runs=True) for number in range(4)]
    backend.describes(max_workers=2)
    await asyncio.wait_for(backend.keep(), 10)


# What is told


async def scaled(backend: Keeping, name: str, count: int, said: Any, action: str = "scale") -> Any:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(said)

    path = f"/api/v1/clusters/{name}/{action}"
    request = make_mocked_request("POST", path, match_info={"cluster_name": name})
    request._read_bytes = json.dumps({"count": count}).encode()
    response = await backend._tell_who_asks(request, answer)
    assert isinstance(response, web.Response)
    return json.loads(response.text or "")


async def test_who_scales_beyond_what_they_may_have_is_told(backend: Keeping) -> None:
    backend.describes(caps={"all": {"workers": 2}})
    name = await backend.start_cluster(user(), {})
    assert await scaled(backend, name, 5, {"ok": True, "msg": None}) == {
        "ok": False,
        "msg": "The cluster gets 2 of 5 workers for now: 2 workers is the most that you may have at a time; "
        "in use already: 2 workers.",
    }


async def test_who_gets_all_is_told_nothing_more(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    assert await scaled(backend, name, 5, {"ok": True, "msg": None}) == {"ok": True, "msg": None}


OTHER = (
    "The environment of the cluster is base, and that of your server is geo: get_client() says whether their "
    "versions of Python and Dask fit."
)


@pytest.mark.parametrize("action", ["scale", "adapt"])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"image": "base"}, OTHER),
        ({"image": "geo"}, None),
        ({"image": "base", "granted": 2}, None),
        ({"image": "base", "server": "stopped"}, None),
        ({"image": "base", "server": None}, None),
    ],
    ids=["another", "the server's", "has workers already", "no such server", "from no server"],
)
async def test_who_asks_for_workers_of_another_environment_than_their_servers_is_told_before_they_start(
    backend: Keeping, action: str, changed: dict[str, Any], told: str | None
) -> None:
    name = await backend.start_cluster(user(), {})
    backend.clusters[name] = replace(backend.clusters[name], **changed)
    answer = {"ok": True, "msg": None}
    found = await scaled(backend, name, 3, answer, action)
    assert found == (answer if told is None else {"ok": False, "msg": told})


async def test_a_hub_that_does_not_say_what_a_server_runs_keeps_nobody_from_workers(
    backend: Keeping, hub: Hub
) -> None:
    name = await backend.start_cluster(user(), {})
    backend.clusters[name] = replace(backend.clusters[name], image="base")
    hub.broken = web.Response(status=503)
    assert await scaled(backend, name, 1, {"ok": True, "msg": None}) == {"ok": True, "msg": None}


# What people see


async def shown(backend: Keeping, owner: str | None = "alice") -> list[Any]:
    return list(await backend._listed(owner))


async def test_who_looks_sees_what_their_clusters_want_and_get_and_why(backend: Keeping) -> None:
    backend.describes(caps={"all": {"workers": 2}})
    first, second = [await backend.start_cluster(user(), {}) for _ in range(2)]
    await backend.start_cluster(user("bob"), {})
    await backend.wants(first, 2)
    backend.clusters[second] = replace(backend.clusters[second], wanted=3)
    why = "its image cannot be pulled (quay.io/x)"
    backend.workers[first] = [Worker("a"), Worker("b", False, why)]
    one, two = await shown(backend)
    assert (one["wanted"], one["granted"], one["running"], one["pending"]) == (2, 2, 1, 1)
    assert one["why"] == "its image cannot be pulled (quay.io/x)"
    assert (two["wanted"], two["granted"], two["running"]) == (3, 0, 0)
    assert two["why"] == "2 workers is the most that you may have at a time; in use already: 2 workers"
    assert [cluster["owner"] for cluster in await shown(backend, None)] == ["alice", "alice", "bob"]


async def test_what_a_cluster_costs_now_and_has_cost_so_far(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    worker = Amount(cores=1, price=0.25, workers=1)
    backend.clusters[name] = replace(
        backend.clusters[name], worker=worker, granted=3, wanted=3, worker_seconds=7200
    )
    (cluster,) = await shown(backend)
    assert (cluster["price"], cluster["cost"]) == (0.75, 0.5)


async def test_what_ended_in_the_last_hour_is_told_with_its_reason_to_its_owner(backend: Keeping) -> None:
    now = time.time()
    backend.over = [
        EndedCluster("old", "alice", now - 4000),
        EndedCluster("young", "alice", now - 60, "It has lived for 1 day, the longest that a cluster may."),
        EndedCluster("younger", "alice", now - 5),
        EndedCluster("other", "bob", now - 5),
    ]
    assert [(cluster["name"], cluster["reason"]) for cluster in await backend._over("alice")] == [
        ("younger", ""),
        ("young", "It has lived for 1 day, the longest that a cluster may."),
    ]


async def test_a_hand_ends_ones_own_cluster_and_an_admins_everybodys(backend: Keeping) -> None:
    name = await backend.start_cluster(user(), {})
    assert not await backend._end_by_hand(name, "bob")
    assert not await backend._end_by_hand("nothing", None)
    assert backend.ended == {}
    assert await backend._end_by_hand(name, None)
    assert backend.ended == {name: "It was stopped on the hub's page."}


class Authenticator:
    def __init__(self, name: str, *, admin: bool) -> None:
        self.user = SimpleNamespace(name=name, admin=admin)

    async def authenticate(self, _request: web.Request) -> Any:
        return self.user


@asynccontextmanager
async def pages_of(backend: Keeping, name: str, *, admin: bool) -> AsyncIterator[TestClient[Any, Any]]:
    """Ask the routes of the backend as somebody."""
    app = web.Application()
    app["authenticator"] = Authenticator(name, admin=admin)
    ClusterPages(backend._listed, backend._over, lambda: "$", backend._end_by_hand, backend._logs).add_to(app)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize(
    ("admin", "query", "owners"),
    [
        (False, "", ["alice"]),
        (False, "?everybody=1", ["alice"]),
        (True, "", ["alice"]),
        (True, "?everybody=1", ["alice", "bob"]),
        (True, "?everybody=true", ["alice"]),
    ],
)
@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
async def test_only_an_admin_sees_everybodys(
    backend: Keeping, admin: bool, query: str, owners: list[str]
) -> None:
    for name in ("alice", "bob"):
        await backend.start_cluster(user(name), {})
    async with pages_of(backend, "alice", admin=admin) as client:
        answer = await (await client.get(f"/api/scalablehub/clusters{query}")).json()
        assert [cluster["owner"] for cluster in answer["clusters"]] == owners
        stopped = await client.delete("/api/scalablehub/clusters/bob-1")
        assert stopped.status == (204 if admin else 404)


@pytest.mark.parametrize(
    ("who", "admin", "cluster", "status"),
    [
        ("alice", False, "alice-1", 200),
        ("alice", False, "over", 200),
        ("bob", False, "alice-1", 404),
        ("bob", False, "over", 404),
        ("bob", True, "alice-1", 404),
        ("alice", False, "nothing", 404),
    ],
)
@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
async def test_only_the_owner_reads_the_logs_of_a_cluster_while_it_runs_and_after(
    backend: Keeping, who: str, admin: bool, cluster: str, status: int
) -> None:
    await backend.start_cluster(user(), {})
    backend.over = [EndedCluster("over", "alice", time.time())]
    async with pages_of(backend, who, admin=admin) as client:
        answer = await client.get(f"/api/scalablehub/clusters/{cluster}/logs")
        assert answer.status == status
        assert ("canary" in await answer.text()) is (status == 200)
        if status == 200:
            assert [log["name"] for log in (await answer.json())["logs"]] == ["s", "w"]
