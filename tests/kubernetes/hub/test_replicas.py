"""More than one of dask-gateway's API servers is refused: limits would hold in each, and not in all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import GATEWAY, ResearchHub
from tests.stack import until

_SERVERS = "app.kubernetes.io/component=gateway"


@pytest.fixture
def _two(hub: ResearchHub, kubectl: Kubectl) -> Iterator[None]:
    kubectl("scale", "deployment/api-dask-gateway", "-n", GATEWAY, "--replicas=2")
    yield
    kubectl("scale", "deployment/api-dask-gateway", "-n", GATEWAY, "--replicas=1")
    kubectl("rollout", "status", "deployment/api-dask-gateway", "-n", GATEWAY, "--timeout=90s")


@pytest.mark.usefixtures("_two")
def test_a_second_server_ends_and_says_why(kubectl: Kubectl) -> None:
    def last_words() -> str:
        return "".join(
            kubectl("logs", pod["metadata"]["name"], "-n", GATEWAY, check=False)
            for pod in kubectl.list("pods", GATEWAY, _SERVERS)
        )

    words = (
        "The gateway's API server has 2 replicas, and limits hold with one alone: set gateway.replicas to 1"
    )
    until(lambda: words in last_words(), "the second server says why it ends", 60)
