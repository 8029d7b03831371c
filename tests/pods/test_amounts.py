from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from scalablehub.decisions import Amount
from scalablehub.pods.amounts import amount_of, quantity

GIB = 2**30


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
            Amount(1, 2, 3 * GIB),
        ),
        (
            {"containers": [container(1, "1Gi", limits={"nvidia.com/gpu": "2", "amd.com/gpu": 1})]},
            Amount(1, 1, GIB, 2),
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, Amount(1, 2)),
    ],
)
def test_a_pod_takes_what_its_containers_ask_for(spec: dict[str, Any], amount: Amount) -> None:
    assert amount_of({"spec": spec}, ["nvidia.com/gpu"]) == amount
