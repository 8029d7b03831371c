"""Pods, events and answers as Kubernetes sends them."""

from __future__ import annotations

import json
from typing import Any

UID = "0b5f2a4e-3b0c-4c53-a0f5-5a1a8d2b8a31"
NAME = "jupyter-alice"


def pod(
    phase: str = "Pending", uid: str = UID, deleted: bool = False, port: int = 8888, **status: Any
) -> dict[str, Any]:
    """Return a pod with a status."""
    metadata: dict[str, Any] = {"name": NAME, "namespace": "hub", "uid": uid}
    if deleted:
        metadata |= {"deletionTimestamp": "2026-11-25T19:00:00Z", "deletionGracePeriodSeconds": 1}
    ports = [{"name": "notebook-port", "containerPort": port, "protocol": "TCP"}]
    spec = {"containers": [{"name": "notebook", "ports": ports}]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, "podIP": None} | status}


def unscheduled(message: str) -> dict[str, Any]:
    """Return the condition of a pod for which the scheduler has no node."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


def container(
    state: dict[str, Any],
    last: dict[str, Any] | None = None,
    *,
    name: str = "notebook",
    restarts: int = 0,
    started: bool = True,
) -> dict[str, Any]:
    """Return the status of a container."""
    return {
        "name": name,
        "state": state,
        "lastState": last or {},
        "ready": "running" in state,
        "restartCount": restarts,
        **({"containerID": "containerd://4f1b"} if started else {}),
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Return the state of a container that waits."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def terminated(reason: str, code: int, message: str = "") -> dict[str, Any]:
    """Return the state of a container that has ended."""
    return {"terminated": {"reason": reason, "exitCode": code} | ({"message": message} if message else {})}


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-11-25T19:00:00Z"}}


def running(uid: str = UID, **words: Any) -> dict[str, Any]:
    """Return a pod whose server runs."""
    return pod("Running", uid, podIP="127.0.0.1", containerStatuses=[container(RUNNING)], **words)


def event(reason: str, message: str = "", uid: str = UID) -> dict[str, Any]:
    """Return an event of a pod."""
    return {
        "metadata": {"uid": f"event-{reason}-{uid}", "name": f"{NAME}.17", "namespace": "hub"},
        "involvedObject": {"kind": "Pod", "name": NAME, "namespace": "hub", "uid": uid},
        "reason": reason,
        "message": message,
        "type": "Normal",
        "lastTimestamp": "2026-11-25T19:00:00Z",
        "eventTime": None,
    }


def answer(code: int, message: str, reason: str = "Forbidden") -> str:
    """Return the body of a refusal."""
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
    )
