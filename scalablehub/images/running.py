"""Run the program in an image: with docker or podman, or as a pod of a Kubernetes cluster."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Callable
from enum import StrEnum

from scalablehub.errors import PublicError, shown
from scalablehub.images.probing import Asked, Report, probe_program, read_report

PULL_SECONDS = 900
_ANSWER_SECONDS = 20


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
    try:
        done = subprocess.run(
            command, input=probe_program(), capture_output=True, text=True, timeout=PULL_SECONDS, check=False
        )
    except FileNotFoundError:
        raise PublicError("tool-missing", f"{tool} is not installed; choose another with --using.") from None
    except subprocess.TimeoutExpired:
        raise PublicError(
            "image-slow", f"{shown(image)} gave no report within {PULL_SECONDS // 60} minutes."
        ) from None
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2] or done.stdout.strip().rpartition("\n")[2]
        raise PublicError("image-not-run", f"{shown(image)} could not be run with {tool}: {shown(last, 300)}")
    return read_report(done.stdout)


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
