"""Run the program in an image: with docker or podman, or as a pod of a Kubernetes cluster."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from subprocess import PIPE

from scalablehub.errors import PublicError, shown
from scalablehub.images.probing import Asked, Report, probe_program, read_report

PULL_SECONDS = 900
_ANSWER_SECONDS = 20
_LOOK_SECONDS = 3.0
_HOPELESS = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


class Tool(StrEnum):
    """What can run an image."""

    DOCKER = "docker"
    PODMAN = "podman"
    KUBECTL = "kubectl"


# What shows that a tool is not only installed: a client has a daemon or a cluster, and rights in it.
_ANSWERS = {
    Tool.DOCKER: ["docker", "info"],
    Tool.PODMAN: ["podman", "info"],
    Tool.KUBECTL: ["kubectl", "auth", "can-i", "create", "pods", "--quiet"],
}


def choose_tool(answers: Callable[[Tool], bool] | None = None) -> Tool:
    """Return the first tool that works here.

    Raises:
        PublicError: none does.
    """
    for tool in Tool:
        if (answers or _answers)(tool):
            return tool
    raise PublicError(
        "no-container-tool",
        "An image is looked at by running it, and none of docker, podman and kubectl works here. "
        "Start docker or podman, or sign kubectl in to a cluster where you may create pods.",
    )


def run_in_image(image: str, tool: Tool, asked: Asked) -> Report:
    """Return what an image says of itself.

    Raises:
        PublicError: it cannot be run, has no Python, or gives no report.
    """
    command = command_for(image, tool, asked)
    pod = command[2] if tool is Tool.KUBECTL else None
    try:
        # What an image writes may be in any encoding.
        process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, errors="replace")
    except FileNotFoundError:
        raise PublicError("tool-missing", f"{tool} is not installed; choose another with --using.") from None
    except OSError as error:
        raise PublicError("tool-missing", f"{tool} cannot be run: {error.strerror}.") from None
    with process:
        try:
            output, errors = _ended(process, image, pod)
        except BaseException:
            process.kill()
            if pod is not None:
                _remove(pod)
            raise
    if process.returncode != 0:
        last = errors.strip().rpartition("\n")[2] or output.strip().rpartition("\n")[2]
        raise PublicError("image-not-run", f"{shown(image)} could not be run with {tool}: {shown(last, 300)}")
    return read_report(output)


def _ended(process: subprocess.Popen[str], image: str, pod: str | None) -> tuple[str, str]:
    """Return what a process wrote; kubectl itself waits in silence for an image that cannot be pulled.

    Raises:
        PublicError: the image cannot be pulled, or takes too long.
    """
    program: str | None = probe_program()
    deadline = time.monotonic() + PULL_SECONDS
    while time.monotonic() < deadline:
        try:
            return process.communicate(program, timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            program = None  # it is on its way
        if pod is not None and (why := _why_not_pulled(pod)):
            raise PublicError("image-not-pulled", f"{shown(image)} cannot be pulled: {shown(why, 300)}")
    raise PublicError("image-slow", f"{shown(image)} gave no report within {PULL_SECONDS / 60:.0f} minutes.")


def _why_not_pulled(pod: str) -> str:
    """Return Kubernetes' words for why a pod's image does not come; nothing if it may still."""
    try:
        done = _kubectl("get", "pod", pod, "--output=json")
        statuses = json.loads(done.stdout)["status"]["containerStatuses"]
        waiting = [status["state"].get("waiting") or {} for status in statuses]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return next(
        (str(one.get("message") or one["reason"]) for one in waiting if one.get("reason") in _HOPELESS), ""
    )


def _remove(pod: str) -> None:
    with suppress(OSError, subprocess.TimeoutExpired):
        _kubectl("delete", "pod", pod, "--ignore-not-found", "--wait=false")


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_ANSWER_SECONDS,
        check=False,
    )


def command_for(image: str, tool: Tool, asked: Asked) -> list[str]:
    """Return the command that runs a program from its input with an image's `python3`, and leaves nothing."""
    program = ["-", asked.argument]
    if tool is not Tool.KUBECTL:
        return [tool, "run", "--rm", "--interactive", "--entrypoint", "python3", image, *program]
    name = f"scalablehub-check-{secrets.token_hex(4)}"
    return [
        *("kubectl", "run", name, f"--image={image}", "--restart=Never", "--rm", "--stdin", "--quiet"),
        *(f"--pod-running-timeout={PULL_SECONDS}s", f"--overrides={_overrides(name)}"),
        *("--override-type=strategic", "--command", "--", "python3", *program),
    ]


def _overrides(name: str) -> str:
    """Return what a server has too, so that the restricted Pod Security Standard lets it in."""
    container = {
        "name": name,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "fsGroup": 100,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {"securityContext": user, "automountServiceAccountToken": False, "containers": [container]}
    return json.dumps({"spec": spec})


def _answers(tool: Tool) -> bool:
    if shutil.which(tool) is None:
        return False
    try:
        done = subprocess.run(_ANSWERS[tool], capture_output=True, timeout=_ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
