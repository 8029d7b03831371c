"""Folders of people's servers: those that they share, and a home that is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.homes import fill, mounted
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.changes import changed
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import HUB, Person, ResearchHub

LAB = {"claim": "commons", "folder": "lab"}
DIRECTORIES = {
    "lab": {**LAB, "mount": "/home/jovyan/lab", "access": "write", "allowed_groups": ["research"]},
    "reading": {**LAB, "mount": "/shared/lab"},
    "everything": {"claim": "commons", "mount": "/shared/all", "allowed_groups": ["staff"]},
}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    metadata = {"name": name, "namespace": HUB}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def sharing(hub: ResearchHub, kubectl: Kubectl) -> Iterator[ResearchHub]:
    """The hub with a folder that the group `research` writes and everybody reads."""
    kubectl.apply([claim("commons")])
    with changed(hub, {"hub": {"config": {"ScalableHub": {"directories": DIRECTORIES}}}}):
        yield hub
    kubectl("delete", "pvc", "commons", "-n", HUB, "--wait=false")


@pytest.fixture(scope="module")
def member(sharing: ResearchHub) -> Iterator[Person]:
    """Somebody of the group `research`, with a server named `folders`."""
    person = sharing.sign_in("carol")
    person.start_server({"size": "small"}, server="folders")
    yield person
    person.stop_server("folders")


@pytest.fixture(scope="module")
def guest(sharing: ResearchHub) -> Iterator[Person]:
    """Somebody of the group `guests`, with a server of the same name."""
    person = sharing.sign_in("bob")
    person.start_server({"size": "small"}, server="folders")
    yield person
    person.stop_server("folders")


_WRITE = """
import json, sys
try:
    open(sys.argv[1], "w").write("of all")
    print(json.dumps("written"))
except OSError as error:
    print(json.dumps(type(error).__name__ + ": " + error.strerror))
"""
_LOOK = """
import json, os
print(json.dumps({path: sorted(os.listdir(path)) if os.path.isdir(path) else None
                  for path in ("/home/jovyan/lab", "/shared/lab", "/shared/all")}))
"""


def test_a_member_writes_where_their_group_may(member: Person) -> None:
    assert member.run_python(_WRITE, "/home/jovyan/lab/results.txt", server="folders") == "written"


def test_everybody_reads_it_and_who_is_no_member_has_no_other_way_to_it(
    member: Person, guest: Person
) -> None:
    member.run_python(_WRITE, "/home/jovyan/lab/seen.txt", server="folders")
    found = guest.run_python(_LOOK, server="folders")
    assert "seen.txt" in found.pop("/shared/lab")
    assert found == {"/home/jovyan/lab": None, "/shared/all": None}


@pytest.mark.parametrize("who", ["member", "guest"])
def test_nobody_writes_where_they_may_only_read(who: str, request: pytest.FixtureRequest) -> None:
    person: Person = request.getfixturevalue(who)
    told = person.run_python(_WRITE, "/shared/lab/mine.txt", server="folders")
    assert told == "OSError: Read-only file system"


@pytest.fixture
def full_home(own_cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Path]:
    """The home of Dave's server `full`: a disk of two megabytes, with a note and no byte left."""
    assert own_cluster.own
    with mounted(tmp_path / "home") as home:
        home.chmod(0o777)
        (home / "notes.txt").write_text("of mine")
        fill(home)
        volume = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "hostPath": {"path": str(home)},
            "claimRef": {"name": "claim-dave--full", "namespace": HUB},
        }
        metadata = {"name": f"full-{tmp_path.stat().st_ino}"}
        kubectl.apply(
            [
                {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume},
                claim("claim-dave--full", storageClassName="", volumeName=metadata["name"]),
            ]
        )
        yield home
        kubectl("delete", "pvc", "claim-dave--full", "-n", HUB, "--wait=false")
        kubectl("delete", "pv", metadata["name"], "--wait=false")


def rescue_of(person: Person, server: str) -> list[str]:
    """Return what the server's start said about rescue."""
    said = person.hub.kubectl("logs", person.pod(server)["metadata"]["name"], "-n", HUB)
    return [line.partition(";")[0] for line in said.splitlines() if line.startswith("scalablehub:")]


def test_who_has_a_full_home_gets_a_server_cleans_up_there_and_has_everything_as_before(
    hub: ResearchHub, full_home: Path
) -> None:
    dave = hub.sign_in("dave")
    here = "user/dave/full/"
    dave.start_server({"size": "small"}, server="full")
    try:
        assert rescue_of(dave, "full") == [
            "scalablehub: rescue mode: /home/jovyan does not take files (full)"
        ]
        listed = dave.call("GET", f"{here}api/contents")[1]["content"]
        assert {file["name"] for file in listed} >= {"notes.txt", "results.bin"}
        status, kernel = dave.call("POST", f"{here}api/kernels", {})
        assert status == 201, kernel
        assert dave.call("DELETE", f"{here}api/contents/results.bin")[0] == 204
        dave.stop_server("full")
        dave.start_server({"size": "small"}, server="full")
        assert rescue_of(dave, "full") == []
        assert dave.call("GET", f"{here}api/contents/notes.txt")[1]["content"] == "of mine"
    finally:
        dave.stop_server("full")
