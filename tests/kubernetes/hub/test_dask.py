"""Dask clusters through the hub: pods of the user's own image, for those who may, seen by their owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.hub.clusters import STOP, WORK, no_pods_left, pods
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import DASK, GATEWAY, HUB, Person, ResearchHub
from tests.stack import call, until


def test_a_cluster_computes_and_goes(alice: Person, hub: ResearchHub) -> None:
    assert alice.run_python(WORK)["total"] == 328350
    until(lambda: not hub.kubectl.list("pods", DASK), "its pods end", 90)


@pytest.fixture(scope="module")
def carol(hub: ResearchHub) -> Iterator[Person]:
    """Somebody with a server named `clusters`, whose clusters end with it."""
    person = hub.sign_in("carol")
    person.start_server({"size": "small"}, server="clusters")
    yield person
    person.stop_server("clusters")


FAILING = """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    try:
        gateway.new_cluster(environment={"PYTHONHOME": "/nowhere"})
    except Exception as error:
        print(json.dumps(str(error)))
"""


def test_who_waits_for_a_scheduler_that_fails_is_told_its_last_words(carol: Person, hub: ResearchHub) -> None:
    told = str(carol.run_python(FAILING, server="clusters"))
    assert "Its scheduler ended: it failed (exit code 1)" in told
    assert "No module named 'encodings'" in told
    (ended,) = seen(hub, carol)["ended"]
    assert "No module named 'encodings'" in ended["reason"]


_ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "jupyterhub " + sys.argv[2]})
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""


def seen(hub: ResearchHub, person: Person, below: str = "") -> dict[str, Any]:
    """Return what My clusters has to show somebody, asked where the hub's service asks."""
    where = f"http://traefik-dask-gateway.{GATEWAY}/api/scalablehub/clusters{below}"
    text = hub.kubectl(
        *("exec", "deployment/hub", "-n", HUB, "-i", "--", "python3", "-", where, person.token), given=_ASK
    )
    found: dict[str, Any] = json.loads(text)
    return found


WRITTEN = """
import json, os, sys
from dask_gateway import Gateway

def write(part):
    print(f"canary of the {part}", file=sys.stderr, flush=True)
    return os.environ.get("DASK_GATEWAY_WORKER_NAME")

with Gateway() as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False)
    cluster.scale(2)
    with cluster.get_client() as client:
        client.wait_for_workers(2, timeout=120)
        client.run_on_scheduler(write, "scheduler")
        workers = sorted(client.run(write, "worker").values())
    cluster.close(shutdown=False)
    print(json.dumps([cluster.name, workers]))
"""


def test_what_schedulers_and_workers_wrote_is_there_after_their_pods_are_gone(
    carol: Person, alice: Person, hub: ResearchHub
) -> None:
    name, workers = carol.run_python(WRITTEN, server="clusters")

    def logs() -> list[tuple[str, bool, bool]]:
        found = seen(hub, carol, f"/{name}/logs")["logs"]
        scheduler = f"dask-scheduler-{name.partition('.')[2]}"
        assert sorted(log["name"] for log in found) == sorted([scheduler, *workers])
        return [(log["part"], log["over"], f"canary of the {log['part']}" in log["text"]) for log in found]

    assert logs() == [("scheduler", False, True), ("worker", False, True), ("worker", False, True)]
    carol.run_python(STOP, server="clusters")
    no_pods_left(hub)
    assert logs() == [("scheduler", True, True), ("worker", True, True), ("worker", True, True)]
    with pytest.raises(AssertionError, match="404"):
        seen(hub, alice, f"/{name}/logs")


SCALED = """
import json, sys
from dask_gateway import Gateway
with Gateway() as gateway:
    names = [report.name for report in gateway.list_clusters()]
    cluster = gateway.connect(names[0]) if names else gateway.new_cluster(
        worker_size=sys.argv[2] if sys.argv[2:] else "giant", shutdown_on_close=False
    )
    cluster.scale(int(sys.argv[1]))
    cluster.close(shutdown=False)
    print(json.dumps("scaled"))
"""


def test_workers_for_which_there_is_no_room_say_so_and_go_when_they_are_not_wanted(
    carol: Person, hub: ResearchHub
) -> None:
    def cluster() -> dict[str, Any]:
        (found,) = seen(hub, carol)["clusters"]
        return dict(found)

    try:
        carol.run_python(SCALED, "4", server="clusters")
        until(lambda: "Insufficient memory" in cluster()["why"] and cluster()["pending"] > 1, "some pend", 60)
        carol.run_python(SCALED, "0", server="clusters")
        until(lambda: cluster()["pending"] == 0, "none is on the way", 45)
    finally:
        carol.run_python(STOP, server="clusters")
        no_pods_left(hub)


@pytest.fixture
def quota(kubectl: Kubectl) -> Iterator[None]:
    """A quota of two pods for all clusters."""
    kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "two", "namespace": DASK},
                "spec": {"hard": {"pods": "2"}},
            }
        ]
    )
    yield
    kubectl("delete", "resourcequota", "two", "-n", DASK)


@pytest.mark.usefixtures("quota")
def test_workers_that_a_quota_keeps_away_are_told(carol: Person, hub: ResearchHub) -> None:
    try:
        carol.run_python(SCALED, "3", "small", server="clusters")
        until(lambda: "no pod for 2 workers" in seen(hub, carol)["clusters"][0]["why"], "it is told", 60)
    finally:
        carol.run_python(STOP, server="clusters")
        no_pods_left(hub)


def test_workers_have_the_image_of_the_server(cluster_of_alice: dict[str, Any], hub: ResearchHub) -> None:
    images = {pod["spec"]["containers"][0]["image"] for pod in pods(hub.kubectl, cluster_of_alice)}
    assert images == {hub.images.user}


def test_pods_say_whose_they_are_as_the_server_does(
    cluster_of_alice: dict[str, Any], alice: Person, hub: ResearchHub
) -> None:
    server = alice.pod()["metadata"]
    for pod in pods(hub.kubectl, cluster_of_alice):
        labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
        for name in ("hub.jupyter.org/username", "cost-center"):
            assert labels[name] == server["labels"][name]
        assert annotations["hub.jupyter.org/username"] == "alice"


def test_pods_have_no_right_that_they_do_not_need(cluster_of_alice: dict[str, Any], kubectl: Kubectl) -> None:
    for pod in pods(kubectl, cluster_of_alice):
        assert pod["spec"].get("automountServiceAccountToken") is False
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_dashboard_is_its_owners(
    cluster_of_alice: dict[str, Any], alice: Person, bob: Person, carol: Person, hub: ResearchHub
) -> None:
    path = f"services/dask-gateway/clusters/{cluster_of_alice['name']}/status"
    statuses = {
        "alice": alice.call("GET", path)[0],
        "carol, who may have clusters": carol.call("GET", path)[0],
        "bob, who may not": bob.call("GET", path)[0],
        "nobody": call("GET", hub.url + path, Accept="application/json")[0],
    }
    assert statuses == {
        "alice": 200,
        "carol, who may have clusters": 404,
        "bob, who may not": 403,
        "nobody": 401,
    }


ALONE = """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    print(json.dumps(gateway.submit(linger=0)))
"""


def test_a_cluster_ends_with_its_server_and_no_other_does(
    cluster_of_alice: dict[str, Any], alice: Person, hub: ResearchHub
) -> None:
    alice.start_server({"size": "small"}, server="second")
    try:
        # Whether there is room for its scheduler beside all others does not matter.
        name = str(alice.run_python(ALONE, server="second"))
        until(lambda: _pods_of(hub, name), "the cluster has a scheduler's pod", 60)
    finally:
        alice.stop_server("second")
    until(lambda: not _pods_of(hub, name), "the cluster of the stopped server ends", 60)
    assert len(_pods_of(hub, cluster_of_alice["name"])) == 3


def _pods_of(hub: ResearchHub, cluster: str) -> list[Any]:
    return hub.kubectl.list("pods", DASK, f"gateway.dask.org/cluster={cluster.partition('.')[2]}")


def test_who_may_not_have_clusters_is_told_so(bob: Person) -> None:
    said = bob.run_python(
        """
import json
from dask_gateway import Gateway
try:
    with Gateway(address="http://proxy-public/services/dask-gateway", auth="jupyterhub") as gateway:
        gateway.new_cluster()
except Exception as error:
    print(json.dumps(str(error)))
"""
    )
    assert "may not" in said


def test_most_clusters_of_one_person_is_kept(alice: Person, hub: ResearchHub) -> None:
    said = alice.run_python(
        """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    try:
        for _ in range(3):
            gateway.submit()
    except Exception as error:
        print(json.dumps(str(error)))
"""
    )
    alice.run_python(STOP)
    no_pods_left(hub)
    assert "You have 2 of 2 clusters" in said


@pytest.mark.parametrize("name", ["jane.doe@ex.org", "søren-ångström", "a" * 63])
def test_a_name_that_hurts_has_clusters(name: str, hub: ResearchHub) -> None:
    person = hub.sign_in(name)
    person.start_server({"size": "small"})
    try:
        assert person.run_python(WORK)["total"] == 328350
    finally:
        person.stop_server()
    no_pods_left(hub)
