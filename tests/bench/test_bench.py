"""The benchmark runs, and says what it measured; how fast anything was is not looked at."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.loading import Plan, run
from tests.bench.machine import ROOT
from tests.bench.measuring import added, at_least, ratio, table
from tests.bench.processes import running, wait_until_listening
from tests.bench.proxies import LIST
from tests.stack import free_port

pytestmark = pytest.mark.once


def test_quick_run_stores_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", "proxy", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.json")
    text = file.read_text()
    result = json.loads(text)
    assert file.name == f"{result['when'][:10]}-{result['commit']}.json"
    assert {"cores", "memory_gb", "python", "node", "configurable-http-proxy", "aiohttp"} <= set(
        result["machine"]
    )
    assert set(result["load"]) == {"before", "after"}
    assert list(result["parts"]) == ["proxy"]
    rows = result["parts"]["proxy"]["rows"]
    assert {f"requests/s, {many}" for many in ("1 connection", "32 connections", "256 connections")} <= {
        row["measure"] for row in rows
    }
    for row in rows:
        assert row["compared"]["min"] <= row["compared"]["median"] <= row["compared"]["max"]
        assert {len(values) for values in row["values"].values()} == ({2} if row["unit"] != "of all" else {8})
    (failed,) = (row for row in rows if row["measure"].startswith("failed"))
    assert failed["values"] == {name: [0] * 8 for name in ("direct", "service", "CHP")}
    assert len(text) < 20_000
    for secret in (socket.gethostname(), str(ROOT), str(Path.home()), str(tmp_path)):
        assert secret not in text


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Port of a server that says 404 and closes."""
    script = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    c, _ = s.accept(); c.recv(9999)\n"
        "    c.sendall(b'HTTP/1.1 404 No\\r\\nContent-Length: 2\\r\\n\\r\\nno'); c.close()\n"
    )
    number = free_port()
    with running([sys.executable, "-c", script, str(number)], tmp_path / "log"):
        wait_until_listening(number)
        yield number


@pytest.mark.parametrize("rate", [0.0, 50.0], ids=["closed", "open"])
def test_answers_that_are_not_the_expected_ones_are_failures(port: int, rate: float) -> None:
    seen = run(Plan(port, f"/{LIST}", connections=2, seconds=0.2, rate=rate))
    assert seen.answers == 0
    assert seen.failures > 0


def test_stream_that_ends_early_is_a_failure(port: int) -> None:
    seen = run(Plan(port, "/stream/1000", size=1000))
    assert (seen.answers, seen.failures) == (0, 1)


def test_table_puts_the_ratio_first() -> None:
    values = {"ours": [3.0, 2.0, 4.0], "theirs": [2.0, 2.0, 2.0]}
    lines = table(
        [
            ratio("speed", "1/s", values, ("ours", "theirs"), at_least(1)),
            added("time", "s", values, ("ours", "theirs")),
        ]
    )
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "speed 1.50 × theirs 1.00 – 2.00 ≥ 1 ok ours 3, theirs 2 1/s",  # noqa: RUF001
        "time +1.00 s over theirs +0.00 – +2.00 ours 3, theirs 2 s",  # noqa: RUF001
    ]
