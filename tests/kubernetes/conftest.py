"""The Kubernetes cluster that the tests here run on, up before the first of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster, Unsupported, up
from tests.kubernetes.cluster.progress import Progress

# Its first start on a machine builds Kubernetes.
_FIRST_START_SECONDS = 1800


def _uses_cluster(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents and "cluster" in getattr(item, "fixturenames", ())


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses the Kubernetes cluster."""
    if _uses_cluster(item):
        item.add_marker(pytest.mark.kubernetes)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that uses the cluster the time to make it."""
    first = next(filter(_uses_cluster, items), None)
    if first:
        first.add_marker(pytest.mark.timeout(_FIRST_START_SECONDS))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The Kubernetes cluster. It stays up for the next run; `make cluster-down` ends it."""
    try:
        return up(Progress())
    except Unsupported as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> Cluster:
    """The Kubernetes cluster, if it is ours: parts of it can be stopped."""
    if not cluster.own:
        pytest.skip("this needs a cluster of our own; unset KUBECONFIG")
    return cluster
