"""How the pods of one cluster come to be: dask-gateway's cluster configuration, from what was decided.

dask-gateway's controller makes the pods from the configuration that stands in the DaskCluster object, and
from nothing that we could change elsewhere; so everything that is decided has to be in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from scalablehub.decisions import ImageChoice, SizeChoice
from scalablehub.description import Description, NodePool
from scalablehub.pods import (
    CONTAINER_SECURITY_CONTEXT,
    POD_SECURITY_CONTEXT,
    asking_pod,
    choice_labels,
    node_selector,
    tolerations,
    user_annotations,
    user_labels,
)

# Labels by which the controller finds its pods: a description's labels never replace them.
_GATEWAYS_OWN = ("gateway.dask.org/", "app.kubernetes.io/")
# A cluster runs once its scheduler was seen ready. dask-gateway looks every five seconds, for which a
# start mostly waits; a scheduler that is busy is given up after as long as there.
_READINESS = {"periodSeconds": 1, "failureThreshold": 15}
_RESOURCES = {"extra_resource_limits": "limits", "extra_resource_guarantees": "requests"}


def pod_config(
    description: Description,
    size: SizeChoice,
    image: ImageChoice,
    *,
    asks_for_keys: bool = False,
    scheduler_node: str,
    user: str,
    server: str | None,
    configured: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the part of dask-gateway's KubeClusterConfig that is decided.

    Args:
        description: the hub's description, resolved.
        size: of a worker.
        image: of scheduler and workers.
        asks_for_keys: whether the user has buckets whose keys scheduler and workers ask for.
        scheduler_node: name of the node pool of the scheduler.
        user: the hub's name for the user, whatever is in it.
        server: name of the server that asks, if one does.
        configured: what the admin configured for every cluster; their extra configuration is laid over ours.
    """
    pool = description.nodes[size.node]
    container: dict[str, Any] = {
        "securityContext": CONTAINER_SECURITY_CONTEXT,
        # Kubernetes then keeps the last lines of what failed, for its user.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    resources = _resources(pool, size)
    containers = {
        "scheduler": container | {"readinessProbe": _READINESS},
        "worker": container | ({"resources": resources} if resources else {}),
    }
    config: dict[str, Any] = {
        "worker_cores": size.cores,
        # A worker has one thread at least; a limit below it would only make it slow.
        "worker_cores_limit": float(max(math.ceil(size.cores), 1)),
        "worker_memory": size.memory,
        "worker_memory_limit": size.memory,
    }
    if image.image:
        config["image"] = image.image
    pods = {
        "scheduler": _pod(description.nodes[scheduler_node]),
        "worker": _pod(description.nodes[size.node]),
    }
    if asks_for_keys and description.credentials is not None:
        parts = asking_pod(description.credentials, image.image or configured["image"])
        if configured["image_pull_policy"]:
            parts.container["imagePullPolicy"] = configured["image_pull_policy"]
        for pod, container in zip(pods.values(), containers.values(), strict=True):
            pod |= {"volumes": [parts.volume], "initContainers": [parts.container]}
            container["volumeMounts"] = [parts.mount]
    for part, node in (("scheduler", scheduler_node), ("worker", size.node)):
        labels = choice_labels(description.labels, size=size.name, node_pool=node, image=image.label)
        labels = labels | user_labels(user, server or "")
        config |= {
            f"{part}_extra_pod_config": laid_over(pods[part], configured[f"{part}_extra_pod_config"]),
            f"{part}_extra_container_config": laid_over(
                containers[part], configured[f"{part}_extra_container_config"]
            ),
            f"{part}_extra_pod_labels": {
                **configured[f"{part}_extra_pod_labels"],
                **{name: value for name, value in labels.items() if not name.startswith(_GATEWAYS_OWN)},
            },
            f"{part}_extra_pod_annotations": {
                **configured[f"{part}_extra_pod_annotations"],
                **user_annotations(user, server or ""),
            },
        }
    return config


def _pod(pool: NodePool) -> dict[str, Any]:
    """Return what every pod has that runs in the node pool."""
    pod: dict[str, Any] = {
        "securityContext": POD_SECURITY_CONTEXT,
        "automountServiceAccountToken": False,
        "nodeSelector": node_selector(pool),
        "tolerations": tolerations(pool),
    }
    return {name: value for name, value in pod.items() if value not in ({}, [])}


def _resources(pool: NodePool, size: SizeChoice) -> dict[str, dict[str, str]]:
    """Return what a worker asks for beside cores and memory."""
    gpus = {pool.gpu_resource: str(size.gpus)} if size.gpus else {}
    resources = {}
    for option, kind in _RESOURCES.items():
        asked = pool.kubespawner_override.get(option)
        named = {name: str(amount) for name, amount in asked.items()} if isinstance(asked, dict) else {}
        if named | gpus:
            resources[kind] = named | gpus
    return resources


def laid_over(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return ours with theirs over it: at every depth their value wins, and lists have what both have."""
    merged = deepcopy(dict(ours))
    for name, value in theirs.items():
        present = merged.get(name)
        if isinstance(present, dict) and isinstance(value, Mapping):
            merged[name] = laid_over(present, value)
        elif isinstance(present, list) and isinstance(value, list):
            merged[name] = present + [item for item in deepcopy(value) if item not in present]
        else:
            merged[name] = deepcopy(value)
    return merged
