from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent

READY = """
import os, pathlib, signal, subprocess, sys, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
with (folder / "pids").open("a") as pids:
    pids.write(f"{name} {os.getpid()}\\n")
def ready():
    (folder / f"{name}.ready").touch()
"""
STAY = READY + "ready(); signal.pause()"
STUBBORN = READY + "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready()\nwhile True: signal.pause()"
SHORT = READY + "ready(); sys.exit(3)"
NEVER_READY = READY + "sys.exit(4)"
AFTER_THE_FIRST = READY + 'assert (folder / "first.ready").exists(); ready(); signal.pause()'
WITH_AN_ORPHAN = (
    READY
    + """
child = "import os, sys, signal; open(sys.argv[1], 'a').write(f'orphan {os.getpid()}\\\\n'); signal.pause()"
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", child, str(folder / "pids")])
    os._exit(0)
os.wait()
while "orphan" not in (folder / "pids").read_text():
    time.sleep(0.01)
ready()
signal.pause()
"""
)


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, *parts: dict[str, Any]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.local.supervise", str(folder), json.dumps(parts)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def wait_for(self, event: str) -> str:
        """Return the text of the next event of that kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            if found["event"] == event:
                return str(found["text"])
        raise AssertionError(f"it ended without {event!r}")

    def pids(self, name: str) -> list[int]:
        """Return the ids of the processes that called themselves so, in the order of their start."""
        lines = (self.folder / "pids").read_text().splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith(f"{name} ")]

    def stop(self) -> int:
        """Stop it and return its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "pids").exists():
        for line in (tmp_path / "pids").read_text().splitlines():
            if psutil.pid_exists(pid := int(line.split()[1])):
                os.kill(pid, signal.SIGKILL)


def alive(*pids: int) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid)]


def test_parts_start_in_order_each_when_the_one_before_is_ready(folder: Path) -> None:
    running = Running(
        folder, {"name": "first", "program": STAY}, {"name": "second", "program": AFTER_THE_FIRST}
    )
    assert running.wait_for("progress") == "Starting first"
    assert running.wait_for("progress") == "Starting second"
    running.wait_for("ready")
    assert running.stop() == 0


def test_a_part_that_ended_is_started_again(folder: Path) -> None:
    running = Running(folder, {"name": "hub", "program": STAY})
    running.wait_for("ready")
    (first,) = running.pids("hub")
    (folder / "hub.ready").unlink()
    os.kill(first, signal.SIGKILL)
    assert running.wait_for("restart") == "hub ended (SIGKILL) and is started again"
    while not (folder / "hub.ready").exists():
        assert running.process.poll() is None
    assert len(running.pids("hub")) == 2
    assert running.stop() == 0
    assert alive(*running.pids("hub")) == []


def test_a_part_that_never_lasts_ends_the_whole_and_names_its_log(folder: Path) -> None:
    running = Running(folder, {"name": "store", "program": STAY}, {"name": "hub", "program": SHORT})
    text = running.wait_for("failed")
    assert text == f"hub ends again and again (status 3); its log: {folder / 'hub.log'}"
    running.process.communicate(timeout=30)
    assert running.process.returncode == 1
    assert len(running.pids("hub")) == 5
    assert alive(*running.pids("store"), *running.pids("hub")) == []


def test_a_part_that_ends_before_it_is_ready_ends_the_whole(folder: Path) -> None:
    running = Running(folder, {"name": "store", "program": STAY}, {"name": "hub", "program": NEVER_READY})
    assert running.wait_for("failed") == "hub ended while it started"
    running.process.communicate(timeout=30)
    assert alive(*running.pids("store")) == []


def test_a_part_whose_program_is_not_there_ends_the_whole_with_a_sentence(folder: Path) -> None:
    missing = str(folder / "no-such-program")
    running = Running(folder, {"name": "store", "program": STAY}, {"name": "hub", "command": [missing]})
    assert running.wait_for("failed") == f"hub cannot be started: {missing}: No such file or directory"
    running.process.communicate(timeout=30)
    assert alive(*running.pids("store")) == []


def test_a_stop_while_a_part_starts_ends_it(folder: Path) -> None:
    slow = READY + "signal.pause()"
    running = Running(folder, {"name": "hub", "program": slow})
    running.wait_for("progress")
    while not (folder / "pids").exists() or not running.pids("hub"):
        assert running.process.poll() is None
    assert running.stop() == 0
    assert alive(*running.pids("hub")) == []


def test_a_stop_ends_everything_down_to_an_orphan(folder: Path) -> None:
    running = Running(folder, {"name": "gateway", "program": WITH_AN_ORPHAN})
    running.wait_for("ready")
    (orphan,) = running.pids("orphan")
    assert alive(orphan)
    assert running.stop() == 0
    assert alive(orphan, *running.pids("gateway")) == []


def test_an_orphan_of_a_part_that_was_killed_is_ended_too(folder: Path) -> None:
    running = Running(folder, {"name": "gateway", "program": WITH_AN_ORPHAN})
    running.wait_for("ready")
    (orphan,) = running.pids("orphan")
    os.kill(running.pids("gateway")[0], signal.SIGKILL)
    running.wait_for("restart")
    assert running.stop() == 0
    assert alive(orphan, *running.pids("gateway"), *running.pids("orphan")) == []


def test_a_part_that_ignores_sigterm_is_killed_after_its_time(folder: Path) -> None:
    running = Running(folder, {"name": "hub", "program": STUBBORN, "stop_seconds": 0.2})
    running.wait_for("ready")
    assert running.stop() == 0
    assert alive(*running.pids("hub")) == []


def test_parts_end_when_the_supervisor_is_killed(folder: Path) -> None:
    running = Running(folder, {"name": "hub", "program": STAY})
    running.wait_for("ready")
    (hub,) = running.pids("hub")
    process = psutil.Process(hub)
    running.process.kill()
    running.process.communicate(timeout=30)
    process.wait(timeout=10)
