from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from scalablehub.measuring.scheduling import is_wanted, shortage, unaccepted_taints
from tests.measuring.kubernetes import node

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
