"""Where a pod may run: the node pool of its size, in Kubernetes' words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scalablehub.description import NodePool


def node_selector(pool: NodePool) -> dict[str, str]:
    """Return the labels that a node must have."""
    return dict(pool.selector)


def tolerations(pool: NodePool) -> list[dict[str, str]]:
    """Return the tolerations for the taints of the pool's nodes."""
    return [
        {
            name: value
            for name, value in toleration.model_dump(exclude_none=True).items()
            if value or name != "value"
        }
        for toleration in pool.tolerations
    ]


def has_labels(node: Mapping[str, Any], selector: Mapping[str, str]) -> bool:
    """Return whether a node has all labels of a selector.

    Args:
        node: as the API server sends it.
        selector: names of labels to values.
    """
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def accepts(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Return whether a toleration is for a taint.

    https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if operator == "Exists":
        return not key or key == taint.get("key")
    return key == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")
