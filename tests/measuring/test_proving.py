from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import resolve
from scalablehub.measuring.proving import impossible
from tests.descriptions import described

A: dict[str, Any] = {"cores": 4, "memory": "16G", "reserved": {}, "selector": {"pool": "a"}}
GPU = {"cores": 8, "memory": "64G", "gpus": 2, "reserved": {}, "selector": {"accelerator": "t4"}}
PROXY = {"name": "proxy", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}


def found(**sections: Any) -> list[tuple[str, str]]:
    plain = {"nodes": {"a": A, "gpu": GPU}, "sizes": {}, "dask": None}
    return list(impossible(resolve(described(**plain | sections))))


def image(**override: Any) -> dict[str, Any]:
    return {"geo": {"image": "geo:1", "kubespawner_override": override}}


def test_a_plain_description_is_possible() -> None:
    assert found() == []


@pytest.mark.parametrize(
    "override",
    [
        {"node_selector": {"disk": "ssd"}},
        {"node_selector": {"pool": "gpu"}},  # the pool decides
        {"tolerations": [{"key": "x", "operator": "Exists"}]},
        {"extra_resource_limits": {"example.org/fpga": 9}},  # the description does not count these
        {"extra_containers": [{"name": "idle"}]},
        {"init_containers": [{"name": "once", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
    ],
    ids=str,
)
def test_an_override_that_leaves_servers_possible_is_fine(override: dict[str, Any]) -> None:
    assert found(images=image(**override)) == []


def test_an_image_that_takes_servers_to_another_pool_is_named() -> None:
    assert found(images=image(node_selector={"accelerator": "t4"})) == [
        (
            "images.geo.kubespawner_override.node_selector",
            "has servers of the sizes of 'a' run on nodes of 'gpu'; leave it out, and write what selects a "
            "node pool's nodes in its 'selector'",
        )
    ]


def test_a_pool_that_takes_its_own_servers_away_is_named() -> None:
    away = A | {"kubespawner_override": {"node_selector": {"accelerator": "t4"}}}
    assert [place for place, _ in found(nodes={"a": away, "gpu": GPU})] == [
        "nodes.a.kubespawner_override.node_selector"
    ]


@pytest.mark.parametrize(
    ("nodes", "images", "places"),
    [
        (
            {"a": A, "gpu": GPU},
            image(extra_resource_limits={"nvidia.com/gpu": 1}),
            ["images.geo.kubespawner_override.extra_resource_limits.nvidia.com/gpu"],
        ),
        ({"gpu": GPU}, image(extra_resource_limits={"nvidia.com/gpu": "2"}), []),
        (
            {"gpu": GPU},
            image(extra_resource_guarantees={"nvidia.com/gpu": "3"}),
            ["images.geo.kubespawner_override.extra_resource_guarantees.nvidia.com/gpu"],
        ),
        # A pool may say its GPUs by its override alone.
        ({"a": A | {"kubespawner_override": {"extra_resource_limits": {"nvidia.com/gpu": 1}}}}, {}, []),
        (
            {"gpu": GPU | {"kubespawner_override": {"extra_resource_limits": {"nvidia.com/gpu": 4}}}},
            {},
            ["nodes.gpu.kubespawner_override.extra_resource_limits.nvidia.com/gpu"],
        ),
    ],
    ids=["pool without", "as many as there are", "more", "pool's own", "more than its own"],
)
def test_gpus_that_a_pool_has_not_are_named(
    nodes: dict[str, Any], images: dict[str, Any], places: list[str]
) -> None:
    given = {"images": images} if images else {}
    assert [place for place, _ in found(nodes=nodes, **given)] == places


@pytest.mark.parametrize("things", [[PROXY], {"10-proxy": PROXY}], ids=["list", "dict"])
def test_a_container_that_makes_a_whole_node_too_small_is_named(things: Any) -> None:
    problems = found(nodes={"a": A | {"ladder": [1, "1/2"]}}, images=image(extra_containers=things))
    assert problems == [
        (
            "images.geo.kubespawner_override",
            f"its containers and size 'a-1' ask for {asked} together, which can never be scheduled: a node "
            f"of 'a' has {room} for servers; make the size smaller by what they take",
        )
        for asked, room in (("4.1 cores", "4 cores"), ("16.1 GB", "16 GB"))
    ]


def test_a_container_that_runs_before_the_server_needs_a_node_of_its_own_size() -> None:
    large = {"name": "once", "resources": {"requests": {"cpu": "5"}}}
    problems = found(nodes={"a": A | {"ladder": ["1/4"]}}, images=image(init_containers=[large]))
    assert [place for place, _ in problems] == ["images.geo.kubespawner_override"]
    assert "ask for 5 cores" in problems[0][1]


def test_containers_of_pool_image_and_interface_add_up() -> None:
    third = {"resources": {"requests": {"cpu": "400m"}}}
    sizes = {"one": {"node": "a", "cores": 3, "memory": "1G"}}
    override = {"extra_containers": [third]}
    problems = found(
        nodes={"a": A | {"kubespawner_override": override}},
        sizes=sizes,
        images=image(**override),
        interfaces={"lab": {"url": "/lab", "kubespawner_override": override}},
    )
    assert [(place, "4.2 cores" in words) for place, words in problems] == [
        ("interfaces.lab.kubespawner_override", True)
    ]


def test_sizes_for_workers_alone_get_no_image_of_servers() -> None:
    sizes = {"workers": {"node": "a", "share": 1, "hidden": True}}
    assert found(nodes={"a": A}, sizes=sizes, images=image(extra_containers=[PROXY])) == []
