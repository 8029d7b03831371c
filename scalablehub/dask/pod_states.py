"""What the pods of a cluster say about themselves, from their JSON as Kubernetes gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scalablehub.dask.workers import Worker

_LAST_LINES = 6
# What a container waits for in vain: https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/types.go
_HOPELESS = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node, from where alone it may come",
    "InvalidImageName": "the name of its image is not one",
    "ImageInspectError": "its image cannot be read",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be created",
    "RunContainerError": "its container cannot be run",
}


class Ending(NamedTuple):
    """How far a pod is on its way out; another value is another thing to look at.

    Attributes:
        is_leaving: whether somebody removes the pod.
        starts: how many times its container was started anew.
        is_over: whether the container has ended, and was not started anew.
    """

    is_leaving: bool
    starts: int
    is_over: bool

    @property
    def is_before(self) -> bool:
        """Whether what ended is the container before the one that runs."""
        return self.starts > 0 and not self.is_over and not self.is_leaving


def part_of(pod: Mapping[str, Any]) -> str:
    """Return which part of its cluster the pod is: "scheduler" or "worker"."""
    component = pod["metadata"]["labels"].get("app.kubernetes.io/component")
    return "scheduler" if component == "dask-scheduler" else "worker"


def ending_of(pod: Mapping[str, Any]) -> Ending | None:
    """Return how the pod ends, or Dask's container in it has ended; None where nothing ended."""
    name, statuses = f"dask-{part_of(pod)}", pod.get("status", {}).get("containerStatuses") or ()
    container: Mapping[str, Any] = next((one for one in statuses if one.get("name") == name), {})
    ending = Ending(
        "deletionTimestamp" in pod["metadata"],
        container.get("restartCount") or 0,
        "terminated" in (container.get("state") or {}),
    )
    return ending if any(ending) else None


def cluster_of(pod: Mapping[str, Any]) -> str:
    """Return the name of the cluster that the pod belongs to."""
    metadata = pod["metadata"]
    return f"{metadata['namespace']}.{metadata['labels']['gateway.dask.org/cluster']}"


def worker_of(pod: Mapping[str, Any]) -> Worker:
    """Return the worker that the pod is, with what keeps it from its work."""
    status = pod["status"]
    states = [container.get("state") or {} for container in status.get("containerStatuses") or ()]
    runs = status.get("phase") == "Running" and all("running" in state for state in states)
    return Worker(
        pod["metadata"]["name"], runs, waiting_in_vain(pod)[1] or unschedulable(pod) or failure(pod)
    )


def failure(pod: Mapping[str, Any]) -> str:
    """Return how a container of the pod ended the last time, with the last lines of its log."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        state = container.get("state") or {}
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            how = "it took more memory than it may" if ended.get("reason") == "OOMKilled" else "it failed"
            times = container.get("restartCount") or 0
            count = f", {times} times so far" if times > 1 else ""
            lines = "\n".join(str(ended.get("message") or "").strip().splitlines()[-_LAST_LINES:])
            return f"{how} (exit code {ended['exitCode']}){count}" + (f":\n{lines}" if lines else "")
    return ""


def waiting_in_vain(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return for what in vain a container of the pod waits: Kubernetes' name for it, and words."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            words = f"{_HOPELESS[waiting['reason']]} ({container.get('image', '')})"
            detail = " ".join(str(waiting.get("message", "")).split())[:300]
            return waiting["reason"], f"{words}: {detail}" if detail else words
    return "", ""


def unschedulable(pod: Mapping[str, Any]) -> str:
    """Return what Kubernetes says to a pod for which there is no node."""
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition.get("reason") == "Unschedulable":
            return " ".join(str(condition.get("message", "")).split())[:300]
    return ""
