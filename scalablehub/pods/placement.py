"""Where a pod may run: the node pool of its size, in Kubernetes' words."""

from __future__ import annotations

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
