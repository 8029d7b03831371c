from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from scalablehub.errors import PublicError
from scalablehub.images import Asked, Tool, choose_tool, run_in_image, running
from scalablehub.images.running import command_for

ASKED = Asked(packages=("dask",), modules=(), commands=())
ARGUMENT = '{"packages":["dask"],"modules":[],"commands":[]}'


@pytest.mark.parametrize("tool", [Tool.DOCKER, Tool.PODMAN])
def test_container_is_removed_and_its_own_start_is_left_out(tool: Tool) -> None:
    assert command_for("base:1", tool, ASKED) == [
        *(tool, "run", "--rm", "--interactive", "--entrypoint", "python3", "base:1", "-", ARGUMENT)
    ]


def test_pod_fits_a_restricted_namespace_and_is_removed() -> None:
    command = command_for("base:1", Tool.KUBECTL, ASKED)
    assert command[:2] == ["kubectl", "run"]
    assert {"--image=base:1", "--restart=Never", "--rm", "--stdin", "--quiet"} < set(command)
    assert command[-5:] == ["--command", "--", "python3", "-", ARGUMENT]
    (overrides,) = (part.partition("=")[2] for part in command if part.startswith("--overrides="))
    assert json.loads(overrides)["spec"] == {
        "securityContext": {
            "runAsUser": 1000,
            "runAsNonRoot": True,
            "fsGroup": 100,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": command[2],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


@pytest.mark.parametrize(
    ("working", "chosen"),
    [({"docker", "kubectl"}, "docker"), ({"podman", "kubectl"}, "podman"), ({"kubectl"}, "kubectl")],
)
def test_first_tool_that_works_is_chosen(working: set[str], chosen: str) -> None:
    assert choose_tool(lambda tool: tool in working) == chosen


def test_no_tool_is_a_sentence() -> None:
    with pytest.raises(PublicError) as error:
        choose_tool(lambda tool: False)
    assert error.value.message == (
        "An image is looked at by running it, and none of docker, podman and kubectl works here. "
        "Start docker or podman, or sign kubectl in to a cluster where you may create pods."
    )


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, name: str = "podman") -> None:
    """Put a program in the place of podman, or of another."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_report_comes_from_the_python_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, f'shift 5; test "$1" = base:1; shift; exec {sys.executable} "$@"', monkeypatch)
    assert run_in_image("base:1", Tool.PODMAN, ASKED).packages.keys() == {"dask"}


def test_image_that_does_not_run_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "echo trying >&2; echo 'Error: no such image' >&2; exit 125", monkeypatch)
    with pytest.raises(PublicError) as error:
        run_in_image("base:1", Tool.PODMAN, ASKED)
    assert error.value.message == "'base:1' could not be run with podman: 'Error: no such image'"


def test_words_of_an_image_in_another_encoding_are_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "printf 'caf\\351\\n' >&2; exit 1", monkeypatch)
    with pytest.raises(PublicError, match="could not be run with podman: 'caf\N{REPLACEMENT CHARACTER}'"):
        run_in_image("base:1", Tool.PODMAN, ASKED)


def test_a_tool_that_cannot_be_run_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "", monkeypatch)
    (tmp_path / "podman").write_bytes(b"\x7fELF")
    with pytest.raises(PublicError, match=r"^podman cannot be run: "):
        run_in_image("base:1", Tool.PODMAN, ASKED)


# `kubectl run` waits, `kubectl get` tells of its pod, and `kubectl delete` notes what it deletes.
KUBECTL = """
case "$1" in
    run) echo "$2" > FOLDER/pod; exec sleep 60;;
    get) echo 'ANSWER';;
    delete) echo "$3" > FOLDER/deleted;;
esac
"""


@pytest.mark.parametrize(
    ("state", "patience", "words"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}},
            60,
            "cannot be pulled: 'no such tag'",
        ),
        ({"waiting": {"reason": "ErrImagePull"}}, 0.2, "gave no report within 0 minutes"),
        ({"running": {}}, 0.2, "gave no report within 0 minutes"),
        (None, 0.2, "gave no report within 0 minutes"),
    ],
    ids=["not there", "once more", "runs", "no pod yet"],
)
def test_a_pod_that_gives_no_report_is_told_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Any, patience: float, words: str
) -> None:
    monkeypatch.setattr(running, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(running, "PULL_SECONDS", patience)
    answer = json.dumps({"status": {"containerStatuses": [{"state": state}]} if state else {}})
    script = KUBECTL.replace("FOLDER", str(tmp_path)).replace("ANSWER", answer)
    stand_in(tmp_path, script, monkeypatch, "kubectl")
    with pytest.raises(PublicError, match=words):
        run_in_image("base:1", Tool.KUBECTL, ASKED)
    assert (tmp_path / "deleted").read_text() == (tmp_path / "pod").read_text()


def test_tool_that_is_not_installed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PublicError, match=r"^podman is not installed; choose another with --using\.$"):
        run_in_image("base:1", Tool.PODMAN, ASKED)
