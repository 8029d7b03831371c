"""The supervisor's own idea: start processes in order, restart what ends, and leave none behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scalablehub.errors import PublicError
from scalablehub.processes import die_with_parent

_PR_SET_CHILD_SUBREAPER = 36
_QUICK_SECONDS = 30
_MOST_QUICK_ENDS = 5
_REAP_SECONDS = 1.0


@dataclass
class Part:
    """One process of the hub.

    Attributes:
        name: how people know it.
        command: its argument list, without secrets.
        environment: all of its environment.
        log: the file that its output goes to.
        ready: returns when it can be used; asks its argument whether the process has ended.
        stop_seconds: how long it may take to end by itself.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    ready: Callable[[Callable[[], bool]], Awaitable[None]]
    stop_seconds: float = 10
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start the process, tied to ours, and wait until it is ready.

        Raises:
            PublicError: it ended, or was not ready in time.
        """
        with self.log.open("ab") as output:
            parent = os.getpid()
            try:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command,
                    env=self.environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=lambda: die_with_parent(parent=parent),
                )
            except OSError as error:
                raise PublicError(
                    "part-not-startable",
                    f"{self.name} cannot be started: {self.command[0]}: {error.strerror}",
                ) from None
        await self.ready(lambda: self.process is None or self.process.returncode is not None)

    async def stop(self) -> None:
        """End the process: politely at first."""
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), self.stop_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


class Supervisor:
    """Runs parts in order, each started when the one before is ready.

    * A part that ends is started again, later each time; one that never lasts ends the whole.
    * What a dead part leaves behind becomes ours, and is ended when we end.

    Args:
        parts: in the order in which they start.
        report: told each event and its sentence.
        pause_seconds: how long to wait after so many quick ends in a row.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        report: Callable[[str, str], None],
        pause_seconds: Callable[[int], float] = lambda quick: min(2**quick - 1, 10) if quick > 1 else 0,
    ) -> None:
        self.parts = parts
        self.report = report
        self.pause_seconds = pause_seconds
        self._failure: PublicError | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises:
            PublicError: a part cannot be started, or does not last.
        """
        adopt_orphans()
        watchers: list[asyncio.Task[None]] = []
        reaper = asyncio.create_task(_reap_adopted(self))
        try:
            for part in self.parts:
                self.report("progress", f"Starting {part.name}")
                starting = asyncio.create_task(part.start())
                await _first(starting, stop)
                if stop.is_set():
                    return
                watchers.append(asyncio.create_task(self._watch(part, stop)))
            self.report("ready", "")
            await stop.wait()
        finally:
            self.report("progress", "Stopping")
            for task in (*watchers, reaper):
                task.cancel()
            await asyncio.gather(*watchers, reaper, return_exceptions=True)
            for part in reversed(self.parts):
                await part.stop()
            end_descendants()
        if self._failure is not None:
            raise self._failure

    async def _watch(self, part: Part, stop: asyncio.Event) -> None:
        quick = 0
        while part.process is not None:
            started = time.monotonic()
            code = await part.process.wait()
            quick = quick + 1 if time.monotonic() - started < _QUICK_SECONDS else 0
            if quick >= _MOST_QUICK_ENDS:
                self._failure = PublicError(
                    "part-does-not-last",
                    f"{part.name} ends again and again ({_ending(code)}); its log: {part.log}",
                )
                stop.set()
                return
            self.report("restart", f"{part.name} ended ({_ending(code)}) and is started again")
            await asyncio.sleep(self.pause_seconds(quick))
            try:
                await part.start()
            except PublicError as error:
                self.report("trouble", error.message)
            except OSError as error:  # no process could be made: the one that ended counts once more
                self.report("trouble", f"{part.name} could not be started: {error.strerror or error}")


def adopt_orphans() -> None:
    """Have processes that lose their parent below us become our children; does nothing off Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(grace_seconds: float = 3) -> None:
    """End every process below this one: politely at first, then also what was started meanwhile."""
    me = psutil.Process()
    for end in (psutil.Process.terminate, *[psutil.Process.kill] * 3):
        below = me.children(recursive=True)
        if not below:
            return
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(below, timeout=grace_seconds)


async def _first(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Wait for the task, or give it up when `stop` is set."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        task.result()


async def _reap_adopted(supervisor: Supervisor) -> None:
    """Collect adopted processes that ended, so that who looks for them by their id finds them gone."""
    while True:
        await asyncio.sleep(_REAP_SECONDS)
        own = {part.process.pid for part in supervisor.parts if part.process is not None}
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if child.pid not in own and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)  # noqa: ASYNC222  # with WNOHANG it does not wait


def _ending(code: int) -> str:
    if code >= 0:
        return f"status {code}"
    return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
