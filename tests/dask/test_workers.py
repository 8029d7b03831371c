from __future__ import annotations

import pytest

from scalablehub.dask.following import KeptCluster
from scalablehub.dask.workers import Worker, why_missing, workers_to_end
from scalablehub.decisions import Amount


@pytest.mark.parametrize(
    ("workers", "granted", "given_back", "ending"),
    [
        ("", 0, False, ""),
        ("ABC", 3, False, ""),
        ("ABC", 2, False, ""),  # the scheduler has time to give one back
        ("ABC", 2, True, "C"),
        ("ABC", 0, True, "ABC"),
        ("abc", 3, False, ""),
        ("abc", 2, False, "c"),  # what does nothing yet has nothing to lose
        ("abc", 0, False, "abc"),
        ("AbCd", 3, False, "d"),
        ("AbCd", 1, False, "bd"),
        ("AbCd", 1, True, "bdC"),
        ("aBc", 5, True, ""),
    ],
)
def test_which_workers_are_too_many(workers: str, granted: int, given_back: bool, ending: str) -> None:
    """Capitals are workers that run, small letters are on their way; the oldest is first."""
    there = [Worker(name, runs=name.isupper()) for name in workers]
    assert "".join(workers_to_end(there, granted, given_back=given_back)) == ending


@pytest.mark.parametrize(
    ("granted", "there", "seconds", "status", "missing"),
    [
        (3, 1, 20, "RUNNING", "for 2 workers of it"),
        (3, 2, 20, "RUNNING", "for 1 worker of it"),
        (3, 0, 5, "RUNNING", ""),  # they may still come
        (3, 3, 20, "RUNNING", ""),
        (2, 3, 20, "RUNNING", ""),
        (3, 0, 20, "PENDING", ""),  # its scheduler comes first
    ],
)
def test_workers_that_kubernetes_makes_no_pods_for_are_told(
    granted: int, there: int, seconds: float, status: str, missing: str
) -> None:
    cluster = KeptCluster(
        "users.c",
        "alice",
        "",
        60,
        Amount(workers=1),
        6,
        granted=granted,
        granted_seconds=seconds,
        status=status,
    )
    why = why_missing(cluster, [Worker(str(number)) for number in range(there)])
    assert (missing in why) if missing else (why == "")
