"""One deployment that all tests here share; each leaves it as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from scalablehub.local.sample_data import prepare_sample_data
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.hub.clusters import START, STOP, no_pods_left
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import Images, Person, ResearchHub, load_images, seed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take the API server away last: dask-gateway's own view of clusters is slow to come back."""
    items.sort(key=lambda item: item.name == "test_servers_outlive_an_api_server_that_is_away")


@pytest.fixture(scope="session")
def images(cluster: Cluster, small_images: None, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of the hub, of people's servers and of the gateway, in the Kubernetes cluster."""
    return load_images(cluster, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster.kubectl, cluster.kubeconfig)


@pytest.fixture(scope="session")
def hub(
    cluster: Cluster, kubectl: Kubectl, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResearchHub]:
    """The hub as the how-to installs it, with the sample data in its store."""
    with cluster.reaching() as reach:
        hub = ResearchHub(kubectl, images, reach=reach)
        hub.install()
        folder = tmp_path_factory.mktemp("sample-data")
        prepare_sample_data(folder, lambda _sentence: None)
        seed(hub.store_endpoint, folder)
        shutil.rmtree(folder)
        yield hub


@pytest.fixture(scope="session")
def admin(hub: ResearchHub) -> Person:
    return hub.sign_in("admin")


@pytest.fixture(scope="session")
def alice(hub: ResearchHub) -> Iterator[Person]:
    """Alice, in the group `research`, with a server of size medium that everybody here may look at."""
    person = hub.sign_in("alice")
    person.start_server({"size": "medium"})
    yield person
    person.stop_server()


@pytest.fixture(scope="session")
def bob(hub: ResearchHub) -> Iterator[Person]:
    """Bob, in the group `guests`, who may not have clusters, with a small server."""
    person = hub.sign_in("bob")
    person.start_server({"size": "small", "interface": "notebook"})
    yield person
    person.stop_server()


@pytest.fixture(scope="module")
def cluster_of_alice(alice: Person, hub: ResearchHub) -> Iterator[dict[str, Any]]:
    """A Dask cluster with two workers, by its name and its dashboard's link."""
    yield alice.run_python(START)
    alice.run_python(STOP)
    no_pods_left(hub)
