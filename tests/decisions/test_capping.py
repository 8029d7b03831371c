from __future__ import annotations

from typing import Any

import pytest

from scalablehub.decisions import Amount, User, bounds_of, decide, excess
from scalablehub.description import resolve
from tests.descriptions import described

GIB = 2**30
CAPS: dict[str, Any] = {
    "everybody": {"servers": 2, "cores": 4, "memory": "16G", "gpus": 0},
    "research": {"groups": ["research"], "cores": 16},
    "gpu": {"groups": ["gpu", "staff"], "gpus": 2, "cores": 8, "price": 3.5},
    "course": {"groups": ["course"], "together": True, "cores": 20, "servers": 30},
}


def bounds(*groups: str) -> list[tuple[str, dict[str, float]]]:
    return [
        (bound.whose, {measure: most.most for measure, most in bound.by_measure.items()})
        for bound in bounds_of(described(caps=CAPS).caps, groups)
    ]


@pytest.mark.parametrize(
    ("groups", "own"),
    [
        ((), {"servers": 2, "cores": 4, "memory": 16 * GIB, "gpus": 0}),
        # What a group's entry does not state is as for everybody.
        (("research",), {"servers": 2, "cores": 16, "memory": 16 * GIB, "gpus": 0}),
        (("staff",), {"servers": 2, "cores": 8, "memory": 16 * GIB, "gpus": 2, "price": 3.5}),
        # Of several the most generous holds.
        (("research", "gpu"), {"servers": 2, "cores": 16, "memory": 16 * GIB, "gpus": 2, "price": 3.5}),
        (("Research", "gpu "), {"servers": 2, "cores": 4, "memory": 16 * GIB, "gpus": 0}),
    ],
)
def test_a_groups_cap_goes_before_everybodys(groups: tuple[str, ...], own: dict[str, float]) -> None:
    assert bounds(*groups) == [("you", own)]


def test_what_a_group_has_together_holds_beside_what_each_may_have() -> None:
    assert bounds("course") == [
        ("you", {"servers": 2, "cores": 4, "memory": 16 * GIB, "gpus": 0}),
        ("the members of course together", {"servers": 30, "cores": 20}),
    ]


@pytest.mark.parametrize(
    ("used", "asked", "sentence", "place"),
    [
        (Amount(), Amount(1, 4, 16 * GIB), None, ""),
        (Amount(1, 2, GIB), Amount(1, 2, GIB), None, ""),
        (
            Amount(2, 2, GIB),
            Amount(1, 1, GIB),
            "2 servers is the most that you may have at a time; in use already: 2 servers",
            "ScalableHub.caps.everybody.servers",
        ),
        (
            Amount(1, 3.5, GIB),
            Amount(1, 1, GIB),
            "4 cores is the most that you may have at a time; in use already: 3.5 cores",
            "ScalableHub.caps.everybody.cores",
        ),
        (
            Amount(),
            Amount(1, 1, 17 * GIB),
            "16 GB is the most that you may have at a time",
            "ScalableHub.caps.everybody.memory",
        ),
        (
            Amount(),
            Amount(1, 1, GIB, 1),
            "0 GPUs is the most that you may have at a time",
            "ScalableHub.caps.everybody.gpus",
        ),
    ],
)
def test_what_would_be_too_much_is_said(
    used: Amount, asked: Amount, sentence: str | None, place: str
) -> None:
    (mine,) = bounds_of(described(caps=CAPS).caps, ())
    found = excess(mine, used, asked)
    assert (found.sentence, found.place) == (sentence, place) if found else sentence is None


def test_tenths_of_cores_add_up() -> None:
    (mine,) = bounds_of(described(caps={"all": {"cores": 0.3}}).caps, ())
    assert excess(mine, Amount(2, 0.2), Amount(1, 0.1)) is None


def test_a_price_is_said_in_the_hubs_currency() -> None:
    (mine,) = bounds_of(described(caps={"all": {"price": 1.5}}).caps, (), currency="€")
    found = excess(mine, Amount(1, 1, 1, 0, 1.2), Amount(1, 1, 1, 0, 0.4))
    assert found is not None
    assert (
        found.sentence
        == "€1.50 an hour is the most that you may have at a time; in use already: €1.20 an hour"
    )


@pytest.mark.parametrize(
    ("groups", "states"),
    [
        ((), {"small": "open", "large": "locked"}),
        (("research",), {"small": "open", "large": "open"}),
    ],
)
def test_a_size_that_alone_is_too_much_cannot_be_chosen(groups: tuple[str, ...], states: Any) -> None:
    caps = {"everybody": {"cores": 2}, "research": {"groups": ["research"], "cores": 8}}
    sizes = {
        "small": {"node": "standard", "share": "1/4"},
        "large": {"node": "standard", "share": 1},
    }
    decision = decide(resolve(described(caps=caps, sizes=sizes)), User("alice", frozenset(groups)))
    assert {size.name: str(size.state) for size in decision.sizes} == states
    if not groups:
        large = next(size for size in decision.sizes if size.name == "large")
        assert large.why == "2 cores is the most that you may have at a time."
        assert large.place == "ScalableHub.caps.everybody.cores"


def test_a_cap_of_servers_does_not_take_sizes_from_dasks_workers() -> None:
    description = described(caps={"everybody": {"cores": 0.5}})
    decision = decide(resolve(description), User("alice", frozenset({"research"})))
    assert not any(size.is_open for size in decision.sizes)
    assert [size.name for size in decision.dask.workers] == ["small", "large"]
