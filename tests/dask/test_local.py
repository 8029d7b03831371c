from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession, web

from scalablehub.dask.keeping import refuse
from scalablehub.dask.local import _last_line, _process, _read_logs, _with_start_time
from scalablehub.dask.logs import Log


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until its input ends."""
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE) as process:
        yield process


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate(timeout=30)


def test_state_of_a_process_gets_its_start_time(child: subprocess.Popen[bytes]) -> None:
    assert _with_start_time({"pid": child.pid, "workdir": "w"}) == {
        "pid": child.pid,
        "workdir": "w",
        "started": psutil.Process(child.pid).create_time(),
    }


def test_state_without_a_process_stays(child: subprocess.Popen[bytes]) -> None:
    assert _with_start_time({"workdir": "w"}) == {"workdir": "w"}


def test_state_of_an_ended_process_gets_no_start_time(child: subprocess.Popen[bytes]) -> None:
    end(child)
    assert _with_start_time({"pid": child.pid}) == {"pid": child.pid}


def test_process_is_found_by_id_and_start_time(child: subprocess.Popen[bytes]) -> None:
    assert _process(_with_start_time({"pid": child.pid})) == psutil.Process(child.pid)


def test_ended_process_is_none(child: subprocess.Popen[bytes]) -> None:
    state = _with_start_time({"pid": child.pid})
    end(child)
    assert _process(state) is None


def test_process_that_nobody_waited_for_is_none(child: subprocess.Popen[bytes]) -> None:
    state = _with_start_time({"pid": child.pid})
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert _process(state) is None


@pytest.mark.parametrize("seconds", [-60.0, 60.0], ids=["older", "newer"])
def test_id_that_was_given_away_is_none(child: subprocess.Popen[bytes], seconds: float) -> None:
    state = _with_start_time({"pid": child.pid})
    assert _process(state | {"started": state["started"] + seconds}) is None


def test_id_without_a_start_time_is_none(child: subprocess.Popen[bytes]) -> None:
    assert _process({"pid": child.pid}) is None


@pytest.mark.parametrize("state", [{}, {"pid": None}, {"workdir": "w"}], ids=str)
def test_state_that_names_no_process_is_none(state: dict[str, object]) -> None:
    assert _process(state) is None


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (b"", ""),
        (b"\n \n\t\n", ""),
        (b"one line", "one line"),
        (b"first\nlast\n", "last"),
        (b"first\r\n  last  \r\n\r\n", "last"),
        (b"x" * 300, "x" * 200),
        (b"early\n" + b"\n" * 5000, ""),
        (b"early\n" * 5000 + b"late\n", "late"),
        ("Größe 3 €\n".encode(), "Größe 3 €"),
        (b"\xff\xfe broken \x80\n", "\ufffd\ufffd broken \ufffd"),
    ],
    ids=[
        "empty",
        "blank",
        "one",
        "two",
        "windows",
        "cut at 200",
        "blank at the end",
        "long",
        "utf-8",
        "binary",
    ],
)
def test_last_line_of_a_log_is_the_last_that_says_something(tmp_path: Path, log: bytes, line: str) -> None:
    (tmp_path / "log").write_bytes(log)
    assert _last_line(tmp_path / "log") == line


def test_logs_that_move_while_they_are_read_are_read_where_they_are_then(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
    (before / "scheduler.log").symlink_to(tmp_path / "gone")
    (after / "worker-1.log").write_text("two")
    (after / "scheduler.log").write_text("one")
    assert _read_logs([before, after], {"worker-1"}) == [
        Log("scheduler", "scheduler", "one", over=True),
        Log("worker", "worker-1", "two", over=False),
    ]


def test_last_line_of_no_log_is_empty(tmp_path: Path) -> None:
    assert _last_line(tmp_path / "absent") == ""


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("No module named 'dask'", "No module named 'dask'"),
        ("two\r\nlines\n", "two lines"),
        ("X: 1\r\nSet-Cookie: a=b", "X: 1 Set-Cookie: a=b"),
        ("\x1b[31mred\x00 \x7f", "\ufffd[31mred\ufffd \ufffd"),
        ("\ufffd €", "\ufffd €"),
    ],
    ids=["words", "lines", "a header", "control characters", "no latin"],
)
async def test_refusal_reaches_the_client_as_one_line(reason: str, read: str) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(refuse(reason)())

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        async with ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
            assert (response.status, response.reason) == (409, read)
    finally:
        await runner.cleanup()
