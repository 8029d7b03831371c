from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scalablehub.dask.following import KeptCluster, is_alone, why_to_end
from scalablehub.dask.owners import Owner, ServerImage
from scalablehub.decisions import Amount, User, decide
from scalablehub.description import resolve
from tests.descriptions import described, written

DASK = written()["dask"] | {"linger": "5m", "max_linger": "1h", "lifetime": "1d"}
RUNS = {"": ServerImage("geo", ""), "gpu": ServerImage("geo", "")}
CLUSTER = KeptCluster("users.c", "alice", "", 60, Amount(workers=1), 6)
MEMBER = Owner(frozenset({"research"}), servers=RUNS)
AWAY = replace(MEMBER, servers={})


def reason(cluster: KeptCluster, owner: Owner | None, **dask: Any) -> str | None:
    groups = owner.groups if owner is not None else frozenset({"research"})
    decision = decide(resolve(described(dask=DASK | dask)), User("alice", groups))
    return why_to_end(cluster, owner, decision.dask)


def changed(**words: Any) -> KeptCluster:
    return replace(CLUSTER, **words)


@pytest.mark.parametrize(
    ("cluster", "owner"),
    [
        (CLUSTER, MEMBER),
        (changed(server="gpu"), MEMBER),
        (changed(server=None), AWAY),  # of no server
        (changed(alone_seconds=299.0), AWAY),
        (changed(alone_seconds=0.0), AWAY),
        (changed(alone_seconds=9999.0), MEMBER),  # it is back
        (changed(alone_seconds=3599.0, linger_seconds=3600), AWAY),
        (changed(age_seconds=86_399), MEMBER),
    ],
)
def test_a_cluster_goes_on(cluster: KeptCluster, owner: Owner) -> None:
    assert reason(cluster, owner) is None


@pytest.mark.parametrize(
    ("cluster", "owner", "words"),
    [
        (CLUSTER, None, "Its user is no longer on this hub."),
        (
            CLUSTER,
            replace(MEMBER, groups=frozenset()),
            "Its user may have no Dask clusters any more: only for members of research.",
        ),
        (
            changed(alone_seconds=300.0),
            AWAY,
            "The server that it was started from has been stopped for 5 minutes.",
        ),
        (
            changed(server="gone", alone_seconds=300.0),
            MEMBER,
            "The server that it was started from has been stopped for 5 minutes.",
        ),
        (
            changed(alone_seconds=0.0, linger_seconds=0),
            AWAY,
            "The server that it was started from has stopped.",
        ),
        (
            changed(alone_seconds=3600.0, linger_seconds=99_999),  # more than anybody may choose now
            AWAY,
            "The server that it was started from has been stopped for 1 hour.",
        ),
        (changed(age_seconds=86_400), MEMBER, "It has lived for 1 day, the longest that a cluster may."),
    ],
)
def test_a_cluster_ends_with_the_reason(cluster: KeptCluster, owner: Owner | None, words: str) -> None:
    assert reason(cluster, owner) == words


def test_without_a_lifetime_a_cluster_may_get_old() -> None:
    assert reason(changed(age_seconds=10**9), MEMBER, lifetime=0) is None


@pytest.mark.parametrize(
    ("server", "alone"), [("", False), ("gpu", False), ("gp", True), ("gpu2", True), (None, False)]
)
def test_a_cluster_is_alone_without_exactly_its_server(server: str | None, alone: bool) -> None:
    assert is_alone(changed(server=server), MEMBER) is alone
