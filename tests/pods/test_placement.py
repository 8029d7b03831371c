from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import NodePool
from scalablehub.pods import accepts, has_labels, node_selector, tolerations


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


GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "is_accepted"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
    ids=str,
)
def test_a_toleration_is_for_a_taint(toleration: dict[str, str], is_accepted: bool) -> None:
    assert accepts(toleration, GPU) is is_accepted


@pytest.mark.parametrize(
    ("labels", "selector", "is_selected"),
    [
        ({"pool": "gpu", "x": "y"}, {"pool": "gpu"}, True),
        ({"pool": "gpu"}, {"pool": "gpu", "x": "y"}, False),
        ({"pool": "gpu"}, {"pool": "cpu"}, False),
        ({"pool": ""}, {"pool": ""}, True),
        (None, {"pool": ""}, False),
        (None, {}, True),
    ],
    ids=str,
)
def test_a_selector_asks_for_all_of_its_labels(
    labels: dict[str, str] | None, selector: dict[str, str], is_selected: bool
) -> None:
    assert has_labels({"metadata": {"labels": labels}}, selector) is is_selected
