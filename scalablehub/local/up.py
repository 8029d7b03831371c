"""`scalablehub up`: prepare a hub on this machine, run it, and end everything when it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from scalablehub.description import resolve
from scalablehub.errors import PublicError
from scalablehub.local.layout import Layout
from scalablehub.local.machine import find_lacks, locate_images, measure_machine
from scalablehub.local.plan import HOST, Plan, Ports
from scalablehub.local.proxy import find_node, proxy_command
from scalablehub.local.sample_data import prepare_sample_data
from scalablehub.local.screen import Screen
from scalablehub.local.settings import Settings, load_settings
from scalablehub.local.supervising import adopt_orphans, end_descendants
from scalablehub.spawner.cgroups import find_cgroups, remove_groups

_STOP_SECONDS = 60


@dataclass(frozen=True)
class Options:
    """What a person asked of `scalablehub up`."""

    config: Path
    data_dir: Path
    port: int
    open_browser: bool
    reset: bool
    verbose: bool


def up(options: Options) -> int:
    """Run the hub until it is stopped, and return the exit code.

    Everything that can be known to be wrong is found before anything is made or removed.

    Raises:
        PublicError: the hub cannot start, or ended by itself; nothing is left running.
    """
    screen = Screen(sys.stdout)
    layout = Layout(options.data_dir.absolute())
    try:
        with _Stop() as stop:
            settings = load_settings(options.config)
            layout.refuse_foreign()
            _refuse_running(layout)
            ports = _pick_ports(options.port)
            description = locate_images(
                resolve(settings.description, measure_machine(), f"http://{HOST}:{ports.store}")
            )
            find_node()
            with _lock(layout, options):
                plan = _prepare(options, layout, Settings(description, settings.local), ports, screen)
                return _run(plan, options, screen, stop)
    except KeyboardInterrupt:
        screen.stopped()
        return 0
    except OSError as error:
        raise _unusable(layout.root, error) from None


class _Stop:
    """What Ctrl-C, SIGTERM and SIGHUP do: end the preparation at once, or the supervisor in order."""

    def __init__(self) -> None:
        self.requested = False
        self._raises = True
        self._supervisor: subprocess.Popen[str] | None = None

    def __enter__(self) -> _Stop:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._stop) for number in numbers}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, make: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
        """Start the supervisor: a signal that comes meanwhile ends it as soon as it is known."""
        self._raises = False
        self._supervisor = make()
        if self.requested:
            self._supervisor.terminate()
        return self._supervisor

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if self._supervisor is not None:
            self._supervisor.terminate()
        elif first and self._raises:
            raise KeyboardInterrupt


def _unusable(folder: Path, error: OSError) -> PublicError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        words = f"There is no space left for {folder}; make room, or choose another folder with --data-dir."
        return PublicError("data-dir-full", words)
    words = f"{error.filename or folder}: {error.strerror or error}; choose another folder with --data-dir."
    return PublicError("data-dir-unusable", words)


def _refuse_running(layout: Layout) -> None:
    """Refuse a second hub over the same data, before its port is found to be taken."""
    if layout.lock.exists():
        with _locked(layout.lock):
            pass


@contextlib.contextmanager
def _lock(layout: Layout, options: Options) -> Iterator[None]:
    """Hold the data folder: two hubs over the same data would harm it."""
    if layout.lock.exists():
        with _locked(layout.lock):
            if options.reset:
                layout.reset()
    elif options.reset:
        layout.reset()
    layout.create()
    with _locked(layout.lock) as file:
        file.truncate(0)
        file.write(f"http://{HOST}:{options.port}/")
        file.flush()
        yield


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            where = file.read().strip() or "another terminal"
            raise PublicError(
                "already-running",
                f"A hub with the data in {path.parent} is running already: {where} "
                "Stop it there, or start another with --data-dir and --port.",
            ) from None
        yield file


def _prepare(options: Options, layout: Layout, settings: Settings, ports: Ports, screen: Screen) -> Plan:
    description = settings.description
    secrets = layout.secrets()
    command = proxy_command(layout.root / "tools", screen.progress)
    shutil.rmtree(layout.run, ignore_errors=True)
    layout.create()
    plan = Plan(
        layout=layout,
        ports=ports,
        secrets=secrets,
        description=description,
        local=settings.local,
        lacks=find_lacks(description),
        not_enforced=_not_enforced(),
        proxy_command=tuple(command),
        verbose=options.verbose,
    )
    if settings.local.sample_data is not None:
        bucket = description.buckets[settings.local.sample_data]
        folder = layout.store / bucket.url.removeprefix("s3://")
        folder.mkdir(parents=True, exist_ok=True)
        prepare_sample_data(folder, screen.progress)
    plan.write()
    return plan


def _not_enforced() -> str:
    everywhere = (
        "Cores may burst when others leave them idle. On one machine nobody is kept apart from others"
    )
    if find_cgroups() is None:
        return (
            f"{everywhere}, and memory is not limited here: this machine does not let the hub set limits. "
            "Dask and the numerical libraries keep to the cores."
        )
    return f"{everywhere}; memory is limited, so a server that wants more is ended."


def _pick_ports(public: int) -> Ports:
    """Return free loopback ports.

    Raises:
        PublicError: the public one is taken, or not allowed.
    """
    _check_port(public)
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(7)]
        for taken in sockets:
            taken.bind((HOST, 0))
        return Ports(public, *(taken.getsockname()[1] for taken in sockets))


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PublicError(
                    "port-taken",
                    f"Port {port} is in use by another program; choose another with --port, such as "
                    f"--port {port + 1}.",
                ) from None
            raise PublicError(
                "port-refused", f"Port {port}: {error.strerror}; choose one above 1024 with --port."
            ) from None


def _run(plan: Plan, options: Options, screen: Screen, stop: _Stop) -> int:
    adopt_orphans()
    try:
        supervisor = stop.start(
            lambda: subprocess.Popen(
                [sys.executable, "-m", "scalablehub.local", str(plan.layout.plan), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
            )
        )
        failure = _follow(supervisor, plan, options, screen)
        code = supervisor.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        code = 1
    finally:
        end_descendants()
        remove_groups(plan.ports.hub)
    if failure is not None:
        raise PublicError("hub-failed", failure)
    if code != 0 and not stop.requested:
        raise PublicError(
            "supervisor-ended",
            "The hub's supervisor was ended from outside; everything it started has been stopped. "
            "Start the hub again: users, homes and data are kept.",
        )
    screen.stopped()
    return 0


def _follow(supervisor: subprocess.Popen[str], plan: Plan, options: Options, screen: Screen) -> str | None:
    """Show what the supervisor reports until it ends, and return why the hub failed if it did."""
    failure = None
    assert supervisor.stdout is not None  # noqa: S101
    for line in supervisor.stdout:
        event = json.loads(line)
        match event["event"]:
            case "progress":
                screen.progress(event["text"])
            case "ready":
                screen.ready(plan)
                if options.open_browser:
                    webbrowser.open(plan.url)
            case "failed":
                failure = event["text"]
            case "restart" | "trouble":
                screen.notice(event["text"])
    return failure
