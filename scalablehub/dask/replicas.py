"""Whether this gateway's API server is the only one of its Deployment: limits hold in one alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kubernetes_asyncio.client import AppsV1Api
from kubernetes_asyncio.client.rest import ApiException

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes tells a pod its namespace."""


async def count_replicas(core: Any, apps: AppsV1Api, *, name: str, namespace: str) -> int | None:
    """Return how many pods like this one its ReplicaSet is to have; None if that cannot be seen.

    A new version of a Deployment has a ReplicaSet of its own, so that an upgrade counts one.

    Args:
        core: Kubernetes' core API.
        apps: its API of Deployments and their like.
        name: of this pod.
        namespace: that it is in.
    """
    try:
        pod = await core.read_namespaced_pod(name, namespace)
        owners = [owner.name for owner in pod.metadata.owner_references or () if owner.kind == "ReplicaSet"]
        if not owners:
            return None
        found = await apps.read_namespaced_replica_set(owners[0], namespace)
    except ApiException as error:
        if error.status in (403, 404):
            return None
        raise
    return int(found.spec.replicas or 0)


def own_place() -> tuple[str, str] | None:
    """Return the name and the namespace of the pod that this runs in, or None outside of one."""
    name = os.environ.get("HOSTNAME", "")
    if not name or not NAMESPACE_FILE.exists():
        return None
    return name, NAMESPACE_FILE.read_text(encoding="utf-8").strip()
