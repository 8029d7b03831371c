"""What a pod takes of a Kubernetes cluster, as the scheduler counts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.decisions import Amount

Resources = Mapping[str, Decimal]
"""Names of resources, such as ``cpu`` and ``nvidia.com/gpu``, to amounts in cores, bytes and pieces."""

PODS = "pods"
_NOTHING = Decimal(0)
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


def quantities(amounts: Mapping[str, object] | None) -> dict[str, Decimal]:
    """Return amounts as numbers, from Kubernetes' quantities."""
    return {name: quantity(value) for name, value in (amounts or {}).items()}


def added_up(amounts: Iterable[Resources]) -> dict[str, Decimal]:
    """Return the sum, resource by resource."""
    total: dict[str, Decimal] = {}
    for amount in amounts:
        for name, value in amount.items():
            total[name] = total.get(name, _NOTHING) + value
    return total


def requests_of(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what a pod asks of its node, and that it is one of the node's ``pods``.

    Args:
        pod: its manifest, or the pod as the API sends it.
    """
    return added_up([_at_most(pod["spec"], _requested), {PODS: Decimal(1)}])


def amount_of(
    pod: Mapping[str, Any], gpu_resources: Collection[str] = (), besides: Collection[str] = ()
) -> Amount:
    """Return what one server's pod takes: what it asks for, or is limited to where that is more of memory.

    Its price is not in the pod.

    Args:
        pod: its manifest.
        gpu_resources: names under which Kubernetes counts GPUs.
        besides: names of containers that are the hub's, and count for nobody.
    """
    spec = dict(pod["spec"])
    if besides:
        first = spec.get("initContainers") or ()
        spec["initContainers"] = [container for container in first if container["name"] not in besides]
    takes = _at_most(spec, _taken)
    gpus = sum((takes.get(name, _NOTHING) for name in gpu_resources), _NOTHING)
    return Amount(1, float(takes.get("cpu", 0)), int(takes.get("memory", 0)), int(gpus))


def _at_most(spec: Mapping[str, Any], take: Callable[[Mapping[str, Any]], Resources]) -> dict[str, Decimal]:
    """Return the most that a pod takes at a time.

    A container that runs before the others takes its own and what runs beside it by then. What is said for
    the whole pod goes before what its containers say.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers

    Args:
        spec: of the pod.
        take: returns what one container takes, or the spec for all of them.
    """
    beside: dict[str, Decimal] = {}
    starting: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        taken = added_up([beside, take(container)])
        if container.get("restartPolicy") == "Always":
            beside = taken
        starting = _larger(starting, taken)
    running = added_up([beside, *map(take, spec.get("containers") or ())])
    needed = _larger(starting, running)
    needed.update(take(spec))
    return added_up([needed, quantities(spec.get("overhead"))])


def _requested(owner: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what is asked for; a limit stands for a request that is not there."""
    resources = owner.get("resources") or {}
    return quantities(resources.get("limits")) | quantities(resources.get("requests"))


def _taken(owner: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what is asked for, and of all but cores what it is limited to where that is more."""
    requested = _requested(owner)
    most = _larger(requested, quantities((owner.get("resources") or {}).get("limits")))
    # A core above what is asked for is only lent; memory above it is really used.
    return most | ({"cpu": requested["cpu"]} if "cpu" in requested else {})


def _larger(one: Resources, other: Resources) -> dict[str, Decimal]:
    return {
        name: max(one.get(name, _NOTHING), other.get(name, _NOTHING)) for name in one.keys() | other.keys()
    }
