from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scalablehub.dask.commands import Part, command_in_image, command_in_prefix, options_of

PARTS: list[Part] = ["scheduler", "worker"]


def program(folder: Path, name: str, answer: str) -> None:
    """Have a program that says what it is called with."""
    file = folder / name
    file.write_text(f"#!/bin/sh\nprintf '%s\\n' {answer} \"$@\"; exit 3\n")
    file.chmod(0o755)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("programs", "runs"),
    [
        (("dask",), ["dask", "{part}"]),
        (("dask-scheduler", "dask-worker"), ["dask-{part}"]),
        (("dask", "dask-scheduler", "dask-worker"), ["dask", "{part}"]),
    ],
    ids=["new", "old", "both"],
)
def test_an_image_of_every_age_runs_its_own_command(
    part: Part, programs: tuple[str, ...], runs: list[str], tmp_path: Path
) -> None:
    for name in programs:
        program(tmp_path, name, name)
    command = [*command_in_image(part), "--host", "a b", "$HOME"]
    done = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    expected = [*(word.format(part=part) for word in runs), *options_of(part), "--host", "a b", "$HOME"]
    assert done.stdout.splitlines() == expected
    assert (done.returncode, done.stderr) == (3, "")


def test_an_image_without_dask_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        command_in_image("worker"), env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "dask-worker: not found" in done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_kubernetes_expands_nothing_of_a_command(part: Part) -> None:
    assert not any("$(" in word or "$$" in word for word in command_in_image(part))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("programs", "module"),
    [
        ((), ["dask", "{part}"]),
        (("dask",), ["dask", "{part}"]),
        (("dask-scheduler", "dask-worker"), ["distributed.cli.dask_{part}"]),
        (("dask", "dask-scheduler", "dask-worker"), ["dask", "{part}"]),
    ],
    ids=["nothing", "new", "old", "both"],
)
def test_an_environment_of_every_age_runs_its_own_command(
    part: Part, programs: tuple[str, ...], module: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in programs:
        program(tmp_path / "bin", name, name)
    words = [word.format(part=part) for word in module]
    assert command_in_prefix(part, tmp_path) == [f"{tmp_path}/bin/python", "-m", *words, *options_of(part)]


@pytest.mark.parametrize("part", PARTS)
def test_the_dask_that_is_here_takes_the_command(part: Part) -> None:
    command = [*command_in_prefix(part, Path(sys.prefix)), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--preload" in said
