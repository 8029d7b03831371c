from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.decisions import Amount, Bounds, bounds_of
from scalablehub.decisions.granting import Grant, Wish, grant
from scalablehub.description.models import DaskCap

GIB = 2**30
WORKER = Amount(cores=2, memory=8 * GIB, workers=1)
CAPS = {
    "everybody": DaskCap.model_validate({"workers": 10}),
    "power": DaskCap.model_validate({"groups": ["power"], "workers": 20, "cores": 30}),
    "course": DaskCap.model_validate({"groups": ["course"], "together": True, "workers": 12}),
}


def bounds(**groups: list[str]) -> dict[str, tuple[Bounds, ...]]:
    return {user: bounds_of(CAPS, member_of) for user, member_of in groups.items()}


def wish(cluster: str, wanted: int, granted: int = 0, *, age: float = 0, **words: Any) -> Wish:
    given_: dict[str, Any] = {"owner": "alice", "worker": WORKER, "most": 100} | words
    return Wish(cluster, wanted=wanted, granted=granted, age_seconds=age, **given_)


def granted(*wishes: Wish, **groups: list[str]) -> dict[str, int]:
    return {name: found.workers for name, found in grant(wishes, bounds(**groups)).items()}


@pytest.mark.parametrize(
    ("wishes", "groups", "expected"),
    [
        ([wish("a", 4)], [], {"a": 4}),
        ([wish("a", 40)], [], {"a": 10}),
        ([wish("a", 40)], ["power"], {"a": 15}),  # 30 cores of 2 each
        ([wish("a", 40, most=3)], [], {"a": 3}),
        # What is left goes around.
        ([wish("a", 8), wish("b", 8)], [], {"a": 5, "b": 5}),
        ([wish("a", 8), wish("b", 2)], [], {"a": 8, "b": 2}),
        # What was granted stays, and the rest is another's.
        ([wish("a", 8, 8), wish("b", 8)], [], {"a": 8, "b": 2}),
        # What is no longer wanted is free at once.
        ([wish("a", 1, 8), wish("b", 9)], [], {"a": 1, "b": 9}),
        # A bound that was lowered takes from the youngest.
        ([wish("a", 8, 8, age=9), wish("b", 8, 8, age=1)], [], {"a": 8, "b": 2}),
        ([wish("a", 8, 8, age=1), wish("b", 8, 8, age=9)], [], {"a": 2, "b": 8}),
        # A smaller worker may fit where a larger does not.
        (
            [
                wish("a", 9, worker=Amount(cores=10, workers=1)),
                wish("b", 9, worker=Amount(cores=1, workers=1)),
            ],
            ["power"],
            {"a": 2, "b": 9},
        ),
        ([wish("a", 0, 8)], [], {"a": 0}),
    ],
)
def test_a_users_clusters_share_what_they_may_have(
    wishes: list[Wish], groups: list[str], expected: dict[str, int]
) -> None:
    assert granted(*wishes, alice=groups) == expected


def test_users_do_not_share_unless_their_group_does() -> None:
    wishes = [wish("a", 10), wish("b", 10, owner="bob"), wish("c", 10, owner="carol")]
    assert granted(*wishes, alice=[], bob=["course"], carol=["course"]) == {"a": 10, "b": 6, "c": 6}


def test_who_may_have_no_clusters_any_more_gets_no_worker() -> None:
    found = grant([wish("a", 4, 4, owner="mallory")], bounds(alice=[]))
    assert found["a"].workers == 0
    assert found["a"].held_by is not None


@pytest.mark.parametrize(
    ("wishes", "sentence", "place"),
    [
        (
            [wish("a", 11)],
            "10 workers is the most that you may have at a time; in use already: 10 workers",
            "ScalableHub.caps.everybody.workers",
        ),
        ([wish("a", 11, most=1)], "1 worker is the most that one cluster may have", ""),
    ],
)
def test_a_cluster_that_gets_less_is_told_why(wishes: list[Wish], sentence: str, place: str) -> None:
    held_by = grant(wishes, bounds(alice=[]))["a"].held_by
    assert held_by is not None
    assert (held_by.sentence, held_by.place) == (sentence, place)


def test_a_cluster_that_gets_all_has_nothing_to_be_told() -> None:
    assert grant([wish("a", 10)], bounds(alice=[])) == {"a": Grant(10)}


users = st.sampled_from(["alice", "bob", "carol"])
some_wishes = st.lists(
    st.builds(
        Wish,
        cluster=st.uuids().map(str),
        owner=users,
        wanted=st.integers(0, 30),
        granted=st.integers(0, 30),
        worker=st.builds(Amount, cores=st.sampled_from([0.5, 1, 4]), workers=st.just(1)),
        most=st.integers(0, 20),
        age_seconds=st.floats(0, 100),
    ),
    max_size=6,
)
memberships = st.fixed_dictionaries(
    {user: st.lists(st.sampled_from(["power", "course"]), unique=True) for user in ("alice", "bob", "carol")}
)


@given(some_wishes, memberships)
def test_nobody_ever_gets_more_than_they_may_or_want(
    wishes: list[Wish], groups: dict[str, list[str]]
) -> None:
    found = grant(wishes, bounds(**groups))
    by_user = {user: [one for one in wishes if one.owner == user] for user in groups}
    for one in wishes:
        assert found[one.cluster].workers <= min(one.wanted, one.most)
    for user, theirs in by_user.items():
        assert sum(found[one.cluster].workers for one in theirs) <= (20 if "power" in groups[user] else 10)
        if "power" in groups[user]:
            assert sum(found[one.cluster].workers * one.worker.cores for one in theirs) <= 30
    course = [one for one in wishes if "course" in groups[one.owner]]
    assert sum(found[one.cluster].workers for one in course) <= 12


@given(some_wishes, memberships)
def test_nothing_is_held_back_that_somebody_could_have(
    wishes: list[Wish], groups: dict[str, list[str]]
) -> None:
    found = grant(wishes, bounds(**groups))
    assert all(
        (found[one.cluster].held_by is None) == (found[one.cluster].workers == one.wanted) for one in wishes
    )


@given(some_wishes, memberships)
def test_what_is_granted_is_granted_again(wishes: list[Wish], groups: dict[str, list[str]]) -> None:
    first = grant(wishes, bounds(**groups))
    again = [
        Wish(
            **{
                **{name: getattr(one, name) for name in one.__dataclass_fields__},
                "granted": first[one.cluster].workers,
            }
        )
        for one in wishes
    ]
    assert grant(again, bounds(**groups)) == first
