"""A Kubernetes cluster that is not ours: how images get there, and what is said where something cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster, ClusterError, Elsewhere, write_image
from tests.kubernetes.cluster.elsewhere import VARIABLE, Forwarding, Loader
from tests.kubernetes.cluster.images import described
from tests.stack import until

NAME = "localhost/elsewhere-tests:1"
PROJECT = Path(__file__).parents[2]
# Stands for kubectl, of which only the processes are looked at here; tests of the hub use the real one.
KUBECTL = """#!/usr/bin/env python3
import http.server, os, pathlib, sys
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
here = int(sys.argv[3].split(":")[0])
http.server.HTTPServer(("127.0.0.1", here), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "image.tar"
    write_image(path, NAME, {"/etc/word": b"kept"}, {"User": "1000"})
    return path


def test_an_image_is_brought_by_the_command(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"cp {{tar}} '{tmp_path}/a node.tar'")
    assert Loader().load(tar, NAME) is True
    assert described(tmp_path / "a node.tar") == described(tar)


def test_another_name_is_written_into_a_copy(
    tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"cp {{tar}} {tmp_path}/node.tar")
    Loader().load(tar, "localhost/newer:2")
    assert described(tmp_path / "node.tar") == (described(tar)[0], "localhost/newer:2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "node.tar"]


def test_it_is_brought_once_until_it_changes(tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "test -s {tar}")
    loader = Loader()
    loader.load(tar, NAME)
    assert loader.load(tar, NAME) is False
    write_image(tar, NAME, {"/etc/word": b"changed"})
    assert loader.load(tar, NAME) is True


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("kind load image-archive", "write {tar} where the archive's path belongs"),
        ("not-installed {tar}", f"^{VARIABLE}: not-installed cannot be run: No such file or directory.$"),
        ("ls --no-such-option {tar}", f"^{VARIABLE}: 'ls --no-such-option .*' failed: "),
    ],
)
def test_a_command_that_does_not_work_is_named(
    command: str, sentence: str, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, command)
    with pytest.raises(ClusterError, match=sentence) as caught:
        Loader().load(tar, NAME)
    assert not isinstance(caught.value, Elsewhere)


def test_without_a_command_it_cannot_be(tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(Elsewhere, match=f"{VARIABLE} does not say how they get into the cluster"):
        Loader().load(tar, NAME)


def test_parts_of_it_are_left_alone() -> None:
    with pytest.raises(
        Elsewhere, match="Its kubelet is not stopped: the cluster of KUBECONFIG runs elsewhere"
    ):
        Cluster(Path("kubeconfig"), Path("kubectl")).kill_kubelet()


def test_a_way_to_a_service_is_made_anew_when_it_ends(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    forwarding = Forwarding([str(program)])
    try:
        way = forwarding("hub", "proxy-public", 80)
        first = int((tmp_path / "pid").read_text())
        os.kill(first, 9)
        until(lambda: int((tmp_path / "pid").read_text() or first) != first, "another process", 30)
        assert forwarding("hub", "proxy-public", 80) == way
    finally:
        forwarding.close()
    assert not _is_alive(int((tmp_path / "pid").read_text()))


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


NEEDING = """
import pytest
from tests.kubernetes.cluster import Elsewhere, Unsupported

@pytest.fixture(scope="session")
def elsewhere():
    raise Elsewhere("It is elsewhere.")

@pytest.fixture(scope="session")
def unsupported():
    raise Unsupported("This machine cannot.")

def test_fixture(elsewhere): ...
def test_itself():
    raise Elsewhere("It is elsewhere.")
def test_unsupported(unsupported): ...
"""


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", "3 skipped"), ("true", "2 skipped, 1 error")], ids=["at a desk", "on CI"]
)
def test_only_what_this_machine_cannot_do_fails_on_ci(ci: str, outcome: str) -> None:
    # Beside the others, for their conftest.py.
    file = PROJECT / "tests" / "kubernetes" / f"test_needing_{os.getpid()}.py"
    file.write_text(NEEDING)
    try:
        done = subprocess.run(
            [*(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"), str(file)],
            cwd=PROJECT,
            env=os.environ | {"CI": ci},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.unlink()
    assert outcome in done.stdout, done.stdout
    assert "It is elsewhere." in done.stdout
    assert "This machine cannot." in done.stdout
