"""Whether a pod can be placed on a node, as Kubernetes' scheduler counts.

Plain functions on what the API sends. What passes by itself is left out:
a node that is cordoned or not ready for a moment can take pods again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.pods import accepts, has_labels, quantity

Resources = Mapping[str, Decimal]
"""Names of resources, such as ``cpu`` and ``nvidia.com/gpu``, to amounts in cores, bytes and pieces."""
Node = Mapping[str, Any]
"""A node as the API server sends it."""
Pod = Mapping[str, Any]
"""A pod as the API server sends it, or its manifest."""

PODS = "pods"
_NOTHING = Decimal(0)
_KEEPING_OUT = frozenset({"NoSchedule", "NoExecute"})
_PASSING_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "ToBeDeletedBy")


def added_up(amounts: Iterable[Resources]) -> dict[str, Decimal]:
    """Return the sum, resource by resource."""
    total: dict[str, Decimal] = {}
    for amount in amounts:
        for name, value in amount.items():
            total[name] = total.get(name, _NOTHING) + value
    return total


def quantities(amounts: Mapping[str, object] | None) -> dict[str, Decimal]:
    """Return amounts as numbers, from Kubernetes' quantities."""
    return {name: quantity(value) for name, value in (amounts or {}).items()}


def requests_of(pod: Pod) -> dict[str, Decimal]:
    """Return what a pod asks of its node, and that it is one of the node's ``pods``.

    A container that runs before the others needs its own and what runs beside it by then. What is said for
    the whole pod goes before what its containers say.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    spec = pod["spec"]
    beside: dict[str, Decimal] = {}
    starting: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            beside = added_up([beside, asked])
            asked = beside
        else:
            asked = added_up([beside, asked])
        starting = _largest(starting, asked)
    running = added_up([beside, *map(_asked, spec.get("containers") or ())])
    needed = _largest(starting, running) | _asked(spec)
    return added_up([needed, quantities(spec.get("overhead")), {PODS: Decimal(1)}])


def is_wanted(node: Node, pod: Pod) -> bool:
    """Return whether a node is one that a pod asks for, by its selector and by what it requires of a node.

    https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
    """
    spec = pod["spec"]
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = (affinity or {}).get("nodeSelectorTerms") or ()
    return has_labels(node, spec.get("nodeSelector") or {}) and (
        not affinity or any(_is_matched(node, term) for term in terms)
    )


def unaccepted_taints(node: Node, tolerations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the taints of a node that keep a pod out for good, as ``key=value:Effect``."""
    accepted = list(tolerations)
    return [
        _written(taint)
        for taint in (node.get("spec") or {}).get("taints") or ()
        if taint.get("effect") in _KEEPING_OUT
        and not _passes(taint)
        and not any(accepts(toleration, taint) for toleration in accepted)
    ]


def shortage(room: Resources, asked: Resources) -> dict[str, Decimal]:
    """Return how much is missing of each resource of which more is asked than there is."""
    return {
        name: amount - room.get(name, _NOTHING)
        for name, amount in asked.items()
        if amount > room.get(name, _NOTHING)
    }


def _asked(owner: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what a container, or a pod's spec for all of them, asks for; a limit stands for a request."""
    resources = owner.get("resources") or {}
    return quantities(resources.get("limits")) | quantities(resources.get("requests"))


def _largest(one: Resources, other: Resources) -> dict[str, Decimal]:
    return {
        name: max(one.get(name, _NOTHING), other.get(name, _NOTHING)) for name in one.keys() | other.keys()
    }


def _written(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"


def _passes(taint: Mapping[str, Any]) -> bool:
    """Return whether a taint says what a node is at this moment, and not what it is for."""
    return str(taint.get("key")).startswith(_PASSING_TAINTS)


def _is_matched(node: Node, term: Mapping[str, Any]) -> bool:
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    asked = [(labels, expression) for expression in term.get("matchExpressions") or ()]
    asked += [(fields, expression) for expression in term.get("matchFields") or ()]
    # A term that asks for nothing matches no node.
    return bool(asked) and all(_holds(values, expression) for values, expression in asked)


def _holds(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value, wanted = labels.get(expression["key"]), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                have, limit = int(value or ""), int(wanted[0])
            except (ValueError, IndexError):
                return False
            return have > limit if operator == "Gt" else have < limit
        case _:
            return False
