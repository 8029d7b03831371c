"""Dask's TLS in the user image, whose Python loses workers in most runs without the hub's cure."""

from __future__ import annotations

import pytest

from tests.kubernetes.hub.clusters import WORK, no_pods_left
from tests.kubernetes.research_hub import Person, ResearchHub

CLUSTERS = 8
"""Were only every other run to lose something, eight in a row would tell in 99.6 % of all cases."""


@pytest.mark.timeout(600)
def test_clusters_in_a_row_lose_nothing(alice: Person, hub: ResearchHub) -> None:
    totals = [alice.run_python(WORK)["total"] for _ in range(CLUSTERS)]
    no_pods_left(hub)
    assert totals == [328350] * CLUSTERS
