from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import resolve
from scalablehub.spawner.readiness import readiness
from scalablehub.spawner.ready import AT_ONCE, Readiness
from tests.descriptions import described

POOLS = {
    "standard": {"cores": 4, "memory": "16G", "reserved": {}, "selector": {"pool": "standard"}},
    "gpu": {
        **{"cores": 8, "memory": "64G", "gpus": 2, "reserved": {}, "display_name": "GPU"},
        **{"selector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
    },
}
GPU_TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
FIRST = "a node has room; the environment is fetched first"


def node(name: str, pool: str = "standard", **words: Any) -> dict[str, Any]:
    """Return a node of four cores and 16 GB, or what the words say of it."""
    allocatable = {"cpu": "4", "memory": "16Gi", "pods": "110"} | words.get("has", {})
    return {
        "metadata": {"name": name, "labels": {"pool": pool}} | words.get("metadata", {}),
        "spec": {"taints": words.get("taints")} | words.get("spec", {}),
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": words.get("ready", "True")}],
            "images": [{"names": [image]} for image in words.get("images", ["quay.io/hub/base:1"])],
        },
    }


def gpu_node(name: str = "g1", **words: Any) -> dict[str, Any]:
    has = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}
    return node(name, "gpu", has=has, taints=[GPU_TAINT], **words)


def pod(place: str, *requests: dict[str, str], **spec: Any) -> dict[str, Any]:
    containers = [{"resources": {"requests": request}} for request in requests]
    return {"spec": {"nodeName": place, "containers": containers} | spec}


def told(nodes: list[Any], pods: list[Any] | None = None, **pool: Any) -> dict[str, Readiness]:
    changed = {name: entry | pool.get(name, {}) for name, entry in POOLS.items()}
    description = resolve(described(nodes=changed, sizes={}, dask=None))
    return readiness(description, nodes, pods or [], tolerated=pool.get("tolerated", ()))


def said(size: str, nodes: list[Any], pods: list[Any] | None = None, **words: Any) -> str:
    return told(nodes, pods, **words)[size].sentence_for("base")


HALF = {"cpu": "2", "memory": "8Gi"}


@pytest.mark.parametrize(
    ("size", "pods", "sentence"),
    [
        ("standard-1", [], AT_ONCE),
        ("standard-1-2", [pod("n1", HALF)], AT_ONCE),
        ("standard-1", [pod("n1", HALF)], "no node has room at the moment"),
        ("standard-1", [pod("elsewhere", HALF)], AT_ONCE),
        ("standard-1-2", [pod("n1", {"cpu": "2001m"})], "no node has room at the moment"),
        ("standard-1-2", [pod("n1", {"memory": "8193Mi"})], "no node has room at the moment"),
        ("standard-1-2", [pod("n1", {"cpu": "1"}, {"cpu": "1001m"})], "no node has room at the moment"),
        ("standard-1", [pod("n1", HALF, priority=-10)], AT_ONCE),
        ("standard-1", [{"spec": {"containers": [{"resources": {"requests": HALF}}]}}], AT_ONCE),
    ],
    ids=[
        "empty",
        "half is free",
        "not the whole",
        "other node",
        "cores are short",
        "memory is short",
        "containers add up",
        "makes room",
        "not placed",
    ],
)
def test_a_size_is_ready_where_a_node_has_room(size: str, pods: list[Any], sentence: str) -> None:
    assert said(size, [node("n1")], pods) == sentence


def test_room_on_two_nodes_is_not_added_up() -> None:
    nodes, pods = [node("n1"), node("n2")], [pod("n1", HALF), pod("n2", HALF)]
    assert said("standard-1", nodes, pods) == "no node has room at the moment"
    assert said("standard-1-2", nodes, pods) == AT_ONCE


@pytest.mark.parametrize(
    ("first", "beside", "ready"),
    [
        ([{"cpu": "4"}], False, False),
        ([{"cpu": "2"}, {"cpu": "2"}], False, True),
        ([{"cpu": "2"}, {"cpu": "2"}], True, False),
    ],
    ids=["the largest counts", "one after another", "side by side"],
)
def test_what_runs_before_a_server_counts_as_the_scheduler_counts_it(
    first: list[dict[str, str]], beside: bool, ready: bool
) -> None:
    before = [
        {"resources": {"requests": request}} | ({"restartPolicy": "Always"} if beside else {})
        for request in first
    ]
    pods = [pod("n1", {"cpu": "1"}, initContainers=before)]
    assert (said("standard-1-2", [node("n1")], pods) == AT_ONCE) is ready


def test_gpus_are_counted() -> None:
    pods = [pod("g1", {"cpu": "1", "nvidia.com/gpu": "1"})]
    assert said("gpu-1-2", [gpu_node()], pods) == AT_ONCE
    assert said("gpu-1", [gpu_node()], pods) == "no node has room at the moment"


@pytest.mark.parametrize(
    "words",
    [
        {"ready": "False"},
        {"ready": "Unknown"},
        {"spec": {"unschedulable": True}},
        {"taints": [GPU_TAINT]},
        {"taints": [GPU_TAINT | {"effect": "NoExecute"}]},
        {"pool": "other"},
        {"has": {"pods": "0"}},
        {
            "metadata": {
                "name": "n1",
                "labels": {"pool": "standard"},
                "deletionTimestamp": "2026-11-26T00:00:00Z",
            }
        },
    ],
    ids=[
        "not ready",
        "unknown",
        "cordoned",
        "taint",
        "evicting taint",
        "other pool",
        "full of pods",
        "going",
    ],
)
def test_a_node_that_takes_no_server_has_no_room(words: dict[str, Any]) -> None:
    assert said("standard-1-2", [node("n1", **words)]) == "no node has room at the moment"


@pytest.mark.parametrize(
    ("toleration", "ready"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
    ids=str,
)
def test_a_taint_keeps_servers_out_that_do_not_accept_it(toleration: dict[str, str], ready: bool) -> None:
    found = said("standard-1", [node("n1", taints=[GPU_TAINT])], tolerated=[toleration])
    assert (found == AT_ONCE) is ready


def test_a_taint_that_only_prefers_others_keeps_nobody_out() -> None:
    assert said("standard-1", [node("n1", taints=[GPU_TAINT | {"effect": "PreferNoSchedule"}])]) == AT_ONCE


@pytest.mark.parametrize(
    ("pool", "nodes", "sentence"),
    [
        ({"startup": "5m"}, [], "needs a new node, about 5 minutes"),
        ({"startup": "5m", "max_nodes": 1}, [], "needs a new node, about 5 minutes"),
        ({"max_nodes": 2}, [gpu_node(ready="False")], "needs a new node"),
        ({"max_nodes": 1, "startup": "5m"}, [gpu_node(ready="False")], "GPU is full: 1 of 1 node used"),
        (
            {"max_nodes": 2},
            [gpu_node("g1", ready="False"), gpu_node("g2", spec={"unschedulable": True})],
            "GPU is full: 2 of 2 nodes used",
        ),
        ({}, [], "no node has room at the moment"),
    ],
)
def test_where_there_is_no_room_it_says_what_would_be_needed(
    pool: dict[str, Any], nodes: list[Any], sentence: str
) -> None:
    assert said("gpu-1", nodes, gpu=pool) == sentence


@pytest.mark.parametrize(
    ("listed", "image", "there"),
    [
        ("quay.io/hub/base:1", "quay.io/hub/base:1", True),
        ("quay.io/hub/base:2", "quay.io/hub/base:1", False),
        ("quay.io/hub/base@sha256:aa", "quay.io/hub/base@sha256:aa", True),
        ("quay.io/hub/base@sha256:aa", "quay.io/hub/base:1@sha256:aa", True),
        ("quay.io/hub/base@sha256:aa", "quay.io/hub/base@sha256:bb", False),
        ("docker.io/library/python:3", "python:3", True),
        ("docker.io/pangeo/base:latest", "pangeo/base", True),
        ("localhost/base:latest", "localhost/base", True),
        ("registry:5000/base:1", "registry:5000/base:1", True),
    ],
)
def test_an_environment_that_no_node_with_room_has_is_fetched_first(
    listed: str, image: str, there: bool
) -> None:
    description = resolve(described(nodes=POOLS, sizes={}, dask=None))
    found = readiness(description, [node("n1", images=[listed])], [], images={"base": (image,)})
    assert found["standard-1"].sentence_for("base") == (AT_ONCE if there else FIRST)


def test_an_environment_on_a_full_node_alone_is_fetched_too() -> None:
    nodes = [node("n1"), node("n2", images=[])]
    assert said("standard-1", nodes, [pod("n1", HALF)]) == FIRST


def test_an_image_of_ones_own_is_not_said_to_be_there() -> None:
    assert told([node("n1")])["standard-1"].sentence_for("own:quay.io/hub/base:1") == FIRST


def test_without_nodes_there_is_no_room() -> None:
    assert {found.sentence for found in told([]).values()} == {"no node has room at the moment"}
