from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from scalablehub.measuring.scheduling import is_wanted, requests_of, shortage, unaccepted_taints
from tests.measuring.kubernetes import container, node

MIB = 2**20
BESIDE = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu", "mebibytes"),
    [
        ({"containers": [container("500m", "64Mi")]}, "0.5", 64),
        ({"containers": [container("500m", "64Mi"), container("250m", "1Mi")]}, "0.75", 65),
        ({"containers": [{}]}, "0", 0),
        # A limit stands for a request that is not made.
        ({"containers": [{"resources": {"limits": {"cpu": "2", "memory": "1Mi"}}}]}, "2", 1),
        (
            {"containers": [{"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}}}]},
            "0.1",
            0,
        ),
        # What runs before the others, one after another: the largest counts, measure by measure.
        (
            {
                "containers": [container("1", "10Mi")],
                "initContainers": [container("3", "1Mi"), container("2", "20Mi")],
            },
            "3",
            20,
        ),
        # What runs beside them is added.
        (
            {"containers": [container("1", "10Mi")], "initContainers": [container("1", "5Mi", **BESIDE)]},
            "2",
            15,
        ),
        # What starts after it needs both; what starts before it does not.
        (
            {
                "containers": [container("1", "1Mi")],
                "initContainers": [container("1", "1Mi", **BESIDE), container("2", "2Mi")],
            },
            "3",
            3,
        ),
        (
            {
                "containers": [container("1", "1Mi")],
                "initContainers": [container("2", "2Mi"), container("1", "1Mi", **BESIDE)],
            },
            "2",
            2,
        ),
        # What the runtime takes.
        (
            {"containers": [container("1", "1Mi")], "overhead": {"cpu": "250m", "memory": "120Mi"}},
            "1.25",
            121,
        ),
        # What is said for the whole pod.
        ({"containers": [container("1", "1Mi")], "resources": {"requests": {"cpu": "4"}}}, "4", 1),
    ],
    ids=[
        "one",
        "two",
        "nothing",
        "limit",
        "request before limit",
        "before",
        "beside",
        "before, after beside",
        "before, before beside",
        "overhead",
        "whole pod",
    ],
)
def test_requests_are_counted_as_the_scheduler_counts_them(
    spec: dict[str, Any], cpu: str, mebibytes: int
) -> None:
    asked = requests_of({"spec": spec})
    assert asked.pop("cpu", Decimal(0)) == Decimal(cpu)
    assert asked.pop("memory", Decimal(0)) == mebibytes * MIB
    assert asked == {"pods": 1}


def test_other_resources_are_counted_too() -> None:
    gpus = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    assert requests_of({"spec": {"containers": [gpus, gpus]}})["nvidia.com/gpu"] == 4


GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("taint", "found"),
    [
        (GPU, ["gpu=yes:NoSchedule"]),
        ({"key": "gpu", "effect": "NoExecute"}, ["gpu:NoExecute"]),
        ({"key": "gpu", "effect": "PreferNoSchedule"}, []),
        # These say how a node is at this moment.
        ({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, []),
        ({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}, []),
        ({"key": "ToBeDeletedByClusterAutoscaler", "value": "1700", "effect": "NoSchedule"}, []),
    ],
    ids=str,
)
def test_only_taints_that_stay_keep_a_pod_out_for_good(taint: dict[str, str], found: list[str]) -> None:
    assert unaccepted_taints(node(taints=[taint]), []) == found


def requiring(*terms: dict[str, Any]) -> dict[str, Any]:
    wanted = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": wanted}}


def expression(operator: str, *values: str, key: str = "zone") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "is_there"),
    [
        ({}, True),
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "a", "pool": "x"}}, False),
        (requiring(expression("In", "a", "b")), True),
        (requiring(expression("In", "b")), False),
        (requiring(expression("NotIn", "b")), True),
        (requiring(expression("NotIn", "a")), False),
        (requiring(expression("NotIn", "a", key="absent")), True),
        (requiring(expression("Exists")), True),
        (requiring(expression("Exists", key="absent")), False),
        (requiring(expression("DoesNotExist")), False),
        (requiring(expression("DoesNotExist", key="absent")), True),
        (requiring(expression("Gt", "7", key="cores")), True),
        (requiring(expression("Gt", "8", key="cores")), False),
        (requiring(expression("Lt", "9", key="cores")), True),
        (requiring(expression("Lt", "9", key="zone")), False),
        (requiring(expression("Gt", "7", key="absent")), False),
        (requiring(expression("In", "b"), expression("In", "a")), True),  # one term is enough
        (requiring({}), False),  # a term that asks for nothing matches nothing
        (requiring({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}), True),
        (requiring({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}), False),
        ({"nodeSelector": {"zone": "b"}} | requiring(expression("In", "a")), False),
    ],
    ids=str,
)
def test_a_node_is_wanted_by_its_labels(spec: dict[str, Any], is_there: bool) -> None:
    assert is_wanted(node(labels={"zone": "a", "cores": "8"}), {"spec": spec}) is is_there


def test_what_is_missing_is_the_difference() -> None:
    room = {"cpu": Decimal("1.5"), "memory": Decimal(100)}
    asked = {"cpu": Decimal(2), "memory": Decimal(100), "nvidia.com/gpu": Decimal(1)}
    assert shortage(room, asked) == {"cpu": Decimal("0.5"), "nvidia.com/gpu": Decimal(1)}
