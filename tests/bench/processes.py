"""The processes of a benchmark: each ends with it, whatever happens."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil

from tests.bench.loading import Plan, Seen
from tests.stack import until

_SAMPLE_SECONDS = 0.02


@contextmanager
def running(
    command: list[str], log: Path, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scalablehub.local.tied", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours: kindly, then not."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_answering(url: str, process: subprocess.Popen[bytes], log: Path, timeout: float = 60) -> None:
    """Wait until a URL answers with a 200."""

    def answers() -> bool:
        assert process.poll() is None, f"it ended while it started:\n{log.read_text()[-3000:]}"
        return status(url) == 200

    until(answers, f"{url} answers", timeout, pause_seconds=0.01)


def wait_until_listening(port: int) -> None:
    """Wait until a loopback port takes connections."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens, f"something listens at {port}", pause_seconds=0.01)


def status(url: str) -> int:
    """Return the status of a GET, 0 if nothing answers."""
    try:
        with urlopen(url, timeout=10) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


class Generator:
    """The load generator, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scalablehub.local.tied", sys.executable, "-m", "tests.bench.loading"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, plan: Plan) -> Seen:
        """Return what a run of `plan` saw."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        self._process.stdin.flush()
        return Seen(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        end(self._process)


class Memory:
    """How much memory a process has taken, sampled in the background: `peak` in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = self.before = resident(process)

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, resident(self._process))

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, resident(self._process))


def resident(process: psutil.Process) -> int:
    """Return a process's resident memory in bytes."""
    return int(process.memory_info().rss)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)
