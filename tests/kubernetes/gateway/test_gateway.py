"""What dask-gateway's own controller makes in Kubernetes of what our API side decided."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from scalablehub.dask.commands import command_in_image
from scalablehub.pods import weaknesses
from tests.kubernetes.gateway.conftest import IMAGE, Gateway
from tests.stack import until

NAMES = ["alice", "jane.doe@ex.org", "søren-ångström", "a" * 63, "a" * 200, "-", '{"a": "{0}"}', "x/../y"]


def test_a_cluster_runs_in_a_namespace_with_restricted_pod_security(gateway: Gateway) -> None:
    name = gateway.start()
    status, answer = gateway.wait(name)
    assert (status, answer["status"]) == (200, "RUNNING")
    assert answer["options"] == {
        "worker_size": "small",
        "image": "base",
        "environment": {},
        "idle_timeout": 0,
        "linger": 300,
    }
    pod = gateway.scheduler(name)
    (container,) = pod["spec"]["containers"]
    assert list(weaknesses(pod)) == []
    command = command_in_image("scheduler")
    assert (container["image"], container["args"][: len(command)]) == (IMAGE, command)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["dask-credentials"]


def test_workers_are_pods_of_the_chosen_size_and_no_more_than_allowed(gateway: Gateway) -> None:
    name = gateway.start(environment={"GDAL_CACHEMAX": "64", "JSON": '{"a": "{0}$(HOME)"}'})
    gateway.wait(name)
    assert gateway.beat(name, 50) == 200
    workers = until(lambda: gateway.pods(name, "dask-worker"), "workers", 60)
    until(lambda: len(gateway.pods(name, "dask-worker")) == 2, "two workers", 60)
    (container,) = workers[0]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "10m", "memory": "16777216"}
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "16777216"}
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (variables["GDAL_CACHEMAX"], variables["JSON"]) == ("64", '{"a": "{0}$(HOME)"}')
    assert gateway.beat(name, "many") == 409
    assert gateway.beat(name, 0) == 200
    cluster = gateway.kubectl.get("daskcluster", name.partition(".")[2], gateway.namespace)
    assert cluster is not None
    assert cluster["spec"]["replicas"] == 0


def test_a_limit_that_was_lowered_holds_at_the_next_change(gateway: Gateway) -> None:
    name = gateway.start()
    gateway.wait(name)
    gateway.describes(dask={"gateway_url": "http://gateway", "max_workers": 1, "max_clusters": 9})
    # A start asks the hub; so does the gateway itself, a little later.
    gateway.start()
    gateway.beat(name, 2)
    cluster = gateway.kubectl.get("daskcluster", name.partition(".")[2], gateway.namespace)
    assert cluster is not None
    assert cluster["spec"]["replicas"] == 1


@pytest.mark.parametrize("user", NAMES, ids=lambda name: f"{name[:16]} {len(name)}")
def test_every_user_name_gives_pods_that_say_whose_they_are(gateway: Gateway, user: str) -> None:
    name = gateway.start(user)
    metadata = gateway.scheduler(name)["metadata"]
    assert metadata["annotations"]["hub.jupyter.org/username"] == user
    labels = metadata["labels"]
    assert (labels["cost-center"], labels["scalablehub/size"]) == ("geophysics", "small")
    cluster = gateway.kubectl.get("daskcluster", name.partition(".")[2], gateway.namespace)
    assert cluster is not None
    same = "hub.jupyter.org/username"
    assert cluster["metadata"]["labels"][same] == labels[same]
    assert cluster["metadata"]["annotations"][same] == user


def test_of_many_starts_at_once_no_more_get_through_than_allowed(gateway: Gateway) -> None:
    def start(_number: int) -> int:
        return gateway.ask("POST", "v1/clusters/", "alice", {})[0]

    with ThreadPoolExecutor(12) as many:
        answers = list(many.map(start, range(12)))
    assert sorted(answers) == [201] * 3 + [422] * 9
    assert len(gateway.kubectl.list("daskclusters", gateway.namespace)) == 3


def test_a_cluster_that_is_stopped_makes_room_for_the_next(gateway: Gateway) -> None:
    names = [gateway.start() for _ in range(3)]
    assert gateway.ask("POST", "v1/clusters/", "alice", {})[0] == 422
    assert gateway.ask("DELETE", f"v1/clusters/{names[0]}")[0] == 204
    gateway.start()


def test_an_image_that_cannot_be_pulled_is_told_to_who_waits(gateway: Gateway) -> None:
    name = gateway.start(image="absent")
    status, answer = gateway.wait(name)
    assert status == 409
    assert answer["error"].startswith(
        f"Cluster {name} failed. Its scheduler cannot start, as its image cannot"
    )
    assert "localhost/not-there:1" in answer["error"]
    until(lambda: not gateway.pods(name, "dask-scheduler"), "the scheduler is gone", 60)


def test_a_scheduler_without_a_node_is_told_to_who_waits(gateway: Gateway) -> None:
    name = gateway.start(worker_size="elsewhere")
    status, answer = gateway.wait(name)
    assert status == 409
    assert "No node had room for its scheduler within 30 seconds: 0/1 nodes are available" in answer["error"]


def test_a_quota_without_room_is_told_to_who_waits(gateway: Gateway) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    place = {"namespace": gateway.namespace}
    gateway.kubectl.apply([quota | {"metadata": {"name": "none", **place}, "spec": {"hard": {"pods": "0"}}}])
    name = gateway.start()
    status, answer = gateway.wait(name)
    assert status == 409
    assert (
        "Its scheduler could not be created: the namespace has no room left in its quota" in answer["error"]
    )


def test_while_the_hub_has_no_description_the_last_good_one_is_followed(gateway: Gateway) -> None:
    name = gateway.describes(labels={"cost-center": "other"})
    gateway.start()
    gateway.hub.description = 500
    gateway.start()
    status, answer = gateway.ask("GET", "scalablehub/description", None)
    assert status == 200
    assert (answer["hash"], answer["state"]) == (name, "away")


def test_a_hub_that_does_not_answer_starts_nothing(gateway: Gateway) -> None:
    gateway.hub.broken = web.Response(status=502)
    status, answer = gateway.ask("POST", "v1/clusters/", "alice", {})
    assert (status, answer["error"]) == (
        503,
        "The hub cannot be asked who you are just now. Try again in a few seconds.",
    )
    assert gateway.kubectl.list("daskclusters", gateway.namespace) == []
