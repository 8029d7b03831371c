"""How images get into a Kubernetes cluster that is not ours, and how this machine reaches its services."""

from __future__ import annotations

import io
import json
import os
import shlex
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .errors import ClusterError, Elsewhere
from .images import described

VARIABLE = "SCALABLEHUB_LOAD_IMAGE"
"""Its value is the command that brings the image in the archive `{tar}` to every node."""


def loading_command() -> str:
    """Return the command.

    Raises:
        Elsewhere: nobody said how images get there.
    """
    command = os.environ.get(VARIABLE)
    if not command:
        raise Elsewhere(
            f"These tests bring images of their own, and {VARIABLE} does not say how they get into the "
            "cluster of KUBECONFIG; tests/kubernetes/README.md has examples."
        )
    return command


class Loader:
    """Brings images to the nodes with the command of the environment, each once for a process."""

    def __init__(self) -> None:
        self._loaded: dict[str, str] = {}

    def load(self, tar: Path, name: str) -> bool:
        """Make the image of a tar known under a name; return False if it already is.

        Raises:
            Elsewhere: nobody said how.
            ClusterError: the command failed.
        """
        command = loading_command()
        digest, own_name = described(tar)
        if self._loaded.get(name) == digest:
            return False
        if own_name == name:
            _run(command, tar)
        else:
            renamed_tar = tar.with_name(f"{tar.stem}-renamed-{os.getpid()}.tar")
            try:
                renamed(tar, name, renamed_tar)
                _run(command, renamed_tar)
            finally:
                renamed_tar.unlink(missing_ok=True)
        self._loaded[name] = digest
        return True


def _run(command: str, tar: Path) -> None:
    arguments = [part.replace("{tar}", str(tar)) for part in shlex.split(command)]
    if not any(str(tar) in part for part in arguments):
        raise ClusterError(f"{VARIABLE} is {command!r}; write {{tar}} where the archive's path belongs.")
    try:
        run = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=600)
    except OSError as error:
        raise ClusterError(f"{VARIABLE}: {arguments[0]} cannot be run: {error.strerror}.") from None
    if run.returncode:
        last = (run.stderr.strip() or run.stdout.strip() or "no reason given").splitlines()[-1]
        raise ClusterError(f"{VARIABLE}: '{shlex.join(arguments)}' failed: {last}")


def renamed(tar: Path, name: str, target: Path) -> None:
    """Write a copy of an archive in Docker's format, whose image has another name."""
    with tarfile.open(tar) as source, tarfile.open(target, "w") as copy:
        for member in source:
            content = source.extractfile(member)
            if member.name == "manifest.json":
                assert content is not None
                (image,) = json.load(content)
                data = json.dumps([image | {"RepoTags": [name]}]).encode()
                member.size, content = len(data), io.BytesIO(data)
            elif member.name == "repositories":
                continue  # an older format's names
            copy.addfile(member, content)


class Forwarding:
    """Ports of this machine that lead to services; one whose pod goes is led to the next pod."""

    def __init__(self, kubectl: Sequence[str]) -> None:
        self._kubectl = [*kubectl]
        self._ended = threading.Event()
        self._ways: dict[tuple[str, str, int], int] = {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []

    def __call__(self, namespace: str, service: str, port: int) -> str:
        """Return 'address:port' of this machine that leads to a port of a service, once it does.

        Raises:
            ClusterError: it does not within 60 seconds.
        """
        way = namespace, service, port
        if way not in self._ways:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ways[way] = free.getsockname()[1]
            thread = threading.Thread(target=self._keep, args=way, daemon=True)
            self._threads.append(thread)
            thread.start()
        deadline = time.monotonic() + 60
        while not _listens(self._ways[way]):
            if time.monotonic() > deadline:
                raise ClusterError(f"kubectl does not lead to port {port} of {service} in {namespace}.")
            self._ended.wait(0.1)
        return f"127.0.0.1:{self._ways[way]}"

    def _keep(self, namespace: str, service: str, port: int) -> None:
        here = self._ways[namespace, service, port]
        command = [*self._kubectl, "port-forward", f"service/{service}", f"{here}:{port}", "-n", namespace]
        while not self._ended.is_set():
            quiet = subprocess.DEVNULL
            with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
                self._processes[here] = process
                if self._ended.is_set():
                    process.terminate()
            self._ended.wait(0.2)

    def close(self) -> None:
        """End them all."""
        self._ended.set()
        for process in [*self._processes.values()]:
            process.terminate()
        for thread in self._threads:
            thread.join(20)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(5)
        return tried.connect_ex(("127.0.0.1", port)) == 0
