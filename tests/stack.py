"""The whole hub, started as a person starts it, for tests that use it as a person does."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

READY = re.compile(r"Your research hub is ready:\s+(\S+)")


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """A hub that `scalablehub up` runs in a process of its own."""

    def __init__(self, data_dir: Path, *arguments: str, port: int | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "scalablehub", "up"),
                *("--data-dir", str(data_dir), "--port", str(self.port)),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    @property
    def url(self) -> str:
        """Base URL, ending in '/'."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def secrets(self) -> dict[str, str]:
        """Passwords and keys of this hub."""
        found: dict[str, str] = json.loads((self.data_dir / "secrets.json").read_text())
        return found

    @property
    def output(self) -> str:
        """What the person in front of the terminal has seen so far."""
        return "\n".join(self.lines)

    def wait_for(self, pattern: str | re.Pattern[str], timeout_seconds: float = 180) -> re.Match[str]:
        """Read the terminal until a line matches; fail with all of it if none does."""
        deadline = time.monotonic() + timeout_seconds
        assert self.process.stdout is not None
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                break
            line = self.process.stdout.readline().decode()
            if not line:
                break
            self.lines.append(line.rstrip("\n"))
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"the terminal never showed {pattern!r}:\n{self.output}\n{self.log_tails()}")

    def wait_until_ready(self, timeout_seconds: float = 300) -> Stack:
        """Wait for the screen that says the hub is ready."""
        self.wait_for(READY, timeout_seconds)
        return self

    def log_tails(self, lines: int = 15) -> str:
        """Return the end of each log, for a failure's report."""
        tails = []
        for log in sorted((self.data_dir / "logs").rglob("*.log")):
            text = log.read_text(errors="replace").splitlines()[-lines:]
            tails.append("\n".join([f"== {log.name}", *text]))
        return "\n".join(tails)

    def descendants(self) -> list[psutil.Process]:
        """Return every process that the hub has started and that is alive."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def part(self, *words: str) -> psutil.Process:
        """Return the one process below the hub whose command line has all of the words."""
        found = []
        for process in self.descendants():
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if all(word in line for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        assert len(found) == 1, f"{len(found)} processes match {words}: {found}"
        return found[0]

    def stop(self, number: int = signal.SIGINT, timeout_seconds: float = 60) -> int:
        """Stop the hub as Ctrl-C does, and return its exit code; kills it if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            rest, _ = self.process.communicate(timeout=timeout_seconds)
            self.lines += rest.decode().splitlines()
        except subprocess.TimeoutExpired:
            for process in self.descendants():
                process.kill()
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode

    def sign_in(self, name: str, password: str | None = None) -> Client:
        """Return a client with a token of the user, made with their password."""
        if password is None:
            password = self.secrets["admin_password" if name == "admin" else "user_password"]
        body = json.dumps({"auth": {"username": name, "password": password}}).encode()
        status, answer = call("POST", f"{self.url}hub/api/users/{name}/tokens", body=body)
        assert status == 201, (status, answer)
        return Client(self, name, answer["token"])


class Client:
    """The hub's REST API, as one user."""

    def __init__(self, stack: Stack, name: str, token: str) -> None:
        self.stack = stack
        self.name = name
        self.token = token

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Call a path below the hub's base URL and return (status, answer)."""
        data = None if body is None else json.dumps(body).encode()
        return call(method, self.stack.url + path, body=data, Authorization=f"token {self.token}", **headers)

    def start_server(self, options: Any = None, server: str = "", timeout_seconds: float = 120) -> str:
        """Start a server, wait until it is ready, and return its URL."""
        where = f"hub/api/users/{self.name}/server" + (f"s/{server}" if server else "")
        status, answer = self.call("POST", where, options)
        assert status in (201, 202), (status, answer)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            _, model = self.call("GET", f"hub/api/users/{self.name}")
            state = model["servers"].get(server)
            if state and state["ready"]:
                return f"{self.stack.url}user/{self.name}/{server + '/' if server else ''}"
            assert state, f"the server of {self.name} ended:\n{self.stack.log_tails()}"
            time.sleep(0.2)  # the hub has no event to wait on but a stream of progress
        raise AssertionError(f"the server of {self.name} is not ready:\n{self.stack.log_tails()}")


def call(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Send a request and return (status, JSON or text); an error status is an answer, not an exception."""
    request = Request(url, data=body, method=method, headers=headers)  # noqa: S310
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310
            status, text = response.status, response.read().decode()
    except HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


@contextmanager
def running_stack(data_dir: Path, *arguments: str) -> Iterator[Stack]:
    """Run a hub until the block ends; whatever happens, no process of it is left."""
    stack = Stack(data_dir, *arguments)
    try:
        yield stack.wait_until_ready()
    finally:
        below = stack.descendants()
        if stack.process.poll() is None:
            stack.stop()
        left = [process for process in below if process.is_running()]
        for process in left:
            process.kill()
        assert not left, f"left running: {left}"
