"""A hub below a path of its host: everything is found there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.hub.changes import answers
from tests.kubernetes.hub.clusters import START, STOP, computes, no_pods_left
from tests.kubernetes.hub.descriptions import at_the_gateway, hash_at_the_hub
from tests.kubernetes.research_hub import Person, ResearchHub
from tests.stack import until


@pytest.fixture(scope="module")
def research(hub: ResearchHub) -> Iterator[ResearchHub]:
    """The hub at /research/, with dask-gateway told so, and back at / afterwards."""
    hub.base_url = "/research/"
    try:
        _upgrade(hub)
        yield hub
    finally:
        hub.base_url = "/"
        _upgrade(hub)


def _upgrade(hub: ResearchHub) -> None:
    hub.upgrade_hub(wait=False)
    hub.upgrade_gateway()
    hub.upgrade_hub()
    # A proxy that goes on has the routes of before; the hub sets them right when it asks for activity.
    where = f"{hub.url}services/dask-gateway/api/v1/clusters/"
    until(lambda: answers(where, 401), "the service is found at its new place", 90)


@pytest.fixture(scope="module")
def erin(research: ResearchHub) -> Iterator[Person]:
    person = research.sign_in("erin")
    person.start_server({"size": "small"})
    yield person
    person.stop_server()


@pytest.fixture(scope="module")
def cluster_of_erin(erin: Person, research: ResearchHub) -> Iterator[dict[str, Any]]:
    yield erin.run_python(START)
    erin.run_python(STOP)
    no_pods_left(research)


def test_the_lab_answers_below_the_path(erin: Person, research: ResearchHub) -> None:
    assert research.url.endswith("/research/")
    status, text = erin.call("GET", "user/erin/lab")
    assert (status, "<title>JupyterLab</title>" in text) == (200, True)


def test_the_description_reaches_the_gateway(research: ResearchHub) -> None:
    wanted = hash_at_the_hub(research)
    until(lambda: at_the_gateway(research)["hash"] == wanted, "the gateway has the hub's description", 45)
    assert at_the_gateway(research)["state"] == "good"


def test_a_cluster_computes(cluster_of_erin: dict[str, Any], erin: Person) -> None:
    assert cluster_of_erin["name"]
    assert computes(erin)


def test_the_link_to_the_dashboard_opens_it_for_its_owner_only(
    cluster_of_erin: dict[str, Any], erin: Person, research: ResearchHub
) -> None:
    path = f"services/dask-gateway/clusters/{cluster_of_erin['name']}/status"
    assert cluster_of_erin["link"] == f"/research/{path}"
    assert erin.call("GET", path)[0] == 200
    assert research.sign_in("carol").call("GET", path)[0] == 404
