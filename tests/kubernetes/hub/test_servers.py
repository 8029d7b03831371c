"""What somebody who starts a server gets: the pod that the page promised, and no more than they may have."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import HUB, PEOPLE, Person, ResearchHub
from tests.stack import call

GIB = 2**30


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def test_the_pod_has_what_the_page_promised(alice: Person, hub: ResearchHub) -> None:
    pod = alice.pod()
    container = notebook(pod)
    assert container["resources"] == {
        "requests": {"cpu": "200m", "memory": str(2 * GIB)},
        "limits": {"memory": str(2 * GIB)},
    }
    assert container["image"] == hub.images.user
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_labels_say_what_was_chosen_and_for_whom(alice: Person) -> None:
    labels = alice.pod()["metadata"]["labels"]
    assert {name: labels.get(name) for name in labels if name.startswith(("scalablehub/", "cost-"))} == {
        "scalablehub/size": "medium",
        "scalablehub/node-pool": "standard",
        "scalablehub/image": "pangeo",
        "scalablehub/interface": "lab",
        "cost-center": "geophysics",
    }
    assert labels["hub.jupyter.org/username"] == "alice"


def test_people_of_different_groups_get_what_theirs_may_have(bob: Person, hub: ResearchHub) -> None:
    assert notebook(bob.pod())["resources"]["limits"] == {"memory": str(GIB)}
    assert "Large cannot be chosen: For members of the group research." in str(
        hub.sign_in("bob").try_server({"size": "large"}, server="second")
    )


def test_jupyterlab_answers_through_the_proxy(alice: Person) -> None:
    status, text = alice.call("GET", "user/alice/lab")
    assert (status, "<title>JupyterLab</title>" in text) == (200, True)


def test_the_chosen_interface_is_where_people_land(bob: Person) -> None:
    status, text = bob.call("GET", "user/bob/")
    assert (status, "Home" in text and "notebook" in text.lower()) == (200, True)


def test_somebody_elses_server_is_refused(alice: Person, bob: Person) -> None:
    assert bob.call("GET", "user/alice/api/contents")[0] == 403


def test_a_server_runs_without_any_right_that_it_does_not_need(alice: Person) -> None:
    facts = alice.run_python(
        """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": status["CapEff"].strip(),
    "seccomp": status["Seccomp"].strip(),
    "no new privileges": status["NoNewPrivs"].strip(),
    "api token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
}))
"""
    )
    assert facts == {
        "uid": 1000,
        "capabilities": "0000000000000000",
        "seccomp": "2",
        "no new privileges": "1",
        "api token": False,
    }


def test_what_an_admin_hands_out_by_mistake_is_refused_in_words(hub: ResearchHub) -> None:
    told = hub.sign_in("carol").try_server({"image": "rootly"})
    assert told is not None
    assert "ask for rights that this hub does not give" in told


def test_a_home_keeps_its_files_over_servers(hub: ResearchHub) -> None:
    dave = hub.sign_in("dave")
    dave.start_server({"size": "small"})
    dave.run_python('open("/home/jovyan/kept.txt", "w").write("mine"); print("1")')
    dave.stop_server()
    dave.start_server({"size": "medium"})
    kept = dave.run_python('import json; print(json.dumps(open("/home/jovyan/kept.txt").read()))')
    dave.stop_server()
    assert kept == "mine"


HARD_NAMES = [name for name in PEOPLE if not name.isascii() or not name.isalpha() or len(name) > 20]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_name_that_hurts_has_a_server_of_its_own(name: str, hub: ResearchHub) -> None:
    person = hub.sign_in(name)
    person.start_server({"size": "small"})
    try:
        pod = person.pod()
        label = pod["metadata"]["labels"]["hub.jupyter.org/username"]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
        assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == name
        status, _ = call("GET", person.server_url() + "api/contents", Authorization=f"token {person.token}")
        assert status == 200
    finally:
        person.stop_server()


def test_a_name_that_begins_with_anothers_is_somebody_else(hub: ResearchHub) -> None:
    jo, john = hub.sign_in("jo"), hub.sign_in("john")
    jo.start_server({"size": "small"})
    john.start_server({"size": "small"})
    jo.stop_server()
    assert john.find_pod() is not None
    john.stop_server()


def test_named_servers_are_pods_of_their_own(hub: ResearchHub) -> None:
    person = hub.sign_in("erin")
    person.start_server({"size": "small"})
    person.start_server({"size": "medium"}, server="second")
    pods = [person.pod(), person.pod("second")]
    assert [notebook(pod)["resources"]["limits"]["memory"] for pod in pods] == [str(GIB), str(2 * GIB)]
    person.stop_server("second")
    assert person.find_pod() is not None
    person.stop_server()


def test_the_hub_may_do_no_more_than_the_chart_lets_it(kubectl: Kubectl) -> None:
    account = f"--as=system:serviceaccount:{HUB}:hub"
    may = {
        ("create", "pods", HUB): "yes",
        ("delete", "persistentvolumeclaims", HUB): "yes",
        ("list", "events", HUB): "yes",
        ("create", "pods", "dask"): "no",
        ("get", "secrets", "gateway"): "no",
        ("list", "nodes", HUB): "no",
        ("patch", "pods", HUB): "no",
        ("create", "pods", HUB, "--subresource=exec"): "no",
    }
    said = {
        question: kubectl(
            *("auth", "can-i", *question[:2], "-n", question[2], *question[3:]), account, check=False
        ).strip()
        for question in may
    }
    assert said == may


def test_the_gateway_ends_pods_of_clusters_only(kubectl: Kubectl) -> None:
    account = "--as=system:serviceaccount:gateway:gateway"
    may = {"dask": "yes", "hub": "no", "gateway": "no", "kube-system": "no"}
    for verb in ("list", "watch", "delete"):
        said = {
            namespace: kubectl("auth", "can-i", verb, "pods", "-n", namespace, account, check=False).strip()
            for namespace in may
        }
        assert said == may, verb


def test_the_gateway_reads_secrets_of_clusters_only(kubectl: Kubectl) -> None:
    account = "--as=system:serviceaccount:gateway:gateway"
    may = {"dask": "yes", "hub": "no", "gateway": "no", "kube-system": "no"}
    said = {
        namespace: kubectl("auth", "can-i", "get", "secrets", "-n", namespace, account, check=False).strip()
        for namespace in may
    }
    assert said == may
