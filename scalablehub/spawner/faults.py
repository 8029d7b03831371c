"""Why a pod does not start or has ended, in a scientist's words: pure functions of what Kubernetes says.

A fault is *settled* when waiting would not help; one that is not may still heal, and is told when the
patience for the start ends. Nothing here names Kubernetes' own things where a person reads it: an admin finds
those in the hub's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scalablehub.description.units import format_bytes, format_cores

Pod = Mapping[str, Any]
"""A pod as the API server sends it."""
Event = Mapping[str, Any]

_NO_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_NO_IMAGE_FOR_GOOD = _NO_IMAGE - {"ErrImagePull"}
_NO_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NEVER_RAN = frozenset({"ContainerCannotRun", "StartError"})
_NO_VOLUME = frozenset({"FailedMount", "FailedAttachVolume", "ProvisioningFailed", "FailedBinding"})
_MACHINE_COMES = frozenset({"TriggeredScaleUp", "Nominated"})
_MACHINE_DOES_NOT_COME = frozenset({"NotTriggerScaleUp"})
_NO_ROOM_AFTER_ALL = ("OutOf", "UnexpectedAdmissionError")
_CRASHES_FOR_GOOD = 2
_NOTEBOOK = "notebook"
"""KubeSpawner's name of the container that is the server; others help it."""
_PASSING = (
    "deadline exceeded",
    "timeout",
    "timed out",
    "toomanyrequests",
    "too many requests",
    "connection reset",
    "temporary failure",
    "unavailable",
    "unexpected eof",
    "server misbehaving",
    "is reserved for",
)
"""What the message of a trouble has in it that is often over by the next attempt."""


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
        events: oldest first; those of other pods, such as an earlier one of that name, are passed over.
        asked: what was asked for.
    """
    if pod is None:
        return None
    metadata, status = pod["metadata"], pod.get("status") or {}
    if metadata.get("deletionTimestamp") is not None or _is_taken_away(status):
        return _gone()
    own = [event for event in events if _is_about(event, metadata.get("uid"))]
    reasons = [str(event.get("reason")) for event in own]
    ended = status.get("phase") in {"Failed", "Succeeded"}
    if ended and str(status.get("reason") or "").startswith(_NO_ROOM_AFTER_ALL):
        return _no_room(asked, settled=True)
    faults = [f for c in _containers(status) if (f := _container_fault(c, own, asked)) is not None]
    if ended:
        return replace(faults[0], settled=True) if faults else _crashed(asked, None)
    if faults:
        return next((fault for fault in faults if fault.settled), faults[0])
    unscheduled = _condition(status, "PodScheduled", "False")
    if unscheduled is not None and unscheduled.get("reason") == "Unschedulable":
        message = str(unscheduled.get("message") or "").lower()
        if "persistentvolumeclaim" in message or _NO_VOLUME & set(reasons):
            return _no_volume()
        return _not_scheduled(asked, reasons)
    if _NO_VOLUME & set(reasons) and not any(c.get("containerID") for c in _containers(status)):
        return _no_volume()
    return None


def end_fault(pod: Pod | None, asked: Asked) -> Fault | None:
    """Return why a server that ran has ended, or None if it was asked to or nobody knows.

    Args:
        pod: as it was last seen; None if it is gone without a trace.
        asked: what the server had.
    """
    status = (pod or {}).get("status") or {}
    if _is_taken_away(status):
        return _gone()
    for container in status.get("containerStatuses") or ():
        if container.get("name") == _NOTEBOOK and "OOMKilled" in map(_reason, _ends(container)):
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
        return _quota_reached(asked, message)
    if status == 403 and "PodSecurity" in message:
        return Fault(
            "pod-refused",
            f"Servers with size {asked.size} and environment {asked.image} ask for rights that this hub does "
            "not give. Choose another, and tell the hub's admin.",
        )
    if status is None or status >= 500 or status in {408, 429}:
        return Fault(
            "api-away",
            "The hub cannot start servers at the moment: the machines that run them do not answer. "
            "What runs goes on; try again in a minute.",
        )
    if status in {401, 404} or (status == 403 and (not message or "is forbidden: User" in message)):
        return Fault(
            "hub-refused",
            "The hub cannot start servers, because it was not given what it needs for that. Tell the hub's "
            "admin.",
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


def _container_fault(container: Mapping[str, Any], events: Iterable[Event], asked: Asked) -> Fault | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = _reason(waiting), str(waiting.get("message") or "")
    if reason in _NO_IMAGE:
        said = [message, *(str(e.get("message")) for e in events if e.get("reason") == "Failed")]
        return Fault(
            "image-missing",
            f"The environment {asked.image} could not be fetched: its image is not there, or the hub may not "
            "read it. Choose another environment, and tell the hub's admin.",
            settled=reason in _NO_IMAGE_FOR_GOOD and not any(map(_is_passing, said)),
        )
    if reason in _NO_CONTAINER:
        if _is_short_of_memory(message):
            return _out_of_memory(asked)
        return _broken(asked, message, settled=not _is_passing(message))
    ends = _ends(container)
    if not ends or (container.get("state", {}).get("terminated") and ends[0].get("exitCode") == 0):
        return None  # what prepares a server ends before it starts
    last = ends[0]
    why = str(last.get("message") or "")
    is_short = _reason(last) == "OOMKilled" or _is_short_of_memory(why)
    if is_short and container.get("name") == _NOTEBOOK:
        return _out_of_memory(asked)
    settled = container.get("restartCount", 0) >= _CRASHES_FOR_GOOD or reason == "CrashLoopBackOff"
    if _reason(last) in _NEVER_RAN:
        return _broken(asked, why, settled=settled)
    return _crashed(asked, last.get("exitCode"), settled=settled)


def _broken(asked: Asked, message: str, *, settled: bool) -> Fault:
    return Fault(
        "environment-broken",
        f"The environment {asked.image} cannot be started on this hub: {_why_no_container(message)}. "
        "Choose another environment, and tell the hub's admin.",
        settled,
    )


def _why_no_container(message: str) -> str:
    if "non-numeric user" in message:
        return "it does not say by a number which user it runs as"
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
        "The machine that your server was on went away or had no room left, and your server ended. Your "
        "files are kept; start it again.",
    )


def _no_volume() -> Fault:
    return Fault(
        "home-unavailable",
        "Your home folder, or a folder that you share, could not be attached to your server. Try again in a "
        "few minutes; if it stays so, ask the hub's admin.",
        settled=False,
    )


def _not_scheduled(asked: Asked, reasons: list[str]) -> Fault:
    """Return the fault of a pod without a machine: what an autoscaler said last is what holds."""
    said = next((r for r in reversed(reasons) if r in _MACHINE_COMES | _MACHINE_DOES_NOT_COME), None)
    if said in _MACHINE_COMES:
        return Fault(
            "machine-late",
            f"A new machine with room for {asked.share} did not come in time. Try again, or choose a smaller "
            "size.",
            settled=False,
        )
    return _no_room(asked, settled=said in _MACHINE_DOES_NOT_COME)


def _no_room(asked: Asked, *, settled: bool) -> Fault:
    return Fault(
        "no-room",
        f"There is no machine with room for {asked.share} at the moment. Choose a smaller size, or try again "
        "when others have stopped their servers.",
        settled,
    )


def _quota_reached(asked: Asked, message: str) -> Fault:
    if "requests.storage" in message or "persistentvolumeclaims" in message:
        return Fault(
            "quota-reached",
            "The hub has reached its quota: there is no room for your home folder. Tell the hub's admin.",
        )
    return Fault(
        "quota-reached",
        f"The hub has reached its quota: there is no room for {asked.share} at the moment. Choose a "
        "smaller size, or try again when others have stopped their servers.",
    )


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _ends(container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return how a container ended, the latest end first."""
    states = (container.get("state") or {}, container.get("lastState") or {})
    return [state["terminated"] for state in states if state.get("terminated")]


def _reason(state: Mapping[str, Any]) -> str | None:
    found: str | None = state.get("reason")
    return found


def _is_about(event: Event, uid: object) -> bool:
    return bool((event.get("involvedObject") or {}).get("uid", uid) == uid)


def _is_passing(message: str) -> bool:
    return any(sign in message.lower() for sign in _PASSING)


def _is_short_of_memory(message: str) -> bool:
    """Return whether a container could not even begin with its memory."""
    return "oom-killed" in message.lower()


def _is_taken_away(status: Mapping[str, Any]) -> bool:
    return status.get("reason") == "Evicted" or _condition(status, "DisruptionTarget", "True") is not None


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
