"""What a pod takes of a Kubernetes cluster, as the scheduler counts it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.decisions import Amount

_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(2) ** (10 * power) for power, letter in enumerate("KMGTPE", start=1)},
}


def quantity(value: object) -> Decimal:
    """Return a quantity of Kubernetes, such as ``"500m"``, ``"1.5Gi"``, ``"1e3"`` or a number, exactly.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None or match[1].count(".") > 1 or not re.search(r"[0-9]", match[1]):
        raise ValueError(f"{value!r} is not a quantity of Kubernetes")
    number, suffix = Decimal(match[1]), match[2] or ""
    return number * (_FACTORS[suffix] if suffix in _FACTORS else Decimal(f"1{suffix}"))


def amount_of(pod: Mapping[str, Any], gpu_resources: Collection[str] = ()) -> Amount:
    """Return what one server's pod takes: what it asks for, or is limited to where that is more of memory.

    Containers that run side by side add up; those that run before them, one after another, count where one
    of them takes more. Its price is not in the pod.

    Args:
        pod: its manifest.
        gpu_resources: names under which Kubernetes counts GPUs.
    """
    spec = pod["spec"]
    before = spec.get("initContainers") or ()
    beside = [container for container in before if container.get("restartPolicy") == "Always"]
    running = _sum([*spec.get("containers", ()), *beside], gpu_resources)
    largest = [_take(container, gpu_resources) for container in before if container not in beside]
    cores, memory, gpus = (
        max([running[measure], *(take[measure] for take in largest)]) for measure in range(3)
    )
    return Amount(1, float(cores), int(memory), int(gpus))


def _sum(containers: Iterable[Mapping[str, Any]], gpu_resources: Collection[str]) -> tuple[Decimal, ...]:
    takes = [_take(container, gpu_resources) for container in containers]
    return tuple(sum((take[measure] for take in takes), Decimal(0)) for measure in range(3))


def _take(container: Mapping[str, Any], gpu_resources: Collection[str]) -> tuple[Decimal, Decimal, Decimal]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}

    def most(name: str) -> Decimal:
        return max(quantity(requests.get(name, 0)), quantity(limits.get(name, 0)))

    # A core above what is asked for is only lent; memory above it is really used.
    cores = quantity(requests.get("cpu", limits.get("cpu", 0)))
    return cores, most("memory"), sum((most(name) for name in gpu_resources), Decimal(0))
