"""How soon a server of each size could run, from what Kubernetes says of its nodes: pure functions.

Silent beats wrong: what cannot be known is not said, and what is said is about this moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.description import Description, NodePool, Size
from scalablehub.description.units import format_seconds
from scalablehub.pods import (
    PODS,
    accepts,
    added_up,
    has_labels,
    node_selector,
    quantity,
    requests_of,
    tolerations,
)
from scalablehub.spawner.ready import AT_ONCE, Readiness

Node = Mapping[str, Any]
"""A node as the API server sends it."""
Pod = Mapping[str, Any]
"""A pod as the API server sends it."""

_HUB = "docker.io/"
_LIBRARY = "library/"


def readiness(
    description: Description,
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    *,
    images: Mapping[str, Collection[str]] | None = None,
    tolerated: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Readiness]:
    """Return what can be said of each size, by its name.

    Args:
        description: the hub's description, resolved.
        nodes: all nodes.
        pods: all pods that have a node and have not ended, of every namespace.
        images: for each environment the container images that are it; default: the tag of the description.
        tolerated: taints that every server accepts, as in a pod.
    """
    known = images if images is not None else _described_images(description)
    everywhere = list(tolerated)
    listed = list(nodes)
    takes = _takes_by_node(pods)
    found: dict[str, Readiness] = {}
    for name, size in description.sizes.items():
        pool = description.nodes.get(size.node or "")
        if pool is None or size.hidden:
            continue
        selected = [node for node in listed if has_labels(node, node_selector(pool))]
        usable = [node for node in selected if _takes_pods(node, [*everywhere, *tolerations(pool)])]
        asked = _asked(size, pool)
        fitting = [node for node in usable if _fits(node, asked, takes.get(node["metadata"]["name"], {}))]
        if fitting:
            there = {image for node in fitting for image in _images_of(node, known)}
            found[name] = Readiness(AT_ONCE, frozenset(there))
        else:
            found[name] = Readiness(_without_room(pool, size.node or "", len(selected)))
    return found


def _without_room(pool: NodePool, name: str, count: int) -> str:
    if pool.max_nodes is not None and count >= pool.max_nodes:
        noun = "node" if pool.max_nodes == 1 else "nodes"
        return f"{pool.display_name or name} is full: {count} of {pool.max_nodes} {noun} used"
    if pool.startup:
        return f"needs a new node, about {format_seconds(pool.startup)}"
    # Nothing says whether a node can come at all.
    return "needs a new node" if pool.max_nodes is not None else "no node has room at the moment"


def _described_images(description: Description) -> dict[str, Collection[str]]:
    return {name: (image.image,) for name, image in description.images.items() if image.image}


def _takes_pods(node: Node, accepted: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a pod that accepts these taints can be placed there."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    is_ready = any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    keeping_out = [
        taint for taint in spec.get("taints") or () if taint.get("effect") in {"NoSchedule", "NoExecute"}
    ]
    accepted = list(accepted)
    return (
        is_ready
        and not spec.get("unschedulable")
        and node["metadata"].get("deletionTimestamp") is None
        and all(any(accepts(toleration, taint) for toleration in accepted) for taint in keeping_out)
    )


def _asked(size: Size, pool: NodePool) -> dict[str, Decimal]:
    asked = {"cpu": quantity(size.cores or 0), "memory": quantity(size.memory or 0), PODS: Decimal(1)}
    return asked | ({pool.gpu_resource: quantity(size.gpus)} if size.gpus else {})


def _fits(node: Node, asked: Mapping[str, Decimal], taken: Mapping[str, Decimal]) -> bool:
    has = (node.get("status") or {}).get("allocatable") or {}
    return all(
        quantity(has.get(resource, 0)) - taken.get(resource, Decimal(0)) >= amount
        for resource, amount in asked.items()
    )


def _takes_by_node(pods: Iterable[Pod]) -> dict[str, dict[str, Decimal]]:
    """Return what is taken on each node of what the scheduler counts."""
    found: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        spec = pod["spec"]
        # A pod of negative priority keeps a place warm, and makes room for a server.
        if spec.get("nodeName") and (spec.get("priority") or 0) >= 0:
            found[spec["nodeName"]] = added_up([found.get(spec["nodeName"], {}), requests_of(pod)])
    return found


def _images_of(node: Node, known: Mapping[str, Collection[str]]) -> set[str]:
    there = {
        _in_full(name)
        for image in (node.get("status") or {}).get("images") or ()
        for name in image.get("names") or ()
    }
    return {name for name, images in known.items() if any(_in_full(image) in there for image in images)}


def _in_full(image: str) -> str:
    """Return an image's name with its registry, and its digest or else its tag, as nodes list it."""
    first, slash, _ = image.partition("/")
    if not slash or not ({".", ":"} & set(first) or first == "localhost"):
        image = f"{_HUB}{'' if slash else _LIBRARY}{image}"
    name, at, digest = image.partition("@")
    place, slash, last = name.rpartition("/")
    if at:
        return f"{place}{slash}{last.partition(':')[0]}@{digest}"
    return name if ":" in last else f"{name}:latest"
