from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import NodePool
from scalablehub.pods import node_selector, tolerations


def pool(**words: Any) -> NodePool:
    return NodePool.model_validate({"cores": 4, "memory": "16G"} | words)


def test_a_pool_that_says_nothing_is_any_node() -> None:
    assert (node_selector(pool()), tolerations(pool())) == ({}, [])


def test_a_pods_nodes_have_the_labels_of_its_pool() -> None:
    assert node_selector(pool(selector={"cloud.example/pool": "gpu", "x": ""})) == {
        "cloud.example/pool": "gpu",
        "x": "",
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ),
        ({"key": "x", "operator": "Exists"}, {"key": "x", "operator": "Exists"}),
        (
            {"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoExecute"},
            {
                "key": "hub.jupyter.org/dedicated",
                "operator": "Equal",
                "value": "user",
                "effect": "NoExecute",
            },
        ),
        ({"key": "x"}, {"key": "x", "operator": "Equal"}),
    ],
    ids=["exists", "every effect", "equal", "equal to nothing"],
)
def test_a_pod_accepts_the_taints_of_its_pool(written: dict[str, str], expected: dict[str, str]) -> None:
    assert tolerations(pool(tolerations=[written])) == [expected]


def test_a_change_of_what_is_returned_leaves_the_description_as_it_is() -> None:
    ours = pool(selector={"pool": "gpu"})
    node_selector(ours)["pool"] = "other"
    assert node_selector(ours) == {"pool": "gpu"}
