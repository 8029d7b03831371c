from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.kubernetes.controller import ClusterInfo, KubeController
from dask_gateway_server.models import ClusterStatus
from dask_gateway_server.routes import default_routes
from dask_gateway_server.utils import Flag
from kubernetes_asyncio.client.rest import ApiException
from traitlets.config import Config

from scalablehub.dask.authenticator import HubUser
from scalablehub.dask.kubernetes import ROUTE, ScalableKubeBackend, say_reason
from scalablehub.dask.owners import Owners
from scalablehub.dask.pod_logs import PodLogs
from scalablehub.services.source import DescriptionSource
from tests.dask.hub import TOKEN, Hub, a_hub, serving
from tests.descriptions import described, written

# dask-gateway names what it keeps by texts.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
REASON = "scalablehub/reason"
DASK = written()["dask"]
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "choose-workers.md"


class Kubernetes:
    """DaskCluster objects and pods, as Kubernetes' API gives them: always the newest."""

    def __init__(self) -> None:
        self.clusters: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any] | int] = {}
        self.refuses: Exception | None = None
        self.listed: list[dict[str, Any]] | int = []
        self.deleted: list[str] = []

    async def create_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, body: dict[str, Any]
    ) -> None:
        await asyncio.sleep(0.001)
        if self.refuses:
            raise self.refuses
        # Kubernetes gets JSON.
        cluster = json.loads(json.dumps(body))
        cluster["metadata"] |= {"namespace": namespace, "creationTimestamp": stamp(0)}
        self.clusters[f"{namespace}.{cluster['metadata']['name']}"] = cluster

    async def list_cluster_custom_object(
        self, group: str, version: str, plural: str, label_selector: str
    ) -> dict[str, Any]:
        await asyncio.sleep(0.001)
        if self.refuses:
            raise self.refuses
        wanted = dict(part.split("=") for part in label_selector.split(","))
        items = [c for c in self.clusters.values() if wanted.items() <= c["metadata"]["labels"].items()]
        return {"items": items}

    async def get_namespaced_custom_object(
        self, group: str, version: str, namespace: str, plural: str, name: str
    ) -> dict[str, Any]:
        return self.clusters[f"{namespace}.{name}"]

    async def patch_namespaced_custom_object(self, *where: Any, _content_type: str | None = None) -> None:
        if self.refuses:
            raise self.refuses
        _group, _version, namespace, _plural, name, body = where
        cluster = self.clusters[f"{namespace}.{name}"]
        if isinstance(body, list):
            ((_, section, key), value) = body[0]["path"].split("/"), body[0]["value"]
            cluster[section][key] = value
        else:
            assert _content_type == "application/merge-patch+json"
            cluster["spec"] |= body.get("spec", {})
            cluster["metadata"]["annotations"] |= body["metadata"]["annotations"]

    async def list_namespaced_pod(self, namespace: str, label_selector: str) -> dict[str, Any]:
        if "gateway.dask.org/cluster=" in label_selector:
            raise ApiException(status=404)  # tests of their own have logs
        assert "app.kubernetes.io/component=dask-worker" in label_selector
        if isinstance(self.listed, int):
            raise ApiException(status=self.listed)
        return {"items": self.listed}

    async def read_namespaced_pod_log(self, *_: Any, **__: Any) -> Any:
        raise TimeoutError

    async def delete_namespaced_pod(self, name: str, namespace: str) -> None:
        if isinstance(self.listed, int):
            raise ApiException(status=self.listed)
        self.deleted.append(name)

    async def read_namespaced_pod(self, name: str, namespace: str) -> dict[str, Any]:
        pod = self.pods.get(name, 404)
        if isinstance(pod, int):
            raise ApiException(status=pod)
        return pod


def stamp(age: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Parts:
    def __init__(self, backend: ScalableKubeBackend, kubernetes: Kubernetes, hub: Hub) -> None:
        self.backend, self.kubernetes, self.hub = backend, kubernetes, hub

    async def see(self) -> None:
        """Let the backend see what is in Kubernetes now, as its informer does a little later."""
        for name in list(self.kubernetes.clusters):
            await self.backend.sync_cluster(name)


@pytest.fixture
def backend_class() -> type[ScalableKubeBackend]:
    """A test that needs another one is parametrized with it."""
    return ScalableKubeBackend


@pytest.fixture
async def parts(backend_class: type[ScalableKubeBackend]) -> AsyncIterator[Parts]:
    async with a_hub() as hub:
        c = Config()
        c.KubeBackend.gateway_instance = "gw"
        c.KubeClusterConfig.update({"namespace": "users", "environment": {"OF_THE_ADMIN": "yes"}})
        backend = backend_class(config=c, log=logging.getLogger("gateway"))
        kubernetes = Kubernetes()
        backend.custom_client = backend.core_client = kubernetes
        backend.api_client = SimpleNamespace(sanitize_for_serialization=lambda pod: pod)
        backend.informer = SimpleNamespace(get=kubernetes.clusters.get)
        backend.clusters, backend.cluster_waiters = {}, defaultdict(Flag)
        backend.username_to_clusters = defaultdict(dict)
        backend.pods = PodLogs(kubernetes, "users", "gw=1", backend.clusters.__contains__, backend.log)
        backend.source = DescriptionSource(parent=backend, api_url=hub.url, api_token=TOKEN)
        hub.describes(described())
        await backend.source.start()
        yield Parts(backend, kubernetes, hub)
        await backend.source.stop()


def user(name: str = "alice", *groups: str, server: str | None = None) -> HubUser:
    return HubUser(name, groups or ("research",), False, server)


async def started(parts: Parts, options: dict[str, Any] | None = None, who: HubUser | None = None) -> Any:
    """Start a cluster and return its object in Kubernetes."""
    name = await parts.backend.start_cluster(who or user(), options or {})
    await parts.see()
    return parts.kubernetes.clusters[name]


def name_of(cluster: dict[str, Any]) -> str:
    return f"{cluster['metadata']['namespace']}.{cluster['metadata']['name']}"


async def test_a_cluster_has_everything_that_was_decided_in_its_object(parts: Parts) -> None:
    cluster = await started(parts, {"worker_size": "large", "image": "geo", "environment": {"A": "1"}})
    config = cluster["spec"]["config"]
    assert cluster["spec"]["username"] == "alice"
    assert (config["worker_cores"], config["worker_memory"]) == (3.5, 15 * 2**30)
    assert (config["image"], config["cluster_max_workers"], config["idle_timeout"]) == (
        "quay.io/hub/geo:1",
        6,
        1800,
    )
    assert config["environment"] == {
        "A": "1",
        "OF_THE_ADMIN": "yes",
        "AWS_ALLOW_HTTP": "true",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_HTTPS": "NO",
        "AWS_S3_ENDPOINT": "127.0.0.1:9000",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "RCLONE_CONFIG_SCRATCH_REMOTE": ':s3,provider="Other",env_auth="true",endpoint="http://127.0.0.1:9000",'
        'region="us-east-1":scratch/alice',
        "RCLONE_CONFIG_SCRATCH_TYPE": "alias",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000",
        "AWS_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "PANGEO_SCRATCH": "s3://scratch/alice",
        "SCRATCH_BUCKET": "s3://scratch/alice",
    }


async def test_a_cluster_says_whose_it_is(parts: Parts) -> None:
    cluster = await started(parts, who=user("jane.doe@ex.org", server="gpu"))
    assert cluster["metadata"]["labels"]["hub.jupyter.org/username"] == "jane-doe-ex-org---d5488386"
    assert cluster["metadata"]["labels"]["gateway.dask.org/instance"] == "gw"
    assert cluster["metadata"]["annotations"] == {
        "hub.jupyter.org/username": "jane.doe@ex.org",
        "scalablehub/server": "gpu",
    }
    assert cluster["spec"]["config"]["worker_extra_pod_labels"]["hub.jupyter.org/servername"] == "gpu"


async def test_a_start_follows_the_description_of_this_moment(parts: Parts) -> None:
    parts.hub.describes(described(dask=DASK | {"max_workers": 2}))
    cluster = await started(parts)
    assert cluster["spec"]["config"]["cluster_max_workers"] == 2


async def test_a_start_follows_the_last_good_one_while_the_hub_has_none(parts: Parts) -> None:
    parts.hub.description = 500
    cluster = await started(parts)
    assert cluster["spec"]["config"]["cluster_max_workers"] == 6


async def test_nothing_starts_before_the_hub_was_heard(parts: Parts) -> None:
    parts.hub.description = 500
    parts.backend.source._description = None
    for start in (parts.backend.start_cluster(user(), {}), parts.backend.get_cluster_options(user())):
        with pytest.raises(web.HTTPServiceUnavailable) as refusal:
            await start
        assert (
            refusal.value.reason == "The Dask gateway has not heard from the hub yet; try again in a minute."
        )
    assert parts.kubernetes.clusters == {}


@pytest.mark.parametrize(
    ("groups", "sections", "words"),
    [
        (("guests",), {}, "You may not have Dask clusters: only for members of research."),
        (("research",), {"dask": None}, "You may not have Dask clusters: this hub has no Dask clusters."),
    ],
)
async def test_who_may_have_none_is_told_why(
    parts: Parts, groups: tuple[str, ...], sections: dict[str, Any], words: str
) -> None:
    parts.hub.describes(described(**sections))
    with pytest.raises(web.HTTPForbidden) as refusal:
        await parts.backend.start_cluster(user("bob", *groups), {})
    assert refusal.value.reason == words


@pytest.mark.parametrize("options", [{"image": "evil/x:1"}, {"worker_size": "secret"}, {"namespace": "x"}])
async def test_what_is_not_offered_is_refused(parts: Parts, options: dict[str, str]) -> None:
    with pytest.raises(PublicException):
        await parts.backend.start_cluster(user(), options)
    assert parts.kubernetes.clusters == {}


def documented_backend() -> type[ScalableKubeBackend]:
    """Return the class that the how-to shows, as its text has it."""
    code = HOW_TO.read_text().partition("### Options of your own")[2].split("```python\n")[1].split("```")[0]
    scope = {"c": Config()}
    exec(code, scope)  # noqa: S102 - a text of ours
    found: type[ScalableKubeBackend] = scope["c"].DaskGateway.backend_class
    return found


@pytest.mark.parametrize("backend_class", [documented_backend()], ids=["the how-to's"])
@pytest.mark.parametrize(
    ("options", "selector"),
    [({}, {}), ({"fast_disk": True}, {"example.org/disk": "nvme"})],
    ids=["not chosen", "chosen"],
)
async def test_an_admin_has_options_of_their_own(
    parts: Parts, options: dict[str, Any], selector: dict[str, str]
) -> None:
    cluster = await started(parts, {"worker_size": "large", **options})
    pod = cluster["spec"]["config"]["worker_extra_pod_config"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert selector.items() <= pod.get("nodeSelector", {}).items()
    assert ("example.org/disk" in pod.get("nodeSelector", {})) is bool(selector)


async def test_many_starts_at_once_give_no_more_clusters_than_allowed(parts: Parts) -> None:
    """While nothing of them is seen yet: what the backend keeps is empty all the time."""
    results = await asyncio.gather(
        *(parts.backend.start_cluster(user(), {}) for _ in range(12)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 4
    assert len(parts.kubernetes.clusters) == 4
    assert parts.backend.clusters == {}


async def kept(parts: Parts, owner: str) -> list[str]:
    clusters = await parts.backend.kept_clusters(fresh=True)
    return [cluster.name for cluster in clusters if cluster.owner == owner]


@pytest.mark.parametrize(
    ("spec", "status", "counts"),
    [
        ({}, {}, True),
        ({}, {"phase": "Pending"}, True),
        ({"active": True}, {"phase": "Running"}, True),
        ({"active": False}, {"phase": "Running"}, False),
        ({}, {"phase": "Stopped"}, False),
        ({}, {"phase": "Failed"}, False),
    ],
    ids=str,
)
async def test_clusters_count_while_they_start_or_run(
    parts: Parts, spec: dict[str, Any], status: dict[str, Any], counts: bool
) -> None:
    cluster = await started(parts)
    cluster["spec"] |= spec
    cluster["status"] = status
    assert await kept(parts, "alice") == ([name_of(cluster)] if counts else [])


async def test_clusters_of_others_and_of_other_gateways_do_not_count(parts: Parts) -> None:
    await started(parts, who=user("bob"))
    foreign = await started(parts)
    foreign["metadata"]["labels"]["gateway.dask.org/instance"] = "other"
    namesake = await started(parts)
    namesake["spec"]["username"] = "Alice"
    assert await kept(parts, "alice") == []


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (
            ApiException(status=403, reason="Forbidden"),
            PublicException,
            "Kubernetes does not accept the cluster: Forbidden",
        ),
        (ApiException(status=500), web.HTTPServiceUnavailable, "Kubernetes does not answer just now."),
        (ApiException(status=429), web.HTTPServiceUnavailable, "Kubernetes does not answer just now."),
        (OSError("no route"), web.HTTPServiceUnavailable, "Kubernetes does not answer just now."),
        (aiohttp.ClientConnectionError(), web.HTTPServiceUnavailable, "Kubernetes does not answer just now."),
        (TimeoutError(), web.HTTPServiceUnavailable, "Kubernetes does not answer just now."),
    ],
    ids=str,
)
async def test_kubernetes_that_does_not_make_a_cluster_is_told_in_words(
    parts: Parts, error: Any, expected: type[Exception], words: str
) -> None:
    parts.kubernetes.refuses = error
    with pytest.raises(expected) as refusal:
        await parts.backend.start_cluster(user(), {})
    assert words in str(getattr(refusal.value, "reason", refusal.value))


def beat(count: Any, **words: Any) -> dict[str, Any]:
    return {"count": count, "active_workers": [], "closing_workers": [], "closed_workers": []} | words


@pytest.mark.parametrize(
    "error", [ApiException(status=500), TimeoutError(), aiohttp.ClientConnectionError()], ids=repr
)
async def test_a_heartbeat_that_kubernetes_does_not_take_is_no_traceback(
    parts: Parts, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    cluster = await started(parts)
    parts.kubernetes.refuses = error
    with pytest.raises(web.HTTPServiceUnavailable):
        await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(3))
    assert "Kubernetes did not take what users." in caplog.text


async def test_a_gateway_that_was_not_told_the_description_yet_takes_heartbeats(parts: Parts) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(3))
    parts.backend.source._description = None
    await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(5))
    assert cluster["spec"]["replicas"] == 3


@pytest.mark.parametrize(("wanted", "granted"), [(0, 0), (5, 5), (6, 6), (7, 6), (10**12, 6)])
async def test_workers_are_held_to_the_most_where_they_change(
    parts: Parts, wanted: int, granted: int
) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(wanted))
    assert cluster["spec"]["replicas"] == granted


async def test_a_lower_limit_holds_for_clusters_that_run_already(parts: Parts) -> None:
    cluster = await started(parts)
    parts.hub.describes(described(dask=DASK | {"max_workers": 2}))
    await parts.backend.source.refresh()
    await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(5))
    assert cluster["spec"]["replicas"] == 2


async def test_a_hub_that_has_no_dask_any_more_gives_no_workers(parts: Parts) -> None:
    cluster = await started(parts)
    parts.hub.describes(described(dask=None))
    await parts.backend.source.refresh()
    await parts.backend.on_cluster_heartbeat(name_of(cluster), beat(5))
    assert cluster["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        beat(-1),
        beat(True),
        beat(2.5),
        beat("9"),
        beat(None),
        beat(1, active_workers=3),
        {"count": 1},
    ],
    ids=str,
)
async def test_what_is_no_heartbeat_changes_nothing(parts: Parts, message: Any) -> None:
    cluster = await started(parts)
    with pytest.raises(PublicException):
        await parts.backend.on_cluster_heartbeat(name_of(cluster), message)
    assert "replicas" not in cluster["spec"]


def pod(*, waiting: dict[str, Any] | None = None, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    container = {"name": "dask-scheduler", "image": "x:1", "state": {"waiting": waiting or {}}}
    return {"status": {"containerStatuses": [container], "conditions": [condition] if condition else []}}


PULL = pod(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image\n'x:1'"})
FULL = pod(condition={"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."})


@pytest.mark.parametrize(
    ("age", "found", "reason"),
    [
        (10, PULL, None),
        (
            70,
            PULL,
            "Its scheduler cannot start, as its image cannot be pulled (x:1): Back-off pulling image 'x:1'.",
        ),
        (70, pod(waiting={"reason": "ContainerCreating"}), None),
        (70, pod(waiting={"reason": "ErrImagePull"}), None),
        (
            1000,
            pod(waiting={"reason": "ErrImagePull", "message": "no such host"}),
            "Its scheduler cannot start, as its image cannot be pulled (x:1): no such host.",
        ),
        (
            70,
            pod(waiting={"reason": "InvalidImageName"}),
            "Its scheduler cannot start, as the name of its image is not one (x:1).",
        ),
        (70, FULL, None),
        (
            1000,
            FULL,
            "No node had room for its scheduler within 15 minutes: 0/3 nodes are available: 3 Insufficient "
            "cpu.",
        ),
        (1000, 404, "Its scheduler was not ready within 15 minutes."),
        (1000, 403, "Its scheduler was not ready within 15 minutes."),
        (70, None, None),
        (
            130,
            None,
            "Its scheduler could not be created: the namespace has no room left in its quota, or does not "
            "admit the pod. The log of dask-gateway's controller has the words.",
        ),
    ],
)
async def test_a_cluster_that_will_not_start_is_stopped_with_the_reason(
    parts: Parts, age: float, found: Any, reason: str | None
) -> None:
    cluster = await started(parts)
    cluster["metadata"]["creationTimestamp"] = stamp(age)
    cluster["status"] = {} if found is None else {"phase": "Pending", "schedulerPod": "s"}
    parts.kubernetes.pods["s"] = found
    await parts.backend._check_start(name_of(cluster))
    assert cluster["metadata"]["annotations"].get(REASON) == reason
    assert cluster["spec"].get("active", True) == (reason is None)


@pytest.mark.parametrize("change", [{"status": {"phase": "Running"}}, {"spec": {"active": False}}], ids=str)
async def test_a_cluster_that_moved_on_meanwhile_is_left_alone(parts: Parts, change: dict[str, Any]) -> None:
    cluster = await started(parts)
    before = cluster["metadata"]
    before["creationTimestamp"] = stamp(10_000)
    cluster |= {"status": {"phase": "Pending"}} | {k: cluster.get(k, {}) | v for k, v in change.items()}
    await parts.backend._check_start(name_of(cluster))
    assert REASON not in cluster["metadata"]["annotations"]


async def test_missing_right_to_read_pods_is_logged_once(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = await started(parts)
    cluster["status"] = {"phase": "Pending", "schedulerPod": "s"}
    parts.kubernetes.pods["s"] = 403
    for _ in range(3):
        await parts.backend._check_start(name_of(cluster))
    (line,) = [r.getMessage() for r in caplog.records if "may not read pods" in r.getMessage()]
    assert line.endswith("allow its service account to 'get' pods in users")


async def test_who_waits_for_a_cluster_that_failed_is_told_the_reason(parts: Parts) -> None:
    cluster = await started(parts)
    cluster["metadata"]["annotations"][REASON] = "Its scheduler cannot start."
    cluster["status"] = {"phase": "Stopped"}
    await parts.see()
    found = await waited(parts, cluster)
    with pytest.raises(web.HTTPConflict) as refusal:
        found.to_dict()
    assert refusal.value.reason == f"Cluster {name_of(cluster)} failed. Its scheduler cannot start."
    (listed,) = await parts.backend.list_clusters("alice", [ClusterStatus.STOPPED])
    assert listed.to_dict()["status"] == "STOPPED"


async def test_a_cluster_whose_scheduler_ended_says_so(parts: Parts) -> None:
    cluster = await started(parts)
    cluster["status"] = {"phase": "Failed"}
    await parts.see()
    with pytest.raises(web.HTTPConflict) as refusal:
        (await waited(parts, cluster)).to_dict()
    assert "Its scheduler ended." in refusal.value.reason


async def test_a_cluster_that_its_user_stopped_is_no_failure(parts: Parts) -> None:
    cluster = await started(parts)
    cluster["status"] = {"phase": "Stopped"}
    await parts.see()
    assert (await waited(parts, cluster)).to_dict()["status"] == "STOPPED"


async def waited(parts: Parts, cluster: dict[str, Any]) -> Any:
    return await parts.backend.get_cluster(name_of(cluster), wait=True)


async def test_hash_and_age_are_told_to_anybody_and_nothing_else(parts: Parts) -> None:
    name = parts.hub.describes(described())
    app = web.Application()
    app.router.add_get(ROUTE, parts.backend._show_description)
    async with (
        serving(app) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/scalablehub/description") as answer,
    ):
        body = await answer.json()
    assert body.pop("age_seconds") >= 0
    assert body == {"hash": name, "state": "good"}


async def test_sentence_of_a_refusal_is_in_the_status_line_too(parts: Parts) -> None:
    """dask-gateway's client shows only that of most statuses."""
    parts.backend.source._description = None
    parts.hub.description = 500

    class Authenticator:
        async def authenticate_and_handle(self, request: Any, handler: Any) -> Any:
            request["user"] = user()
            return await handler(request)

    app = web.Application()
    app.add_routes(default_routes)
    app["authenticator"], app["backend"], app["log"] = Authenticator(), parts.backend, logging.getLogger("x")
    app.middlewares.append(say_reason)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        for method, path in (("GET", "options"), ("POST", "clusters/")):
            async with session.request(method, f"{url}/api/v1/{path}", json={}) as answer:
                sentence = "The Dask gateway has not heard from the hub yet; try again in a minute."
                assert (answer.status, answer.reason) == (503, sentence)
                assert await answer.json() == {"error": sentence}
                assert answer.headers["Retry-After"] == "30"
        async with session.get(f"{url}/nothing") as answer:
            assert (answer.status, answer.reason) == (404, "Not Found")


async def test_a_cluster_of_the_servers_image_runs_the_same_bits(parts: Parts) -> None:
    parts.backend.owners = Owners(parts.hub.url, TOKEN)
    pinned = f"quay.io/hub/geo:1@sha256:{'a' * 64}"
    parts.hub.has_owner("alice", "research")
    parts.hub.owners["alice"]["servers"] = {"gpu": {"image": "geo", "reference": pinned}}
    on_gpu = await started(parts, {"image": "geo"}, user(server="gpu"))
    elsewhere = await started(parts, {"image": "geo"}, user(server=""))
    parts.hub.broken = web.Response(status=500)
    unknown = await started(parts, {"image": "geo"}, user(server="gpu"))
    await parts.backend.owners.close()
    found = [cluster["spec"]["config"]["image"] for cluster in (on_gpu, elsewhere, unknown)]
    assert found == [pinned, "quay.io/hub/geo:1", "quay.io/hub/geo:1"]


async def test_the_hub_is_asked_once_for_a_servers_image_in_a_start(parts: Parts) -> None:
    parts.backend.owners = Owners(parts.hub.url, TOKEN)
    parts.hub.has_owner("alice", "research", servers=("gpu",))
    await started(parts, who=user(server="gpu"))
    await parts.backend.owners.close()
    assert [request.path for request in parts.hub.asked if request.method == "POST"] == [
        "/base/hub/api/scalablehub/owners"
    ]


# What is kept of a cluster is in its object, so that another gateway finds it.


def heartbeat(count: int) -> dict[str, Any]:
    return {"count": count, "active_workers": [], "closing_workers": [], "closed_workers": []}


async def test_what_a_cluster_wants_and_gets_is_in_its_object(parts: Parts) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(9))
    assert cluster["spec"]["replicas"] == 6
    assert cluster["metadata"]["annotations"]["scalablehub/wanted"] == "9"
    assert cluster["metadata"]["annotations"]["scalablehub/held"] == (
        "6 workers is the most that one cluster may have"
    )
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(2))
    assert cluster["spec"]["replicas"] == 2
    assert cluster["metadata"]["annotations"]["scalablehub/held"] is None


async def test_another_gateway_goes_on_with_what_was_granted(parts: Parts) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(9))
    parts.backend._granted.clear()
    (kept_one,) = await parts.backend.kept_clusters(fresh=True)
    assert (kept_one.wanted, kept_one.granted, kept_one.server) == (9, 6, None)


async def test_a_heartbeat_that_changes_nothing_is_not_sent_on(parts: Parts) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(2))
    cluster["spec"]["replicas"] = 1  # as somebody else might have it
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(2))
    assert cluster["spec"]["replicas"] == 1


async def test_that_a_server_has_gone_outlives_the_gateway(parts: Parts) -> None:
    cluster = await started(parts, who=user(server="gpu"))
    (before,) = await parts.backend.kept_clusters(fresh=True)
    await parts.backend.note_alone(before, True)
    (alone,) = await parts.backend.kept_clusters(fresh=True)
    assert (alone.server, alone.alone_seconds is not None) == ("gpu", True)
    await parts.backend.note_alone(alone, False)
    (back,) = await parts.backend.kept_clusters(fresh=True)
    assert back.alone_seconds is None
    assert cluster["metadata"]["annotations"]["scalablehub/server"] == "gpu"


async def test_a_cluster_that_was_ended_tells_its_owner_why(parts: Parts) -> None:
    cluster = await started(parts)
    (kept_one,) = await parts.backend.kept_clusters(fresh=True)
    await parts.backend.end_cluster(kept_one, "Its user is no longer on this hub.")
    assert cluster["spec"]["active"] is False
    assert cluster["metadata"]["annotations"][REASON] == "Its user is no longer on this hub."
    assert await parts.backend.kept_clusters(fresh=True) == []


def worker(name: str, age: float, cluster: str, **status: Any) -> dict[str, Any]:
    namespace, _, short = cluster.partition(".")
    labels = {"gateway.dask.org/cluster": short}
    metadata = {"name": name, "creationTimestamp": stamp(age), "namespace": namespace, "labels": labels}
    return {"metadata": metadata, "status": {"phase": "Running"} | status}


async def test_workers_are_counted_and_ended_in_kubernetes(parts: Parts) -> None:
    cluster = await started(parts)
    name = name_of(cluster)
    parts.kubernetes.listed = [
        worker("young", 5, name),
        worker("old", 50, name),
        worker("other", 50, "users.other"),
        worker("gone", 9, name, phase="Succeeded"),
        worker("pending", 1, name, phase="Pending"),
    ]
    (kept_one,) = await parts.backend.kept_clusters(fresh=True)
    workers = await parts.backend.workers_of([kept_one])
    assert workers is not None
    assert [(found.name, found.runs) for found in workers[name]] == [
        ("old", True),
        ("young", True),
        ("pending", False),
    ]
    await parts.backend.end_workers(kept_one, ["young"])
    assert parts.kubernetes.deleted == ["young"]
    assert cluster["spec"].get("active", True)


async def test_without_the_right_to_pods_a_cluster_over_its_limit_is_stopped(parts: Parts) -> None:
    cluster = await started(parts)
    parts.kubernetes.listed = 403
    (kept_one,) = await parts.backend.kept_clusters(fresh=True)
    assert await parts.backend.workers_of([kept_one]) is None
    await parts.backend.end_workers(kept_one, ["young"])
    assert cluster["spec"]["active"] is False


async def test_what_a_cluster_has_cost_outlives_the_gateway(parts: Parts) -> None:
    cluster = await started(parts)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(2))
    cluster["metadata"]["annotations"]["scalablehub/spent"] = f"3600 until {time.time() - 100:.0f}"
    parts.backend._granted.clear()
    parts.backend._spent.clear()
    (kept_one,) = await parts.backend.kept_clusters(fresh=True)
    assert kept_one.worker_seconds == pytest.approx(3800, abs=5)
    await parts.backend.on_cluster_heartbeat(name_of(cluster), heartbeat(1))
    amount, until = cluster["metadata"]["annotations"]["scalablehub/spent"].split(" until ")
    assert (float(amount), float(until)) == pytest.approx((3800, time.time()), abs=5)


async def test_clusters_that_are_over_say_why(parts: Parts) -> None:
    ended, failed = await started(parts), await started(parts)
    ended["status"] = {"phase": "Stopped", "completionTime": stamp(60)}
    ended["metadata"]["annotations"][REASON] = "Its user is no longer on this hub."
    failed["status"] = {"phase": "Failed", "completionTime": stamp(30)}
    await parts.see()
    parts.backend.pods.hear(scheduler_pod(failed, exitCode=1, message="loading\nModuleNotFoundError: dask\n"))
    found = {cluster.name: cluster for cluster in await parts.backend.ended_clusters("alice")}
    assert found[name_of(ended)].reason == "Its user is no longer on this hub."
    assert found[name_of(failed)].reason == (
        "Its scheduler ended: it failed (exit code 1):\nloading\nModuleNotFoundError: dask"
    )
    assert found[name_of(failed)].ended == pytest.approx(time.time() - 30, abs=5)
    assert await parts.backend.ended_clusters("bob") == []


def scheduler_pod(cluster: dict[str, Any], **terminated: Any) -> dict[str, Any]:
    metadata = cluster["metadata"]
    labels = {
        "gateway.dask.org/cluster": metadata["name"],
        "app.kubernetes.io/component": "dask-scheduler",
    }
    return {
        "metadata": {"name": "scheduler", "uid": "1", "namespace": metadata["namespace"], "labels": labels},
        "status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": terminated}}]},
    }


@pytest.mark.parametrize(
    ("pending", "wanted", "left"), [(5, 0, 5), (5, 4, 1), (5, 3, 2), (4, 1, 3), (1, 0, 1)], ids=str
)
async def test_dask_gateways_own_controller_takes_the_wrong_number_of_pending_workers(
    pending: int, wanted: int, left: int
) -> None:
    """Why pending workers that are too many are ended here: its slice counts from the wrong end."""
    controller = KubeController(gateway_instance="gw", api_url="http://api:8000/api")
    info = ClusterInfo()
    info.pending = {f"worker-{number}" for number in range(pending)}
    deleted: list[str] = []

    async def delete_pod(namespace: str, name: str, info: Any = None) -> None:
        deleted.append(name)

    controller.delete_pod = delete_pod
    cluster = {"metadata": {"namespace": "users", "name": "c"}}
    await controller.handle_scale_down(cluster, {}, info, wanted, wanted - pending)
    assert pending - len(deleted) == left
    assert left != wanted
