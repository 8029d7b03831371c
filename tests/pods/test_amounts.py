from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from scalablehub.decisions import Amount
from scalablehub.pods.amounts import amount_of, quantity, requests_of

GIB, MIB = 2**30, 2**20


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        (4, "4"),
        (0.5, "0.5"),
        ("500m", "0.5"),
        ("100u", "0.0001"),
        ("1n", "0.000000001"),
        ("1k", "1000"),
        ("1M", "1000000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("2Ti", "2199023255552"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12E", "12000000000000000000"),
        ("1Ei", "1152921504606846976"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1", "-1"),
    ],
)
def test_quantities_are_read_exactly(text: object, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", ".", "1.2.3", "1GB", "Gi", "1 Gi", "one", None, "1ki", "0x10", "1e", "∞"]
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a quantity of Kubernetes"):
        quantity(text)


def container(
    cpu: object = None, memory: object = None, limit: object = None, **words: Any
) -> dict[str, Any]:
    requests = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    limits = {"memory": limit} if limit is not None else {}
    return {"resources": {"requests": requests, "limits": limits | words.pop("limits", {})}, **words}


@pytest.mark.parametrize(
    ("spec", "amount"),
    [
        ({"containers": [container("500m", "1Gi", "1Gi")]}, Amount(1, 0.5, GIB)),
        ({"containers": [{}]}, Amount(1, 0, 0)),
        # A limit above what is asked for is memory that the server really uses.
        ({"containers": [container(1, "1Gi", "8Gi")]}, Amount(1, 1, 8 * GIB)),
        ({"containers": [container(1, "1Gi"), container(1, "1Gi")]}, Amount(1, 2, 2 * GIB)),
        (
            {"containers": [container(1, "1Gi")], "initContainers": [container(4, "500Mi")]},
            Amount(1, 4, GIB),
        ),
        (
            {
                "containers": [container(1, "1Gi")],
                "initContainers": [container(1, "1Gi", restartPolicy="Always"), container(1, "3Gi")],
            },
            Amount(1, 2, 4 * GIB),
        ),
        (
            {"containers": [container(1, "1Gi", limits={"nvidia.com/gpu": "2", "amd.com/gpu": 1})]},
            Amount(1, 1, GIB, 2),
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, Amount(1, 2)),
        # What is said for the whole pod is what it may use.
        (
            {
                "containers": [container(1, "1Gi", "1Gi")],
                "resources": {"requests": {"cpu": 2}, "limits": {"memory": "4Gi"}},
            },
            Amount(1, 2, 4 * GIB),
        ),
        (
            {"containers": [container(1, "1Gi")], "overhead": {"cpu": "500m", "memory": "1Gi"}},
            Amount(1, 1.5, 2 * GIB),
        ),
    ],
)
def test_a_pod_takes_what_its_containers_ask_for(spec: dict[str, Any], amount: Amount) -> None:
    assert amount_of({"spec": spec}, ["nvidia.com/gpu"]) == amount


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
