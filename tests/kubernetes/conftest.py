"""The Kubernetes cluster that the tests here run on, up before the first of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster, Elsewhere, Unsupported, up
from tests.kubernetes.cluster.cluster import untested_packages
from tests.kubernetes.cluster.progress import Progress

# What the first test that has one of these makes on a machine that has never done it: Kubernetes, and images.
_LONG_AT_FIRST = ("cluster", "images")
_FIRST_SECONDS = 1800


def _is_here(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


def _uses_cluster(item: pytest.Item) -> bool:
    return _is_here(item) and "cluster" in getattr(item, "fixturenames", ())


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what uses the Kubernetes cluster."""
    if _uses_cluster(item):
        item.add_marker(pytest.mark.kubernetes)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that uses the cluster the time to make it, and the first that uses images."""
    for fixture in _LONG_AT_FIRST:
        using = (item for item in items if _is_here(item) and fixture in getattr(item, "fixturenames", ()))
        if first := next(using, None):
            first.add_marker(pytest.mark.timeout(_FIRST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip what this machine, or the cluster of KUBECONFIG, cannot do, with the sentence that says why."""
    with _skipping_what_cannot_be():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """The same for what a test asks of the cluster itself."""
    with _skipping_what_cannot_be():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say, where something of Kubernetes failed, what of Debian is not as it was tested."""
    failed = [*terminalreporter.stats.get("failed", ()), *terminalreporter.stats.get("error", ())]
    if any(report.nodeid.startswith("tests/kubernetes/") for report in failed):
        for phrase in untested_packages():
            terminalreporter.write_line(f"not as it was tested: {phrase}")


@contextmanager
def _skipping_what_cannot_be() -> Iterator[None]:
    """Turn Unsupported into a skip; on CI into a failure, unless it is a cluster elsewhere that cannot."""
    try:
        yield
    except Unsupported as error:
        if os.environ.get("CI") and not isinstance(error, Elsewhere):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The Kubernetes cluster. It stays up for the next run; `make cluster-down` ends it."""
    return up(Progress())


@pytest.fixture(scope="session")
def small_images(cluster: Cluster) -> None:
    """The images that a cluster of ours brings are in this one: `localhost/busybox:1` and traefik's."""
    cluster.load_small_images()


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> Cluster:
    """The Kubernetes cluster, if it is ours: parts of it can be stopped."""
    if not cluster.own:
        raise Elsewhere(
            "This stops parts, or needs what only our own cluster has; unset KUBECONFIG to run it."
        )
    return cluster
