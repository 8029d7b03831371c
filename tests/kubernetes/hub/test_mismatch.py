"""A cluster of another environment than its server's: its user is told before any worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.changes import changed
from tests.kubernetes.hub.clusters import no_pods_left
from tests.kubernetes.images.building import build
from tests.kubernetes.research_hub import ResearchHub

# An image of another Python is built and loaded for it.
pytestmark = pytest.mark.timeout(900)

_CONNECT = """
import json, sys, warnings
from dask_gateway import Gateway
with Gateway() as gateway, gateway.new_cluster(image=sys.argv[1]) as cluster:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with cluster.get_client() as client:
            workers = len(client.scheduler_info()["workers"])
        cluster.scale(1)
    told = {
        kind: [str(one.message) for one in warned if one.category.__name__ == kind]
        for kind in ("VersionMismatchWarning", "GatewayWarning")
    }
    print(json.dumps({**told, "workers": workers}))
"""


@pytest.fixture(scope="module")
def told(hub: ResearchHub, own_cluster: Cluster) -> Iterator[dict[str, Any]]:
    """What a server with Python 3.13 is told of clusters with its own image, and with one of Python 3.11."""
    older = build("user", "bookworm", r=False)
    own_cluster.load_image(older.path, older.name)
    images = {"older": {"order": 20, "image": older.name}}
    with changed(hub, {"hub": {"config": {"ScalableHub": {"images": images}}}}):
        erin = hub.sign_in("erin")
        erin.start_server({"size": "small"})
        try:
            yield {image: erin.run_python(_CONNECT, image) for image in ("pangeo", "older")}
        finally:
            erin.stop_server()
            no_pods_left(hub)


def test_who_takes_another_environment_is_told_what_differs_before_a_worker_runs(
    told: dict[str, Any],
) -> None:
    assert told["older"]["workers"] == 0
    (words,) = told["older"]["VersionMismatchWarning"]
    assert "Mismatched versions found" in words
    (python,) = [line for line in words.splitlines() if "| python" in line]
    assert "3.13" in python
    assert "3.11" in python


def test_who_asks_for_workers_of_another_environment_is_told_so_at_once(told: dict[str, Any]) -> None:
    assert told["older"]["GatewayWarning"] == [
        "The environment of the cluster is older, and that of your server is pangeo: get_client() says "
        "whether their versions of Python and Dask fit."
    ]


def test_the_servers_own_environment_fits(told: dict[str, Any]) -> None:
    assert told["pangeo"] == {"VersionMismatchWarning": [], "GatewayWarning": [], "workers": 0}
