"""Whether a pod can be placed on a node, as Kubernetes' scheduler counts.

Plain functions on what the API sends. What passes by itself is left out:
a node that is cordoned or not ready for a moment can take pods again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.pods import Resources, accepts, has_labels

Node = Mapping[str, Any]
"""A node as the API server sends it."""
Pod = Mapping[str, Any]
"""A pod as the API server sends it, or its manifest."""

_NOTHING = Decimal(0)
_KEEPING_OUT = frozenset({"NoSchedule", "NoExecute"})
_PASSING_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "ToBeDeletedBy")


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
