"""The whole hub, started as a person starts it, for tests that use it as a person does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import CookieJar
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener, urlopen

import psutil

from scalablehub.local.layout import MARK

READY = re.compile(r"Your research hub is ready:\s+(\S+)")

_Found = TypeVar("_Found")
_PORTS = count(os.getpid())
_CLIENT_MARK = "SCALABLEHUB_TEST_CLIENT"
_HUB_MARK = "SCALABLEHUB_TEST_HUB"


def free_port() -> int:
    """Return a loopback port that was free a moment ago.

    It is none of those that the kernel gives to whoever asks for any, nor of tests that run beside.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 20_000 + worker % 4 * 3_000 + next(_PORTS) % 3_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(
    condition: Callable[[], _Found], what: str, timeout_seconds: float = 60, pause_seconds: float = 0.1
) -> _Found:
    """Return the first true answer of a condition; fail with `what` if there is none in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}"
        time.sleep(pause_seconds)


class Lines:
    """What a process writes, read as it comes, so that its pipe never fills."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._read = 0
        self._news = threading.Condition()
        self._pipe = process.stdout
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        assert self._pipe is not None
        with self._pipe:
            for line in self._pipe:
                with self._news:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()

    def wait_for(self, pattern: str | re.Pattern[str], timeout_seconds: float) -> re.Match[str] | None:
        """Return the match of the next line that matches, or None if none came in time."""
        deadline = time.monotonic() + timeout_seconds
        with self._news:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    if match := re.search(pattern, self.lines[self._read - 1]):
                        return match
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self._news.wait(left)

    def close(self) -> None:
        """Wait for the last line, which comes when everybody who may write has ended."""
        self._thread.join(timeout=10)


class Stack:
    """A hub that `scalablehub up` runs in a process of its own."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        port: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
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
            env=os.environ | {"PYTHONUNBUFFERED": "1", _HUB_MARK: str(data_dir)} | (environment or {}),
        )
        self._terminal = Lines(self.process)

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
    def plan(self) -> dict[str, Any]:
        """What the processes of this hub agreed on."""
        found: dict[str, Any] = json.loads((self.data_dir / "run" / "plan.json").read_text())
        return found

    @property
    def output(self) -> str:
        """What the person in front of the terminal has seen so far."""
        return "\n".join(self._terminal.lines)

    def wait_for(self, pattern: str | re.Pattern[str], timeout_seconds: float = 180) -> re.Match[str]:
        """Return the match of the terminal's next line that matches; fail with everything if none does."""
        match = self._terminal.wait_for(pattern, timeout_seconds)
        assert match, f"the terminal never showed {pattern!r}:\n{self.output}\n{self.log_tails()}"
        return match

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

    def everything(self) -> list[psutil.Process]:
        """Return every living process of this hub, also one that lost its parent; not a test's clients."""
        marks = [str(self.data_dir)]
        with suppress(OSError, ValueError):  # the hub's services know nothing of its folder
            marks.append(f"http://127.0.0.1:{self.plan['ports']['hub']}/hub/api")
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                words = [*process.cmdline(), *environment.values(), process.cwd()]
                alive = process.status() != psutil.STATUS_ZOMBIE
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if (
                alive
                and _CLIENT_MARK not in environment
                and any(mark in word for mark in marks for word in words)
            ):
                found.append(process)
        return found

    def parts(self, *words: str) -> list[psutil.Process]:
        """Return the processes below the hub whose command line has all of the words."""
        found = []
        for process in self.descendants():
            try:
                line = " ".join(process.cmdline())
                if all(word in line for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def part(self, *words: str) -> psutil.Process:
        """Return the one process below the hub whose command line has all of the words."""
        found = self.parts(*words)
        assert len(found) == 1, f"{len(found)} processes match {words}: {found}"
        return found[0]

    def wait_until_ended(self, timeout_seconds: float = 60) -> int:
        """Wait until `up` ends by itself, and return its exit code."""
        code = self.process.wait(timeout_seconds)
        self._terminal.close()
        return code

    def stop(self, number: int = signal.SIGINT, timeout_seconds: float = 60) -> int:
        """Stop the hub as Ctrl-C does, and return its exit code; kills it if it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.wait_until_ended(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End every process of the hub at once."""
        for process in self.everything():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait(10)

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

    def group_members(self, group: str) -> list[str]:
        """Return who is in a group; for an admin."""
        status, answer = self.call("GET", f"hub/api/groups/{group}")
        assert status == 200, (status, answer)
        members: list[str] = answer["users"]
        return members

    def stop_server(self, server: str = "") -> None:
        """Stop a server and wait until it is gone."""
        where = f"hub/api/users/{self.name}/server" + (f"s/{server}" if server else "")
        status, answer = self.call("DELETE", where)
        assert status in (202, 204), (status, answer)
        until(lambda: not self.find_server(server), f"the server of {self.name} ends")
        # The hub finds out some seconds later, and starts no other before.
        until(lambda: server not in self.servers(), f"the hub knows that the server of {self.name} ended")

    def servers(self) -> dict[str, Any]:
        """Return the hub's models of the user's servers, by their names."""
        status, model = self.call("GET", f"hub/api/users/{self.name}")
        assert status == 200, (status, model)
        servers: dict[str, Any] = model["servers"]
        return servers

    def find_server(self, server: str = "") -> list[psutil.Process]:
        """Return the server's process, or nothing."""
        prefix = f"/user/{self.name}/" + (f"{server}/" if server else "")
        found = []
        for process in self.stack.parts("jupyterhub-singleuser"):
            try:
                if process.environ().get("JUPYTERHUB_SERVICE_PREFIX") == prefix:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def environment(self, server: str = "") -> dict[str, str]:
        """Return the environment of the server's process."""
        (process,) = self.find_server(server)
        return process.environ()

    def run_python(self, code: str, timeout_seconds: float = 180, **variables: str) -> Any:
        """Run a program with the server's environment, and return the last line that it prints, as JSON."""
        with Program(self, code, **variables) as program:
            return program.answer(timeout_seconds)

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


class Program:
    """A Python program with the environment of a user's server: it writes lines of JSON, and reads lines.

    Clusters' clients run in programs of their own because dask-gateway's client can wait for itself for ever
    when it is collected in a process that uses another.
    """

    def __init__(self, client: Client, code: str, server: str = "", **variables: str) -> None:
        environment = client.environment(server)
        self.client = client
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM_START + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=environment["HOME"],
            env=environment | variables | {_CLIENT_MARK: "1"},
        )
        self._lines = Lines(self.process)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(30)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        finally:
            self.process.kill()
            self.process.wait()
            self._lines.close()

    def answer(self, timeout_seconds: float = 120) -> Any:
        """Return what the program says next; fail with everything it wrote if it says nothing."""
        match = self._lines.wait_for(r"^answer: (.*)", timeout_seconds)
        if match is None:
            self._say_where_it_waits()
        assert match, "\n".join(
            ["the program said nothing:", *self._lines.lines, self.client.stack.log_tails()]
        )
        return json.loads(match[1])

    def _say_where_it_waits(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            self._lines.wait_for(r"^Current thread ", 5)
            self._lines.wait_for(r'^  File "<string>"', 5)

    def ask(self, line: str, timeout_seconds: float = 120) -> Any:
        """Send the program a line, and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.answer(timeout_seconds)


_PROGRAM_START = """
import faulthandler, json, signal, sys

faulthandler.register(signal.SIGUSR1, file=sys.stdout)

def say(answer):
    print("answer: " + json.dumps(answer, default=str), flush=True)

"""


def call(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Send a request and return (status, JSON or text); an error status is an answer, not an exception."""
    request = Request(url, data=body, method=method, headers=headers)
    try:
        with urlopen(request, timeout=60) as response:
            status, text = response.status, response.read().decode()
    except HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def signed_in(url: str, name: str, password: str) -> OpenerDirector:
    """Return somebody who is signed in as with a browser, without one.

    Args:
        url: of the hub, with a slash at its end.
        name: of the user.
        password: theirs.
    """
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    opener.addheaders = [("Sec-Fetch-Site", "same-origin")]
    with opener.open(f"{url}hub/login") as page:
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.read().decode())
    assert token
    form = {"username": name, "password": password, "_xsrf": token[1]}
    opener.open(f"{url}hub/login?next={urlsplit(url).path}hub/home", urlencode(form).encode()).close()
    return opener


def share_sample_data(source: Path, data_dir: Path) -> None:
    """Give a hub that has not started yet another one's sample data, without copying it."""
    shutil.copytree(source / "store" / "shared", data_dir / "store" / "shared", copy_function=os.link)
    (data_dir / MARK).touch()


@contextmanager
def running_stack(
    data_dir: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[Stack]:
    """Run a hub until the block ends; whatever happens, no process of it is left."""
    stack = Stack(data_dir, *arguments, environment=environment)
    try:
        yield stack.wait_until_ready()
    finally:
        if stack.process.poll() is None:
            stack.stop()
        words = []
        for process in stack.everything():
            with suppress(psutil.NoSuchProcess):  # one that ended just now
                words.append(f"{process.pid}: {' '.join(process.cmdline())}")
                process.kill()
        assert not words, f"left running: {words}"
