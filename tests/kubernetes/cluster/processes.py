"""Processes that outlive the command that starts them, and that are ended only if they are still the same."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, in parentheses, may contain anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


@dataclass(frozen=True)
class Process:
    """A process by its id and its start time: ids come again."""

    pid: int
    started: int

    @classmethod
    def recorded(cls, file: Path) -> Process | None:
        """Return the process of a pid file, if it still runs."""
        try:
            pid, started = map(int, file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        process = cls(pid, started)
        return process if process.alive else None

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        if start_time(self.pid) == self.started:
            return True
        # When it is our own child, forget it.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return False

    def end(self, how: signal.Signals, patience_seconds: float) -> bool:
        """Signal the process, wait for its end, and return whether it came."""
        if not self.alive:
            return True
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            signal.pidfd_send_signal(handle, how)
            # Tells of the end of all threads: while one is left, so are the ports that it listens at.
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            waiting.poll(patience_seconds * 1000)
        finally:
            os.close(handle)
        return not self.alive


def start(
    arguments: Sequence[str],
    log: Path,
    pid_file: Path,
    cgroups: Sequence[Path],
    environment: Mapping[str, str],
) -> Process:
    """Start a process in a session of its own; its output goes to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        pid = os.posix_spawn(
            arguments[0],
            list(arguments),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
    started = start_time(pid) or 0
    pid_file.write_text(f"{pid} {started}\n")
    for cgroup in cgroups:
        with suppress(ProcessLookupError):
            (cgroup / "cgroup.procs").write_text(str(pid))
    return Process(pid, started)
