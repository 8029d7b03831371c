"""Upgrades under people who work: another image, other values, scalablehub off and on again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.changes import changed, named, pod_of_hub
from tests.kubernetes.hub.clusters import computes, pods, uids, work
from tests.kubernetes.images import build
from tests.kubernetes.research_hub import Person, ResearchHub
from tests.stack import until

NEWER = "localhost/scalablehub-hub:newer"
KEEP = 'import json; open("/home/jovyan/kept.txt", "w").write("mine"); print(json.dumps("written"))'
KEPT = 'import json; print(json.dumps(open("/home/jovyan/kept.txt").read()))'

# What stock KubeSpawner has to be told for a namespace with the restricted standard.
_RESTRICTED = {
    "pod_security_context": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "container_security_context": {"capabilities": {"drop": ["ALL"]}},
}


def off(hub: ResearchHub) -> dict[str, Any]:
    """Values with scalablehub turned off, and what the chart itself needs then."""
    return {
        "hub": {"config": {"ScalableHub": {"enabled": False}, "KubeSpawner": _RESTRICTED}},
        "singleuser": {"image": named(hub.images.user)},
    }


@pytest.fixture
def dave(hub: ResearchHub) -> Iterator[Person]:
    person = hub.sign_in("dave")
    yield person
    person.stop_server()


def claims(pod: dict[str, Any]) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]


def answers(person: Person) -> bool:
    return person.call("GET", f"user/{person.name}/api/contents")[0] == 200


def test_a_new_image_and_new_values_leave_what_runs(
    cluster_of_alice: dict[str, Any], alice: Person, hub: ResearchHub, cluster: Cluster
) -> None:
    cluster.load_image(build("hub").path, NEWER)
    server, dask = uids([alice.pod()]), uids(pods(hub.kubectl, cluster_of_alice))
    earlier = pod_of_hub(hub)
    values = {
        "hub": {
            "image": named(NEWER),
            "config": {"ScalableHub": {"sizes": {"small": {"description": "To look at data."}}}},
        }
    }
    with work(alice) as working:
        with changed(hub, values):
            assert pod_of_hub(hub) != earlier
            until(lambda: answers(alice), "alice's server answers", 30)
            until(lambda: computes(alice), "alice computes on her cluster", 60)
            assert uids([alice.pod()]) == server
            assert uids(pods(hub.kubectl, cluster_of_alice)) == dask
        until(lambda: computes(alice), "alice computes on her cluster", 60)
        assert working.end() > 100
    assert uids([alice.pod()]) == server
    assert uids(pods(hub.kubectl, cluster_of_alice)) == dask


def test_turned_off_and_on_again(dave: Person, hub: ResearchHub) -> None:
    dave.start_server({"size": "small"})
    dave.run_python(KEEP)
    ours = dave.pod()
    with changed(hub, off(hub)):
        # KubeSpawner goes on with the pod that ours made, and makes its own with the same name and home.
        until(lambda: answers(dave), "dave's server answers", 30)
        assert uids([dave.pod()]) == uids([ours])
        dave.stop_server()
        dave.start_server()
        stock = dave.pod()
        assert "scalablehub/size" not in stock["metadata"]["labels"]
        assert stock["metadata"]["name"] == ours["metadata"]["name"]
        assert claims(stock) == claims(ours)
        assert dave.run_python(KEPT) == "mine"
    # Ours goes on with the pod that KubeSpawner made, and makes its own again.
    until(lambda: answers(dave), "dave's server answers", 30)
    assert uids([dave.pod()]) == uids([stock])
    dave.stop_server()
    dave.start_server({"size": "medium"})
    assert dave.pod()["metadata"]["labels"]["scalablehub/size"] == "medium"
    assert dave.pod()["metadata"]["name"] == ours["metadata"]["name"]
    assert claims(dave.pod()) == claims(ours)
    assert dave.run_python(KEPT) == "mine"
