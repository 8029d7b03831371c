"""Who asks in Kubernetes: which pods count as whose. Kubernetes is a table here, and real elsewhere."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client
from kubernetes_asyncio.client.rest import ApiException

from scalablehub.errors import PublicError
from scalablehub.services.credentials.hub_users import HubUsers
from scalablehub.services.credentials.kubernetes import KubernetesPods, Owner, PodIdentity, PodOfToken
from scalablehub.services.credentials.settings import Namespaces
from tests.services.credentials.conftest import HUB_TOKEN, FakeHub

END = int(time.time()) + 3600
SERVER = PodOfToken("hub", "jupyter-alice", "1", END)
WORKER = PodOfToken("dask", "dask-worker-c1-x", "3", END)
SCHEDULER = PodOfToken("dask", "dask-scheduler-c1", "2", END)


def pod(uid: str, annotations: dict[str, str] | None = None, made_by: Any = (), **changes: Any) -> Any:
    metadata = {"uid": uid, "annotations": annotations or {}, "ownerReferences": list(made_by)}
    return {"metadata": metadata | changes.pop("metadata", {}), "status": {"phase": "Running"}} | changes


def made_by(kind: str, name: str, uid: str) -> list[dict[str, str]]:
    return [{"kind": kind, "name": name, "uid": uid}]


CLUSTER = made_by("DaskCluster", "c1", "9")
PODS: dict[str, Any] = {
    "hub/jupyter-alice": pod("1", {"hub.jupyter.org/username": "alice"}),
    "hub/jupyter-alice--gpu": pod(
        "4", {"hub.jupyter.org/username": "alice", "hub.jupyter.org/servername": "gpu"}
    ),
    "dask/dask-scheduler-c1": pod("2", {"hub.jupyter.org/username": "bob"}, CLUSTER),
    "dask/dask-worker-c1-x": pod("3", {}, made_by("Pod", "dask-scheduler-c1", "2")),
}
CLUSTERS: dict[str, Any] = {
    "c1": {
        "metadata": {"name": "c1", "uid": "9", "annotations": {"scalablehub/server": ""}},
        "spec": {"username": "alice"},
    }
}


class Table:
    """The three calls of Kubernetes' clients that are made, answered from what a test says."""

    def __init__(self) -> None:
        self.pods, self.clusters = dict(PODS), dict(CLUSTERS)
        self.review: dict[str, Any] = {}
        self.status = 0

    def find(self, objects: dict[str, Any], name: str) -> Any:
        if self.status or name not in objects:
            raise ApiException(status=self.status or 404)
        return objects[name]

    async def read_namespaced_pod(self, name: str, namespace: str, **_: Any) -> Any:
        return self.find(self.pods, f"{namespace}/{name}")

    async def get_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str, **_: Any
    ) -> Any:
        assert (group, version, namespace, plural) == ("gateway.dask.org", "v1alpha1", "dask", "daskclusters")
        return self.find(self.clusters, name)

    async def create_token_review(self, body: Any, **_: Any) -> Any:
        if self.status:
            raise ApiException(status=self.status)
        return {"status": self.review}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
async def pods(table: Table) -> AsyncIterator[KubernetesPods]:
    made = KubernetesPods(client.ApiClient(), Namespaces("hub", "dask"))
    made._core = made._objects = made._reviews = table
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("who", "owner"),
    [
        (SERVER, Owner("alice", "")),
        (PodOfToken("hub", "jupyter-alice--gpu", "4", END), Owner("alice", "gpu")),
        (SCHEDULER, Owner("alice", "", "c1")),
        (WORKER, Owner("alice", "", "c1")),
    ],
    ids=["server", "named server", "scheduler", "worker"],
)
async def test_a_pod_is_its_users(pods: KubernetesPods, who: PodOfToken, owner: Owner) -> None:
    assert await pods.owner(who) == owner


async def test_a_cluster_that_no_server_started_is_its_users_too(pods: KubernetesPods, table: Table) -> None:
    metadata = {"name": "c1", "uid": "9"}
    table.clusters["c1"] = {"metadata": metadata, "spec": {"username": "alice"}}
    assert await pods.owner(SCHEDULER) == Owner("alice", None, "c1")


LEAVING = {"metadata": {"deletionTimestamp": "2026-11-27T00:00:00Z"}}
ENDED = {"status": {"phase": "Succeeded"}}


@pytest.mark.parametrize(
    ("who", "changed"),
    [
        (PodOfToken("hub", "jupyter-alice", "0", END), {}),
        (
            PodOfToken("kube-system", "jupyter-alice", "1", END),
            {"kube-system/jupyter-alice": PODS["hub/jupyter-alice"]},
        ),
        (SERVER, {"hub/jupyter-alice": pod("1", {"hub.jupyter.org/username": "alice"}, **LEAVING)}),
        (SERVER, {"hub/jupyter-alice": pod("1", {"hub.jupyter.org/username": "alice"}, **ENDED)}),
        (SERVER, {"hub/jupyter-alice": pod("1")}),
        (SERVER, {"hub/jupyter-alice": pod("1", made_by=made_by("ReplicaSet", "r", "7"))}),
        (SCHEDULER, {"dask/dask-scheduler-c1": pod("2", {"hub.jupyter.org/username": "alice"})}),
        (SCHEDULER, {"dask/dask-scheduler-c1": pod("2", {}, made_by("DaskCluster", "c1", "8"))}),
        (SCHEDULER, {"dask/dask-scheduler-c1": pod("2", {}, [*CLUSTER, *CLUSTER])}),
        (SCHEDULER, {"dask/dask-scheduler-c1": pod("2", {}, made_by("Job", "c1", "9"))}),
        (WORKER, {"dask/dask-scheduler-c1": pod("2", {}, CLUSTER, **LEAVING)}),
        (WORKER, {"dask/dask-scheduler-c1": pod("5", {}, CLUSTER)}),
    ],
    ids=[
        "another pod of the name",
        "another namespace",
        "on its way out",
        "ended",
        "of nobody",
        "made by something else",
        "in the clusters' namespace with a server's annotation",
        "of a cluster that had the name before",
        "of two clusters",
        "made by another kind of that id",
        "whose scheduler is on its way out",
        "whose scheduler is another pod",
    ],
)
async def test_a_pod_is_nobodys(
    pods: KubernetesPods, table: Table, who: PodOfToken, changed: dict[str, Any]
) -> None:
    table.pods |= changed
    assert await pods.owner(who) is None


@pytest.mark.parametrize(
    "cluster",
    [
        {"metadata": {"name": "c1", "uid": "9"}, "spec": {"username": "alice", "active": False}},
        {"metadata": {"name": "c1", "uid": "9", "deletionTimestamp": "x"}, "spec": {"username": "alice"}},
        {"metadata": {"name": "c1", "uid": "9"}, "spec": {}},
    ],
    ids=["stopped", "on its way out", "of nobody"],
)
async def test_a_cluster_that_ends_has_no_owner(pods: KubernetesPods, table: Table, cluster: Any) -> None:
    table.clusters["c1"] = cluster
    assert await pods.owner(SCHEDULER) is None


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": END} | claims).encode()).rstrip(b"=").decode()
    return f"head.{payload}.signature"


GOOD: dict[str, Any] = {
    "authenticated": True,
    "audiences": ["scalablehub-credentials"],
    "user": {
        "username": "system:serviceaccount:hub:default",
        "extra": {
            "authentication.kubernetes.io/pod-name": ["jupyter-alice"],
            "authentication.kubernetes.io/pod-uid": ["1"],
        },
    },
}


async def test_a_good_token_names_its_pod(pods: KubernetesPods, table: Table) -> None:
    table.review = GOOD
    assert await pods.of_token(token()) == SERVER


@pytest.mark.parametrize(
    "review",
    [
        {},
        GOOD | {"authenticated": False},
        GOOD | {"authenticated": "true"},
        GOOD | {"audiences": ["https://kubernetes.default.svc"]},
        GOOD | {"audiences": None},
        GOOD | {"user": {"username": "system:serviceaccount:hub:default"}},
        GOOD | {"user": GOOD["user"] | {"username": "system:admin"}},
        GOOD | {"user": GOOD["user"] | {"username": "alice:serviceaccount:hub:default"}},
    ],
    ids=str,
)
async def test_what_kubernetes_does_not_vouch_for_is_no_token(
    pods: KubernetesPods, table: Table, review: dict[str, Any]
) -> None:
    table.review = review
    assert await pods.of_token(token()) is None


class Place:
    """The identity before the table, and a hub."""

    def __init__(self, hub: FakeHub, identity: PodIdentity) -> None:
        self.hub, self.identity, self.now = hub, identity, 0.0


@pytest.fixture
async def place(pods: KubernetesPods, table: Table) -> AsyncIterator[Place]:
    table.review = GOOD
    hub = FakeHub()
    hub.add("alice", "research")
    await hub.server.start()
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{hub.server.port}/hub/api"
        users = HubUsers(session, url, HUB_TOKEN, freshness_seconds=0, timeout_seconds=5)
        identity = PodIdentity(
            users, pods, grace_seconds=300, freshness_seconds=0, review_seconds=0, clock=lambda: made.now
        )
        made = Place(hub, identity)
        yield made
        await identity.close()
    await hub.server.stop()


def of(worker: PodOfToken) -> dict[str, Any]:
    extra = {
        "authentication.kubernetes.io/pod-name": [worker.name],
        "authentication.kubernetes.io/pod-uid": [worker.uid],
    }
    return GOOD | {"user": {"username": f"system:serviceaccount:{worker.namespace}:default", "extra": extra}}


async def refusal(place: Place) -> tuple[int, str]:
    with pytest.raises(PublicError) as refused:
        await place.identity.person(token())
    return refused.value.status, refused.value.code


async def test_groups_are_those_that_the_hub_knows_now(place: Place) -> None:
    person = await place.identity.person(token())
    assert (person.name, person.groups, person.server, person.cluster) == ("alice", {"research"}, "", "")
    place.hub.people["alice"]["groups"] = ["other"]
    assert (await place.identity.again(person)).groups == {"other"}


async def test_a_server_that_the_hub_has_stopped_gets_nothing(place: Place) -> None:
    place.hub.people["alice"]["servers"] = {}
    assert await refusal(place) == (401, "server-stopped")


async def test_a_user_whom_the_hub_has_deleted_gets_nothing(place: Place) -> None:
    del place.hub.people["alice"]
    assert await refusal(place) == (401, "server-stopped")


async def test_workers_go_on_for_the_grace_after_their_server(place: Place, table: Table) -> None:
    table.review = of(WORKER)
    await place.identity.person(token())
    place.hub.people["alice"]["servers"] = {}
    place.now = 299
    assert (await place.identity.person(token())).cluster == "c1"
    place.now = 301
    assert await refusal(place) == (401, "server-stopped")


@pytest.mark.parametrize("status", [403, 500])
async def test_what_kubernetes_does_not_answer_is_not_a_no(place: Place, table: Table, status: int) -> None:
    table.status = status
    assert await refusal(place) == (503, "kubernetes-unavailable")


@pytest.mark.parametrize("bearer", ["", "x" * 20_000, "ü"])
async def test_what_cannot_be_a_token_is_refused(place: Place, table: Table, bearer: str) -> None:
    table.review = {"authenticated": False}
    with pytest.raises(PublicError) as refused:
        await place.identity.person(bearer)
    assert refused.value.status == 401
