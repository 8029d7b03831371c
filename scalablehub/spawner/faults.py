"""Why a pod does not start or has ended, in a scientist's words: pure functions of what Kubernetes says.

A fault is *settled* when waiting would not help; one that is not may still heal, and is told when the
patience for the start ends. Nothing here names Kubernetes' own things where a person reads it: an admin finds
those in the hub's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scalablehub.description.units import format_bytes, format_cores

Pod = Mapping[str, Any]
"""A pod as the API server sends it."""
Event = Mapping[str, Any]

_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_NO_IMAGE_FOR_GOOD = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_NO_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NO_VOLUME = frozenset({"FailedMount", "FailedAttachVolume", "ProvisioningFailed", "FailedBinding"})
_CRASHES_FOR_GOOD = 2


@dataclass(frozen=True)
class Asked:
    """What was asked for, as people read it: it stands in the sentences.

    Attributes:
        size: name of the size.
        cores: of the size.
        memory: of the size, bytes.
        image: name of the environment.
    """

    size: str
    cores: float
    memory: int
    image: str

    @property
    def share(self) -> str:
        """Cores and memory in words."""
        return f"{format_cores(self.cores)} and {format_bytes(self.memory)}"


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to do about it.

    Attributes:
        code: stable name, such as ``"image-missing"``.
        sentence: for the user.
        settled: whether waiting would not help.
    """

    code: str
    sentence: str
    settled: bool = True


def start_fault(pod: Pod | None, events: Iterable[Event], asked: Asked) -> Fault | None:
    """Return what keeps a pod from starting at this moment, or None if nothing is known to.

    Args:
        pod: as it is now; None if there is none yet.
        events: of this pod, oldest first.
        asked: what was asked for.
    """
    if pod is None:
        return None
    if pod["metadata"].get("deletionTimestamp") is not None:
        return _gone()
    status = pod.get("status", {})
    for container in _containers(status):
        if fault := _container_fault(container, asked):
            return fault
    if status.get("phase") in {"Failed", "Succeeded"}:
        return end_fault(pod, asked) or _crashed(asked, None)
    reasons = [event.get("reason") for event in events]
    unscheduled = _condition(status, "PodScheduled", "False")
    if unscheduled is not None and unscheduled.get("reason") == "Unschedulable":
        message = unscheduled.get("message") or ""
        if "persistentvolumeclaim" in message.lower() or _NO_VOLUME & set(reasons):
            return _no_volume()
        return _no_room(asked, reasons)
    if _NO_VOLUME & set(reasons) and not _containers(status, started=True):
        return _no_volume()
    return None


def end_fault(pod: Pod | None, asked: Asked) -> Fault | None:
    """Return why a server that ran has ended, or None if it was asked to or nobody knows.

    Args:
        pod: as it was last seen; None if it is gone without a trace.
        asked: what the server had.
    """
    if pod is None:
        return None
    status = pod.get("status", {})
    if status.get("reason") == "Evicted" or _condition(status, "DisruptionTarget", "True"):
        return _gone()
    for container in _containers(status):
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            ended = state.get("terminated")
            if ended and ended.get("reason") == "OOMKilled":
                return _out_of_memory(asked)
    return None


def api_fault(status: int | None, body: str | None, asked: Asked) -> Fault:
    """Return the fault that an answer of the API server stands for.

    Args:
        status: HTTP status; None if there was no answer.
        body: the answer.
        asked: what was asked for.
    """
    message = _message(body)
    if status == 403 and "exceeded quota" in message:
        return Fault(
            "quota-reached",
            f"The hub has reached its quota: there is no room for {asked.share} at the moment. Choose a "
            "smaller size, or try again when others have stopped their servers.",
        )
    if status == 403 and "PodSecurity" in message:
        return Fault(
            "pod-refused",
            f"Servers with size {asked.size} and environment {asked.image} ask for rights that this hub does "
            "not give. Choose another, and tell the hub's admin.",
        )
    if status is None or status >= 500 or status == 429:
        return Fault(
            "api-away",
            "The hub cannot start servers at the moment: the machines that run them do not answer. "
            "What runs goes on; try again in a minute.",
        )
    return Fault(
        "pod-refused",
        f"Servers with size {asked.size} and environment {asked.image} cannot be started: the hub's "
        "description of them was refused. Choose another, and tell the hub's admin.",
    )


def silent_fault(asked: Asked, seconds: float) -> Fault:
    """Return the fault of a server that does not answer in time, with nothing known to be wrong."""
    return Fault(
        "start-slow",
        f"Your server did not answer within {seconds:.0f} seconds. Try again; if it stays so, choose another "
        f"environment than {asked.image}, or ask the hub's admin.",
    )


def _container_fault(container: Mapping[str, Any], asked: Asked) -> Fault | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason")
    if reason in _NO_IMAGE:
        return Fault(
            "image-missing",
            f"The environment {asked.image} could not be fetched: its image is not there, or the hub may not "
            "read it. Choose another environment, and tell the hub's admin.",
            settled=reason in _NO_IMAGE_FOR_GOOD,
        )
    if reason in _NO_CONTAINER:
        return Fault(
            "environment-broken",
            f"The environment {asked.image} cannot be started on this hub: "
            f"{_why_no_container(waiting.get('message') or '')}. Choose another environment, and tell the "
            "hub's admin.",
        )
    ended = next(
        (
            state["terminated"]
            for state in (container.get("state") or {}, container.get("lastState") or {})
            if state.get("terminated")
        ),
        None,
    )
    if ended is None:
        return None
    if ended.get("reason") == "OOMKilled":
        return _out_of_memory(asked)
    settled = container.get("restartCount", 0) >= _CRASHES_FOR_GOOD or reason == "CrashLoopBackOff"
    return _crashed(asked, ended.get("exitCode"), settled=settled)


def _why_no_container(message: str) -> str:
    if "runAsNonRoot" in message or "run as root" in message:
        return "it wants to run as root"
    if "executable file not found" in message or "no such file" in message:
        return "it does not have the command that starts a server"
    return "its container is refused"


def _crashed(asked: Asked, exit_code: int | None, *, settled: bool = True) -> Fault:
    code = "" if exit_code is None else f" (exit code {exit_code})"
    return Fault(
        "server-crashed",
        f"Your server ended as soon as it started{code}. Often something in your home folder is in its way, "
        f"such as a package in ~/.local, or the environment {asked.image} is broken: try another "
        "environment, or ask the hub's admin for the server's log.",
        settled,
    )


def _out_of_memory(asked: Asked) -> Fault:
    return Fault(
        "out-of-memory",
        f"Your server needed more than its {format_bytes(asked.memory)} of memory and was ended. "
        "Choose a larger size, or work on less data at a time.",
    )


def _gone() -> Fault:
    return Fault(
        "machine-gone",
        "The machine that your server was on went away, and your server with it. Your files are kept; "
        "start it again.",
    )


def _no_volume() -> Fault:
    return Fault(
        "home-unavailable",
        "Your home folder could not be attached to your server. Try again in a few minutes; if it stays so, "
        "ask the hub's admin.",
        settled=False,
    )


def _no_room(asked: Asked, reasons: list[Any]) -> Fault:
    if "TriggeredScaleUp" in reasons:
        return Fault(
            "no-room",
            f"A new machine with room for {asked.share} did not come in time. Try again, or choose a smaller "
            "size.",
            settled=False,
        )
    return Fault(
        "no-room",
        f"There is no machine with room for {asked.share} at the moment. Choose a smaller size, or try again "
        "when others have stopped their servers.",
        settled="NotTriggerScaleUp" in reasons,
    )


def _containers(status: Mapping[str, Any], *, started: bool = False) -> list[Mapping[str, Any]]:
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return [c for c in found if c.get("containerID")] if started else found


def _condition(status: Mapping[str, Any], kind: str, value: str) -> Mapping[str, Any] | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind and condition.get("status") == value:
            found: Mapping[str, Any] = condition
            return found
    return None


def _message(body: str | None) -> str:
    try:
        answer = json.loads(body or "")
    except ValueError:
        return body or ""
    return str(answer.get("message", "")) if isinstance(answer, dict) else ""
