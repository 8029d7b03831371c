"""The program that runs in images, run here; and what is made of what it prints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from scalablehub.errors import PublicError
from scalablehub.images.probing import Asked, Report, probe_program, read_report
from tests.images.reports import report


def run_here(asked: Asked, **environment: str) -> Report:
    command = [sys.executable, "-", asked.argument]
    done = subprocess.run(
        command,
        input=probe_program(),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return read_report(done.stdout)


def test_program_says_what_this_environment_has(tmp_path: Path) -> None:
    folder = str(Path(sys.executable).parent)
    asked = Asked(
        packages=("jupyterhub", "absent"), modules=("tornado", "absent"), commands=("python", "absent")
    )
    said = run_here(asked, PATH=folder, HOME=str(tmp_path))
    assert said.python == ".".join(map(str, sys.version_info[:3]))
    assert said.packages == {"jupyterhub": version("jupyterhub"), "absent": None}
    assert said.modules == {"tornado": True, "absent": False}
    assert said.commands == {"python": shutil.which("python", path=folder), "absent": None}
    assert "python3" in said.kernels
    assert (said.home, said.home_writable) == (str(tmp_path), True)
    assert said.tls_needs_cure is not None


def test_home_that_is_not_there_is_not_writable() -> None:
    assert run_here(Asked(), HOME="/absent").home_writable is False


def test_asks_for_each_name_once() -> None:
    asked = Asked(modules=("a",), commands=("b",)).also(["a", "c"], ["b", "d"])
    assert (asked.modules, asked.commands) == (("a", "c"), ("b", "d"))


def test_report_is_found_after_what_an_image_prints_when_it_starts() -> None:
    line = "scalablehub-report " + json.dumps(report().model_dump(mode="json"))
    assert read_report(f"Activating the environment …\n{line}\npod deleted\n") == report()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "The image ran, but gave no report; it said nothing."),
        ("Welcome\nbye\n", "The image ran, but gave no report; it said 'bye'."),
        ("scalablehub-report {", "The image ran, but gave no report; it said 'scalablehub-report {'."),
        ("scalablehub-report {}", "The image ran, but gave no report; it said 'scalablehub-report {}'."),
        ("scalablehub-report [1]", "The image ran, but gave no report; it said 'scalablehub-report [1]'."),
    ],
)
def test_output_without_a_report_is_shown(output: str, words: str) -> None:
    with pytest.raises(PublicError) as error:
        read_report(output)
    assert error.value.message == words
