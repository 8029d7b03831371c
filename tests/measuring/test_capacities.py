from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from scalablehub.description import Description
from scalablehub.measuring.capacities import PoolMeasure, is_of_system, measure
from tests.descriptions import described
from tests.measuring.kubernetes import container, node, pod

POOL: dict[str, Any] = {"cores": 4, "memory": "16G", "selector": {"pool": "a"}}
A = {"pool": "a"}


def description(**pool: Any) -> Description:
    return described(nodes={"a": POOL | pool}, sizes={}, dask=None)


def measured(nodes: list[Any], pods: list[Any] | None = None, **words: Any) -> PoolMeasure:
    return measure(description(**words), nodes, pods or [])["a"]


AGENT = pod(container("250m", "200Mi"), owner="DaemonSet")
DNS = pod(container("100m", "70Mi"), name="dns", owner="ReplicaSet")


@pytest.mark.parametrize(
    ("pods", "cores", "mebibytes", "most_pods"),
    [
        ([], "3.9", 15 * 1024, 110),
        ([AGENT], "3.65", 15 * 1024 - 200, 109),
        ([AGENT, DNS], "3.55", 15 * 1024 - 270, 108),
        ([pod(container("1", "1Gi"), place="elsewhere")], "3.9", 15 * 1024, 110),
        ([pod(container("1", "1Gi"), phase="Succeeded")], "3.9", 15 * 1024, 110),
        ([pod(container("1", "1Gi"), labels={"component": "singleuser-server"})], "3.9", 15 * 1024, 110),
        ([pod(container("8", "64Gi"))], "0", 0, 109),
        # Less than a thousandth of a core or a MiB is nobody's.
        ([pod(container("100u", "1"))], "3.899", 15 * 1024 - 1, 109),
    ],
    ids=["empty", "daemon", "and another", "elsewhere", "ended", "of a user", "too much", "rounded down"],
)
def test_what_the_system_asks_for_is_not_for_servers(
    pods: list[Any], cores: str, mebibytes: int, most_pods: int
) -> None:
    found = measured([node(labels=A)], pods)
    assert (found.room_cores, found.room_memory, found.room_pods) == (Decimal(cores), mebibytes, most_pods)


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        ({}, True),
        ({"owner": "DaemonSet"}, True),
        ({"owner": "Node"}, True),
        ({"labels": {"component": "hub"}}, True),
        ({"labels": {"app.kubernetes.io/component": "gateway"}}, True),
        ({"labels": {"component": "continuous-image-puller"}, "owner": "DaemonSet"}, True),
        ({"labels": {"component": "singleuser-server"}}, False),
        ({"labels": {"component": "user-placeholder"}}, False),
        ({"labels": {"app.kubernetes.io/component": "dask-worker"}}, False),
        ({"labels": {"app.kubernetes.io/component": "dask-scheduler"}}, False),
        ({"priority": -10}, False),
        ({"priority": 2000001000}, True),
        ({"phase": "Failed"}, False),
        ({"phase": "Pending"}, True),
    ],
    ids=str,
)
def test_pods_of_users_and_those_that_make_room_for_them_are_not_the_systems(
    words: dict[str, Any], is_one: bool
) -> None:
    assert is_of_system(pod(container("1"), **words)) is is_one


def test_what_is_on_every_node_and_what_happens_to_be_there_are_told_apart() -> None:
    (found,) = measured([node(labels=A)], [AGENT, DNS]).nodes
    assert found.daemons.names == ("kube-system/agent",)
    assert found.others.names == ("kube-system/dns",)


def test_the_fewest_of_each_measure_count() -> None:
    nodes = [node("n1", labels=A), node("n2", labels=A)]
    pods = [pod(container("1", "0"), place="n1"), pod(container("0", "1Gi"), place="n2")]
    found = measured(nodes, pods)
    assert (found.room_cores, found.room_memory) == (Decimal("2.9"), 14 * 1024)


def test_machines_of_several_kinds_are_told_and_the_smallest_counts() -> None:
    large = {"cpu": "8", "memory": "32Gi"}
    # Firmware keeps some MiB of each machine: that makes no other kind.
    nearly = {"memory": "16759824Ki"}
    found = measured(
        [
            node("n1", labels=A),
            node("n2", labels=A, has=nearly),
            node("n3", labels=A, has=large, gives=large),
        ]
    )
    assert found.kinds == {(Decimal(4), 16, 0): ["n1", "n2"], (Decimal(8), 32, 0): ["n3"]}
    assert (found.cores, found.memory) == (4, 16759824 // 1024)


@pytest.mark.parametrize(
    ("one", "count", "words"),
    [
        ({"labels": {"pool": "b"}}, 0, []),
        ({"labels": A, "ready": "False"}, 0, ["node 'n1' is not ready"]),
        (
            {"labels": A, "taints": [{"key": "t", "value": "v", "effect": "NoSchedule"}]},
            0,
            ["node 'n1' has its labels, but also the taint t=v:NoSchedule, which it does not accept"],
        ),
        ({"labels": A, "taints": [{"key": "ours", "value": "v", "effect": "NoSchedule"}]}, 1, []),
        (
            {"labels": A, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
            1,
            [],
        ),
    ],
    ids=["other pool", "not ready", "taint", "accepted", "cordoned"],
)
def test_nodes_of_a_pool_are_those_that_its_servers_can_run_on(
    one: dict[str, Any], count: int, words: list[str]
) -> None:
    found = measured([node(**one)], tolerations=[{"key": "ours", "operator": "Exists"}])
    assert len(found.nodes) == count
    assert list(found.passed_over) == words


def test_what_the_chart_asks_of_every_server_counts() -> None:
    tainted = node(labels=A | {"for": "users"}, taints=[{"key": "dedicated", "effect": "NoSchedule"}])
    nodes = [tainted, node("n2", labels=A)]
    accepted = [{"key": "dedicated", "operator": "Exists"}]
    found = measure(description(), nodes, [], selector={"for": "users"}, tolerated=accepted)
    assert [one.name for one in found["a"].nodes] == ["n1"]


def test_gpus_are_those_that_a_node_gives() -> None:
    gpus = {"amd.com/gpu": "2"}
    found = measured([node(labels=A, has=gpus, gives=gpus)], gpu_resource="amd.com/gpu")
    assert found.gpus == 2


def test_a_pool_of_this_machine_is_not_measured_in_kubernetes() -> None:
    machine = described(nodes={"here": {"instance": "this-machine"}}, sizes={}, dask=None)
    assert measure(machine, [node()], []) == {}
