from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.description import Capacity, DescriptionError, load_description, resolve
from scalablehub.description.units import format_bytes

GIB = 2**30


def sizes(nodes: dict[str, Any], written: dict[str, Any] | None = None) -> dict[str, Any]:
    return resolve(load_description({"nodes": nodes, "sizes": written or {}})).sizes


def ladder(**pool: Any) -> dict[str, tuple[float, str, int]]:
    return {
        name: (size.cores or 0, format_bytes(size.memory or 0), size.gpus or 0)
        for name, size in sizes({"pool": {"reserved": {}} | pool}).items()
    }


def problems(nodes: dict[str, Any], written: dict[str, Any]) -> list[str]:
    with pytest.raises(DescriptionError) as refused:
        sizes(nodes, written)
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (
            {"cores": 4, "memory": "16G"},
            {"pool-1-4": (1, "4 GB", 0), "pool-1-2": (2, "8 GB", 0), "pool-1": (4, "16 GB", 0)},
        ),
        # The system's half core leaves the quarters a little less than a core.
        (
            {"cores": 4, "memory": "16G", "reserved": None},
            {
                "pool-1-4": (0.875, "3.6 GB", 0),
                "pool-1-2": (1.75, "7.2 GB", 0),
                "pool-1": (3.5, "14.4 GB", 0),
            },
        ),
        # No GPU is split.
        ({"cores": 8, "memory": "64G", "gpus": 2}, {"pool-1-2": (4, "32 GB", 1), "pool-1": (8, "64 GB", 2)}),
        ({"cores": 8, "memory": "64G", "gpus": 1}, {"pool-1": (8, "64 GB", 1)}),
        # No size has less than a gigabyte.
        ({"cores": 64, "memory": "2G"}, {"pool-1-2": (32, "1 GB", 0), "pool-1": (64, "2 GB", 0)}),
        ({"cores": 0.5, "memory": "2G"}, {}),
        (
            {"cores": 6, "memory": "24G", "ladder": ["1/3", 1]},
            {"pool-1-3": (2, "8 GB", 0), "pool-1": (6, "24 GB", 0)},
        ),
        ({"cores": 6, "memory": "24G", "ladder": []}, {}),
    ],
)
def test_a_pool_gives_sizes_that_pack(pool: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ladder(**pool) == expected


def test_sizes_are_from_small_to_large_pool_by_pool() -> None:
    nodes = {
        "large": {"order": 2, "cores": 32, "memory": "64G"},
        "small": {"order": 1, "cores": 16, "memory": "64G"},
    }
    found = sorted(sizes(nodes).items(), key=lambda item: item[1].order)
    assert [name for name, _ in found] == [
        *("small-1-16", "small-1-8", "small-1-4", "small-1-2", "small-1"),
        *("large-1-32", "large-1-16", "large-1-8", "large-1-4", "large-1-2", "large-1"),
    ]


def test_a_ladder_that_is_not_stated_gives_way_to_sizes_that_name_the_pool() -> None:
    nodes = {"pool": {"cores": 4, "memory": "16G"}}
    assert list(sizes(nodes, {"only": {"node": "pool", "share": "1/2"}})) == ["only"]
    nodes["pool"]["ladder"] = [1]
    assert list(sizes(nodes, {"also": {"node": "pool", "share": "1/2"}})) == ["also", "pool-1"]


def test_a_size_with_a_ladders_name_changes_that_one() -> None:
    nodes = {"pool": {"cores": 4, "memory": "16G", "reserved": {}, "description": "For most."}}
    changed = sizes(
        nodes,
        {
            "pool-1": {"display_name": "Whole", "allowed_groups": ["research"]},
            "pool-1-2": {"hidden": True},
            "pool-1-4": {"cores": 0.5, "memory": "1G"},
        },
    )
    whole, half, quarter = changed["pool-1"], changed["pool-1-2"], changed["pool-1-4"]
    assert (whole.display_name, whole.allowed_groups, whole.cores) == ("Whole", ("research",), 4)
    assert (half.display_name, half.hidden, half.description) == ("pool ½", True, "For most.")
    assert (quarter.cores, quarter.memory) == (0.5, GIB)


def test_the_ladder_of_this_machine_comes_when_it_is_measured() -> None:
    written = load_description(
        {
            "nodes": {"machine": {"instance": "this-machine"}},
            "sizes": {"machine-1-2": {"display_name": "Half"}},
        }
    )
    assert written.sizes["machine-1-2"].node is None
    assert resolve(written).sizes == {}
    found = resolve(written, Capacity(2, 8 * GIB)).sizes
    assert {name: size.display_name for name, size in found.items()} == {
        "machine-1-2": "Half",
        "machine-1": "machine",
    }


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("machine", {}),
        ("small", {}),
        ("machine-1-2", {"ladder": ["1/4"]}),  # is stated, so known
    ],
)
def test_a_size_that_can_be_of_no_ladder_needs_a_node_before_machines_are_measured(
    name: str, node: dict[str, Any]
) -> None:
    nodes = {"machine": {"instance": "this-machine"} | node}
    assert problems(nodes, {name: {"display_name": "One"}})[0].startswith(
        f"ScalableHub.sizes.{name}.node: is missing; write the node pool"
    )


@pytest.mark.parametrize(
    ("pool", "size", "price"),
    [
        ({"price": 0.8}, {"share": "1/4"}, 0.2),
        ({"price": 0.8}, {"cores": 1, "memory": "8G"}, 0.4),  # by what it takes most of
        ({"price": 0.8, "gpus": 2}, {"cores": 1, "memory": "1G", "gpus": 1}, 0.4),
        ({"price": 0.8}, {"share": "1/4", "price": 0}, 0),
        ({}, {"share": "1/4"}, None),
        ({"price": 0}, {"share": "1/4"}, 0),
    ],
)
def test_a_size_costs_its_part_of_the_node(pool: Any, size: Any, price: float | None) -> None:
    nodes = {"pool": {"cores": 4, "memory": "16G", "reserved": {}} | pool}
    assert sizes(nodes, {"one": {"node": "pool"} | size})["one"].price == price


@pytest.mark.parametrize(
    ("pool", "size", "problem"),
    [
        (
            {"gpus": 2, "ladder": ["1/4"]},
            None,
            "ScalableHub.nodes.pool.ladder: 1/4 of 2 GPUs is not a whole number of them; "
            "choose another share",
        ),
        (
            {"gpus": 1},
            {"node": "pool", "share": "1/2"},
            "ScalableHub.sizes.one.share: 1/2 of 1 GPUs is not a whole number of them; choose another share",
        ),
        (
            {"gpus": 1},
            {"node": "pool", "cores": 1, "memory": "1G", "gpus": 2},
            "ScalableHub.sizes.one.gpus: 2 can never be scheduled: a node of 'pool' has 1; "
            "ask for at most that",
        ),
        (
            {},
            {"display_name": "One"},
            "ScalableHub.sizes.one.node: is missing; write the node pool, or a size of a ladder: "
            "pool-1-4, pool-1-2, pool-1",
        ),
        (
            {},
            {"node": "pool"},
            "ScalableHub.sizes.one: a size needs 'share', such as '1/4', or both 'cores' and 'memory'",
        ),
        (
            {},
            {"node": "pool", "cores": 4, "memory": "1G"},
            "ScalableHub.sizes.one.cores: 4 cores can never be scheduled: a node of 'pool' has 3.5 cores and "
            "14.4 GB for servers after what 'reserved' takes unless it is stated; ask for at most that",
        ),
        ({"ladder": ["1/0"]}, None, "ScalableHub.nodes.pool.ladder.0: '1/0' is not a share of a node"),
    ],
)
def test_what_can_never_be_is_refused_by_its_name(pool: Any, size: Any, problem: str) -> None:
    nodes = {"pool": {"cores": 4, "memory": "16G"} | pool}
    assert problems(nodes, {"one": size} if size else {})[0].startswith(problem)


@given(
    st.floats(0.25, 256, allow_nan=False).map(lambda cores: round(cores, 3)),
    st.integers(GIB // 2, 1024 * GIB),
    st.integers(0, 16),
)
def test_every_ladder_packs_its_node(cores: float, memory: int, gpus: int) -> None:
    nodes = {"pool": {"cores": cores, "memory": memory, "gpus": gpus, "reserved": {}}}
    for name, size in sizes(nodes).items():
        _, *share = name.split("-")
        fitting = 1 / Fraction("/".join(share))
        assert Fraction(str(size.cores)) * fitting <= Fraction(str(cores))
        assert (size.memory or 0) * fitting <= memory
        assert (size.gpus or 0) * fitting == gpus


@given(st.integers(1, 64), st.integers(1, 512))
def test_what_is_resolved_stays_as_it_is(cores: int, gigabytes: int) -> None:
    raw = {"nodes": {"pool": {"cores": cores, "memory": f"{gigabytes}G", "price": 1, "order": 3}}}
    once = resolve(load_description(raw))
    assert resolve(once) == once
