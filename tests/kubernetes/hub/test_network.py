"""Who reaches whom, tried from inside the pods: what they must, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.clusters import pods
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import DASK, GATEWAY, HUB, STORE, Person, ResearchHub

TRY = """
import json, socket, sys
answers = {}
for name, host, port in json.loads(sys.argv[1]):
    try:
        socket.create_connection((host, port), timeout=3).close()
        answers[name] = True
    except OSError:
        answers[name] = False
print(json.dumps(answers))
"""


def reached(
    kubectl: Kubectl, pod: str, namespace: str, targets: list[tuple[str, str, int]]
) -> dict[str, bool]:
    """Return, from inside a pod, which of the named addresses take a connection."""
    text = kubectl.execute(pod, namespace, "python3", "-", json.dumps(targets), given=TRY)
    answers: dict[str, bool] = json.loads(text.strip().splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def targets(
    alice: Person, bob: Person, cluster_of_alice: dict[str, Any], hub: ResearchHub, cluster: Cluster
) -> list[tuple[str, str, int]]:
    """Everything that somebody might try to reach."""
    dask = pods(hub.kubectl, cluster_of_alice)
    (scheduler,) = [
        p for p in dask if p["metadata"]["labels"]["app.kubernetes.io/component"] == "dask-scheduler"
    ]
    return [
        ("hub", f"hub.{HUB}", 8081),
        ("the hub's dask-gateway service", f"hub.{HUB}", 10101),
        ("proxy", f"proxy-public.{HUB}", 80),
        ("the proxy's API", f"proxy-api.{HUB}", 8001),
        ("alice's server", alice.pod()["status"]["podIP"], 8888),
        ("bob's server", bob.pod()["status"]["podIP"], 8888),
        ("dashboards and requests behind traefik", f"traefik-dask-gateway.{GATEWAY}", 80),
        ("schedulers behind traefik", f"traefik-dask-gateway.{GATEWAY}", 8786),
        ("the gateway", f"api-dask-gateway.{GATEWAY}", 8000),
        ("alice's scheduler", scheduler["status"]["podIP"], 8786),
        ("alice's dashboard", scheduler["status"]["podIP"], 8787),
        ("the API of alice's scheduler", scheduler["status"]["podIP"], 8788),
        ("store", f"store.{STORE}", 9000),
        ("the API server", "kubernetes.default", 443),
        ("kubelet", str(cluster.node_address), 10250),
        ("the metadata address", "169.254.169.254", 80),
    ]


def test_a_server_reaches_what_it_needs_and_no_more(
    bob: Person, targets: list[tuple[str, str, int]], kubectl: Kubectl
) -> None:
    answers = reached(kubectl, bob.pod()["metadata"]["name"], HUB, targets)
    assert {name for name, yes in answers.items() if yes} == {
        "hub",
        "proxy",
        "bob's server",
        "schedulers behind traefik",
        "store",
    }


@pytest.mark.parametrize(
    ("component", "allowed"),
    [
        (
            "dask-scheduler",
            {
                "the gateway",
                "store",
                "alice's scheduler",
                "alice's dashboard",
                "the API of alice's scheduler",
            },
        ),
        ("dask-worker", {"store", "alice's scheduler"}),
    ],
    ids=["scheduler", "worker"],
)
def test_a_dask_pod_reaches_what_it_needs_and_no_more(
    component: str,
    allowed: set[str],
    cluster_of_alice: dict[str, Any],
    targets: list[tuple[str, str, int]],
    kubectl: Kubectl,
) -> None:
    pod = next(
        p
        for p in pods(kubectl, cluster_of_alice)
        if p["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    answers = reached(kubectl, pod["metadata"]["name"], DASK, targets)
    assert {name for name, yes in answers.items() if yes} == allowed


def test_the_hub_reaches_what_it_needs(targets: list[tuple[str, str, int]], kubectl: Kubectl) -> None:
    (pod,) = kubectl.list("pods", HUB, "component=hub")
    answers = reached(kubectl, pod["metadata"]["name"], HUB, targets)
    needed = {
        "proxy",
        "the proxy's API",
        "alice's server",
        "bob's server",
        "dashboards and requests behind traefik",
        "the API server",
    }
    assert needed <= {name for name, yes in answers.items() if yes}


def test_the_hubs_database_is_nobody_elses(bob: Person, kubectl: Kubectl) -> None:
    mounted = [
        volume.get("persistentVolumeClaim", {}).get("claimName") for volume in bob.pod()["spec"]["volumes"]
    ]
    assert "hub-db-dir" not in mounted
