from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import resolve
from scalablehub.measuring.stating import doubts, number_on_a_node, unstated
from tests.descriptions import described

POOL: dict[str, Any] = {"cores": 4, "memory": "16G", "reserved": {}, "selector": {"pool": "a"}}


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (
            {"cores": 4, "memory": "64G"},
            "is not stated, so 0.5 cores and 6.4 GB of a node are kept for the system by default; "
            "`scalablehub check --measure` reads from a Kubernetes cluster what is taken",
        ),
        (
            {"cores": 4, "memory": "4G"},
            "is not stated, so 0.5 cores and 1 GB of a node are kept for the system by default; "
            "`scalablehub check --measure` reads from a Kubernetes cluster what is taken",
        ),
        (
            {"instance": "this-machine"},
            "is not stated, so half a core, and a tenth of the memory but at least 1 GB, of a node are kept "
            "for the system by default",
        ),
        ({"cores": 4, "memory": "64G", "reserved": {}}, None),
        ({"cores": 4, "memory": "64G", "reserved": {"cores": 1}}, None),
    ],
    ids=["a tenth", "at least 1 GB", "this machine", "stated as nothing", "stated"],
)
def test_a_default_that_is_taken_is_said(pool: dict[str, Any], words: str | None) -> None:
    description = described(nodes={"a": pool}, sizes={}, dask=None)
    assert list(unstated(description)) == ([("nodes.a.reserved", words)] if words else [])


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ({"share": 1}, 1),
        ({"share": "1/3"}, 3),
        ({"share": "1/7"}, 7),
        ({"cores": 1, "memory": "1G"}, 4),
        ({"cores": 0.1, "memory": "5G"}, 3),
        ({"cores": 0.1, "memory": "1G", "gpus": 1}, 2),
    ],
    ids=str,
)
def test_as_many_fit_a_node_as_its_scarcest_measure_lets(size: dict[str, Any], count: int) -> None:
    pool = POOL | {"gpus": 2}
    gpus = {} if "cores" in size else {"gpus": 0}
    description = resolve(described(nodes={"a": pool}, sizes={"one": {"node": "a"} | size | gpus}, dask=None))
    if "gpus" in size:
        assert description.sizes["one"].gpus == size["gpus"]
    assert number_on_a_node(description.sizes["one"], description.nodes["a"]) == count


def found(**sections: Any) -> dict[str, str]:
    nodes = {"a": POOL, "b": POOL | {"selector": {"pool": "b"}}}
    return dict(doubts(resolve(described(**{"nodes": nodes, "sizes": {}, "dask": None} | sections))))


def test_a_plain_description_is_not_doubted() -> None:
    assert found(caps={"all": {"memory": "16G"}, "few": {"groups": ["few"], "servers": 1}}) == {}


@pytest.mark.parametrize(
    ("caps", "place", "whom"),
    [
        ({"all": {"memory": "1G"}}, "caps.all.memory", "somebody without a group"),
        ({"all": {"servers": 0}}, "caps.all.servers", "somebody without a group"),
        (
            {"few": {"groups": ["few"], "cores": 0.5}},
            "caps.few.cores",
            "a member of few and of no other group",
        ),
        (
            {"few": {"groups": ["few"], "together": True, "memory": "1G"}},
            "caps.few.memory",
            "a member of few and of no other group",
        ),
    ],
    ids=["memory", "no server", "group", "together"],
)
def test_a_cap_below_every_size_is_told(caps: dict[str, Any], place: str, whom: str) -> None:
    assert found(caps=caps) == {place: f"is less than the smallest size takes: {whom} could start nothing"}


def test_a_cap_of_a_group_that_is_more_generous_is_no_fault_of_all_others() -> None:
    caps = {"all": {"servers": 0}, "few": {"groups": ["few"], "servers": 2}}
    assert list(found(caps=caps)) == ["caps.all.servers"]


def test_two_pools_with_the_same_nodes_are_told() -> None:
    assert found(nodes={"a": POOL, "b": POOL}) == {
        "nodes.b.selector": "is that of 'a', so that servers of either run on nodes of both; write a label "
        "that only its own nodes have"
    }


def test_a_label_that_the_pool_decides_is_told_where_it_has_no_effect() -> None:
    images = {
        "geo": {"image": "geo:1", "kubespawner_override": {"node_selector": {"pool": "a", "disk": "ssd"}}}
    }
    assert found(images=images) == {
        "images.geo.kubespawner_override.node_selector.pool": "has no effect with the sizes of 'b', whose "
        "nodes have 'pool: b'; leave it out"
    }
