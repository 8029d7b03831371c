"""Nodes and pods as the API server sends them."""

from __future__ import annotations

from typing import Any


def node(name: str = "n1", **words: Any) -> dict[str, Any]:
    """Return a node of four cores and 16 GB, which keeps 100m and 1 GB of it; or what the words say."""
    has = {"cpu": "4", "memory": "16Gi", "pods": "110"} | words.get("has", {})
    gives = {"cpu": "3900m", "memory": "15Gi", "pods": "110"} | words.get("gives", {})
    return {
        "metadata": {"name": name, "labels": words.get("labels", {})},
        "spec": {"taints": words.get("taints")},
        "status": {
            "capacity": has,
            "allocatable": gives,
            "conditions": [{"type": "Ready", "status": words.get("ready", "True")}],
        },
    }


def container(cpu: str | None = None, memory: str | None = None, **words: Any) -> dict[str, Any]:
    """Return a container that asks for so much."""
    requests = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {"resources": {"requests": requests}} | words


def pod(*containers: dict[str, Any], place: str = "n1", name: str = "agent", **words: Any) -> dict[str, Any]:
    """Return a pod of the system on a node."""
    metadata = {"name": name, "namespace": "kube-system", "labels": words.pop("labels", {})}
    if owner := words.pop("owner", None):
        metadata["ownerReferences"] = [{"kind": owner}]
    status = {"phase": words.pop("phase", "Running")}
    return {"metadata": metadata, "spec": {"nodeName": place, "containers": list(containers)} | words} | {
        "status": status
    }
