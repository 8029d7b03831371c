"""One edit of the description reaches the hub and the gateway, and what was known outlives the hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.hub.changes import changed, until_signed_in
from tests.kubernetes.hub.clusters import STOP, no_pods_left, pods, uids, work
from tests.kubernetes.hub.descriptions import at_the_gateway, hash_at_the_hub
from tests.kubernetes.research_hub import HUB, Person, ResearchHub
from tests.stack import until

EDIT = {
    "hub": {
        "config": {
            "ScalableHub": {
                "sizes": {"added": {"order": 11, "node": "standard", "cores": 0.1, "memory": "512M"}},
                "dask": {"max_workers": 5},
            }
        }
    }
}
POLL_SECONDS = 45
"""The gateway asks every 30 seconds."""


@pytest.fixture(scope="module")
def edited(hub: ResearchHub) -> Iterator[str]:
    """The hub with one more size and one more worker: the hash of its description."""
    earlier = hash_at_the_hub(hub)
    with changed(hub, EDIT):
        assert hash_at_the_hub(hub) != earlier
        yield hash_at_the_hub(hub)
    until(lambda: at_the_gateway(hub)["hash"] == earlier, "the gateway has the earlier one", POLL_SECONDS)


@pytest.fixture(scope="module")
def known(edited: str, hub: ResearchHub) -> str:
    """The same, once the gateway knows it."""
    until(lambda: at_the_gateway(hub)["hash"] == edited, "the gateway has the edited one", POLL_SECONDS)
    return edited


def test_the_hub_offers_the_new_size(edited: str, hub: ResearchHub) -> None:
    assert edited
    carol = hub.sign_in("carol")
    carol.start_server({"size": "added"})
    limits = carol.pod()["spec"]["containers"][0]["resources"]["limits"]
    carol.stop_server()
    assert limits == {"memory": str(512 * 2**20)}


def test_clusters_have_the_new_size_and_as_many_workers(known: str, alice: Person, hub: ResearchHub) -> None:
    assert known
    said = alice.run_python(
        """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    cluster = gateway.new_cluster(worker_size="added", shutdown_on_close=False)
    cluster.scale(6)
    with cluster.get_client() as client:
        client.wait_for_workers(5, timeout=120)
    print(json.dumps(cluster.name))
    cluster.close(shutdown=False)
"""
    )
    found = pods(hub.kubectl, {"name": said})
    memory = [
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        for pod in found
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "dask-worker"
    ]
    alice.run_python(STOP)
    no_pods_left(hub)
    assert memory == [str(512 * 2**20)] * 5


def test_while_the_hub_is_away_the_last_one_stays_and_clusters_compute(
    known: str, cluster_of_alice: dict[str, Any], alice: Person, hub: ResearchHub
) -> None:
    dask = uids(pods(hub.kubectl, cluster_of_alice))
    with work(alice) as working:
        hub.kubectl("scale", "deployment/hub", "-n", HUB, "--replicas=0")
        try:
            until(lambda: at_the_gateway(hub)["state"] == "away", "the gateway misses it", POLL_SECONDS)
            assert at_the_gateway(hub)["hash"] == known
        finally:
            hub.kubectl("scale", "deployment/hub", "-n", HUB, "--replicas=1")
            hub.kubectl.wait_for_rollout("hub", namespace=HUB)
        until_signed_in(hub)
        assert working.end() > 100
    assert uids(pods(hub.kubectl, cluster_of_alice)) == dask
