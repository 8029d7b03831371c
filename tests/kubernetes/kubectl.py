"""kubectl, as an admin uses it, with answers as Python's own values."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Manifest = Mapping[str, Any]


class Kubectl:
    """Commands to one Kubernetes cluster."""

    def __init__(self, program: str | Path, kubeconfig: Path) -> None:
        self._program = str(program)
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig)}

    def __call__(
        self, *arguments: str, given: str | None = None, check: bool = True, timeout_seconds: float = 180
    ) -> str:
        """Run kubectl with the arguments and return what it writes; fail with its own words."""
        done = subprocess.run(
            [self._program, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=timeout_seconds,
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin a command that goes on beside the test, with pipes for its input and all that it writes."""
        return subprocess.Popen(
            [self._program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Return an object, or None if there is none of that name."""
        text = self("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind in a namespace, of those with the labels of a selector."""
        found: list[dict[str, Any]] = json.loads(
            self("get", kind, "-n", namespace, "-l", selector, "-o", "json")
        )["items"]
        return found

    def apply(self, manifests: Iterable[Manifest]) -> None:
        """Make the objects, or change them into what the manifests say."""
        self("apply", "-f", "-", given=_as_list(manifests))

    def delete(self, manifests: Iterable[Manifest]) -> None:
        """Remove the objects of the manifests, where they are still there."""
        self("delete", "--ignore-not-found", "-f", "-", given=_as_list(manifests))

    def wait_for_rollout(self, *deployments: str, namespace: str, timeout_seconds: int = 120) -> None:
        """Wait until the deployments run as they were last described; fail with what keeps their pods."""
        for deployment in deployments:
            try:
                self(
                    "rollout",
                    "status",
                    f"deployment/{deployment}",
                    "-n",
                    namespace,
                    f"--timeout={timeout_seconds}s",
                )
            except AssertionError as error:
                pods = self("describe", "pods", "-n", namespace, check=False)
                logs = self("logs", f"deployment/{deployment}", "-n", namespace, "--tail=60", check=False)
                raise AssertionError(f"{error}\n{pods[-6000:]}\n{logs}") from None

    def execute(
        self,
        pod: str,
        namespace: str,
        *command: str,
        given: str | None = None,
        check: bool = True,
        timeout_seconds: float = 180,
    ) -> str:
        """Run a command in a pod's first container, and return what it writes."""
        arguments = ("exec", "-i", pod, "-n", namespace, "--", *command)
        return self(*arguments, given=given, check=check, timeout_seconds=timeout_seconds)


def _as_list(manifests: Iterable[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
