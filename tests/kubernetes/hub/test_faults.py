"""What breaks below the hub: homes, machines, Kubernetes itself, and an admin's own mistake."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.changes import answers, changed
from tests.kubernetes.hub.clusters import uids
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import HUB, Person, ResearchHub
from tests.stack import call, until

START_TIMEOUT_SECONDS = 25
# Of this run alone: a volume goes when Kubernetes has the time for it.
GHOST = f"ghost-{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def hasty_hub(hub: ResearchHub, alice: Person) -> Iterator[ResearchHub]:
    """The hub with little patience; alice's server runs while all of this happens."""
    server = uids([alice.pod()])
    with changed(hub, {"singleuser": {"startTimeout": START_TIMEOUT_SECONDS}}):
        yield hub
    assert uids([alice.pod()]) == server


@pytest.fixture
def erin(hasty_hub: ResearchHub) -> Iterator[Person]:
    person = hasty_hub.sign_in("erin")
    yield person
    until(lambda: answers(f"{hasty_hub.url}hub/api/"), "the hub answers", 120)
    for server in ("", "homeless", GHOST):
        person.stop_server(server)


def claim(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    metadata = {"name": name, "namespace": HUB}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def test_a_home_that_cannot_be_had_is_said(erin: Person, kubectl: Kubectl) -> None:
    kubectl.apply([claim("claim-erin--homeless", storageClassName="not-there")])
    try:
        begun = time.monotonic()
        told = erin.try_server({"size": "small"}, server="homeless")
        assert "Your home folder, or a folder that you share, could not be attached" in str(told)
        assert time.monotonic() - begun < START_TIMEOUT_SECONDS + 5
    finally:
        kubectl("delete", "pvc", "claim-erin--homeless", "-n", HUB, "--wait=false")
    erin.start_server({"size": "small"})


@pytest.fixture
def ghost(own_cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A machine of the pool `nowhere` that does nothing, and a home that can be had on any machine."""
    assert own_cluster.own
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    kubectl.apply([{"apiVersion": "v1", "kind": "Node", "metadata": _GHOST}])
    kubectl(
        *("patch", "node", "ghost", "--subresource=status", "--type=merge", "-p", json.dumps(_GHOST_IS_READY))
    )
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "hostPath": {"path": str(home)},
        "claimRef": {"name": f"claim-erin--{GHOST}", "namespace": HUB},
    }
    kubectl.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"home-of-{GHOST}"},
                "spec": volume,
            },
            claim(f"claim-erin--{GHOST}", storageClassName="", volumeName=f"home-of-{GHOST}"),
        ]
    )
    yield "ghost"
    kubectl("delete", "node", "ghost", "--ignore-not-found")
    kubectl("delete", "pvc", f"claim-erin--{GHOST}", "-n", HUB, "--wait=false")
    kubectl("delete", "pv", f"home-of-{GHOST}", "--wait=false")


_GHOST = {
    "name": "ghost",
    "labels": {"example.org/pool": "nowhere", "kubernetes.io/hostname": "ghost"},
}
_ROOM = {"cpu": "4", "memory": "16Gi", "pods": "10"}
_GHOST_IS_READY = {
    "status": {
        "capacity": _ROOM,
        "allocatable": _ROOM,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }
}


def test_a_machine_that_goes_away_is_said_and_the_next_start_works(
    ghost: str, erin: Person, kubectl: Kubectl
) -> None:
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(erin.try_server, {"size": "elsewhere"}, GHOST)
        until(lambda: starting.done() or _machine(erin, GHOST) == ghost, "the server is on the machine", 20)
        assert not starting.done(), starting.result()
        # As a machine goes that is taken back: its pods are evicted, and nobody there ends them.
        kubectl("taint", "nodes", ghost, "gone=yes:NoExecute")
        told = starting.result(60)
    assert "The machine that your server was on went away" in str(told)
    erin.start_server({"size": "small"}, server=GHOST)


def _machine(person: Person, server: str) -> str | None:
    pod = person.find_pod(server)
    machine: str | None = pod["spec"].get("nodeName") if pod else None
    return machine


WRONG = {
    "hub": {
        "config": {
            "ScalableHub": {"images": {"pangeo": {"kubespawner_override": {"memory_limit": "3G"}}}},
        }
    }
}


def test_a_wrong_override_is_one_line_in_the_hubs_log_and_servers_go_on(
    alice: Person, hasty_hub: ResearchHub, kubectl: Kubectl
) -> None:
    with changed(hasty_hub, WRONG, wait=False):
        # The chart replaces the hub's pod before it knows whether the new one works: there is no hub now.
        lines = until(lambda: _last_words(kubectl), "the hub ends", 60)
        assert [line for line in lines if "kubespawner_override" in line] == [
            "scalablehub: ScalableHub.images.pangeo.kubespawner_override.memory_limit: is not an option of "
            "KubeSpawner; see its reference for their names"
        ], lines
        assert not [line for line in lines if "Traceback" in line]
        status, _ = call("GET", f"{hasty_hub.url}user/alice/api")
        assert status == 200
    assert alice.call("GET", "user/alice/api/contents")[0] == 200


def _last_words(kubectl: Kubectl) -> list[str]:
    """Return what the hub's pod printed before it ended; nothing while it runs."""
    for pod in kubectl.list("pods", HUB, "component=hub"):
        if "deletionTimestamp" in pod["metadata"]:
            continue  # the earlier one
        for container in pod["status"].get("containerStatuses", []):
            if container["restartCount"] or "terminated" in container["state"]:
                text = kubectl("logs", pod["metadata"]["name"], "-n", HUB, check=False)
                return text.splitlines()
    return []


@pytest.mark.timeout(900)
def test_servers_outlive_an_api_server_that_is_away(
    alice: Person, erin: Person, own_cluster: Cluster, hasty_hub: ResearchHub
) -> None:
    base = hasty_hub.url

    def ask(person: Person, method: str, path: str) -> tuple[int, Any]:
        return call(method, base + path, body=b"{}", Authorization=f"token {person.token}")

    begun = time.monotonic()
    own_cluster.stop("apiserver")
    try:
        # While hub and pods are left to themselves, alice works; erin's start is refused in words.
        status, _ = ask(erin, "POST", "hub/api/users/erin/server")
        told = until(lambda: _end_of_start(ask, erin), "erin's start ends", 60) if status == 202 else _
        assert "the machines that run them do not answer" in str(told)
        assert time.monotonic() - begun < 60
        # Longer than KubeSpawner goes on looking for pods.
        until(lambda: time.monotonic() - begun > 60, "a minute without the API server", 62)
        assert ask(alice, "GET", "user/alice/api/contents")[0] == 200
        assert ask(alice, "GET", "hub/api/users/alice")[1]["servers"][""]["ready"] is True
    finally:
        own_cluster.start("apiserver")
        # They end themselves where they have a lease to lose; left to themselves here they look again late.
        for part in ("controllers", "scheduler"):
            own_cluster.stop(part)
            own_cluster.start(part)
    # Until its kubelet is heard again the cluster takes its only machine for lost, with the proxy on it.
    until(lambda: answers(f"{hasty_hub.url}hub/api/"), "the hub answers", 120)
    until(lambda: _starts(erin), "erin's server starts", 180)
    assert alice.call("GET", "hub/api/users/alice")[1]["servers"][""]["ready"] is True
    assert alice.call("GET", "user/alice/api/contents")[0] == 200


def _starts(person: Person) -> bool:
    with suppress(OSError):
        status, model = person.call("GET", f"hub/api/users/{person.name}")
        if status == 200 and model["servers"].get("", {}).get("ready"):
            return True
        return status == 200 and person.try_server({"size": "small"}) is None
    return False


def _end_of_start(ask: Any, person: Person) -> str | None:
    """Return what the page says about a start that has ended, None before."""
    model = ask(person, "GET", f"hub/api/users/{person.name}")[1]
    if model["servers"].get("", {}).get("pending"):
        return None
    _, text = ask(person, "GET", f"hub/api/users/{person.name}/server/progress")
    return str(text)
