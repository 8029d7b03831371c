from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from scalablehub.local.machine import find_lacks, locate_images, measure_machine
from tests.descriptions import described

HAS_ALL = "print()"
HAS_NOT = "print(*sys.argv[3:])"
FAILS = "sys.exit(1)"


def program(path: Path, code: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -S\nimport sys\n{code}\n")
    path.chmod(0o755)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A fake environment that can start servers, whose Python has every package."""
    program(tmp_path / "prefix" / "bin" / "jupyterhub-singleuser")
    program(tmp_path / "prefix" / "bin" / "python", HAS_ALL)
    return tmp_path / "prefix"


def lacks_of(prefix: Path, lab: dict[str, Any] | None = None) -> dict[str, str]:
    """Return what is lacking of a hub with one environment and one interface."""
    return find_lacks(
        described(images={"base": {"prefix": str(prefix)}}, interfaces={"lab": {"url": "/lab"} | (lab or {})})
    )


def test_environment_with_all_that_is_needed_lacks_nothing(prefix: Path) -> None:
    program(prefix / "bin" / "rserver")
    assert lacks_of(prefix, {"packages": ["jupyterlab"], "commands": ["rserver"]}) == {}


def test_environment_whose_folder_begins_elsewhere_is_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/admin")
    written = {"near": {"prefix": "envs/geo"}, "home": {"prefix": "~/geo"}, "far": {"prefix": "/opt/geo"}}
    found = locate_images(described(images=written)).images
    assert {name: image.prefix for name, image in found.items()} == {
        "near": f"{tmp_path}/envs/geo",
        "home": "/home/admin/geo",
        "far": "/opt/geo",
    }


@pytest.mark.parametrize("name", ["jupyterhub-singleuser", "python"])
def test_environment_without_a_program_that_servers_need_is_lacking(prefix: Path, name: str) -> None:
    (prefix / "bin" / name).unlink()
    assert lacks_of(prefix, {"packages": ["jupyterlab"]}) == {
        "images.base": f"There is no {name} in {prefix}."
    }


def test_environment_that_is_absent_is_lacking(tmp_path: Path) -> None:
    assert lacks_of(tmp_path / "absent") == {
        "images.base": f"There is no jupyterhub-singleuser in {tmp_path}/absent."
    }


def test_program_that_cannot_be_run_is_none(prefix: Path) -> None:
    (prefix / "bin" / "jupyterhub-singleuser").chmod(0o644)
    assert lacks_of(prefix) == {"images.base": f"There is no jupyterhub-singleuser in {prefix}."}


def test_interface_without_its_command_is_lacking(prefix: Path) -> None:
    assert lacks_of(prefix, {"commands": ["no-such-server"]}) == {
        "interfaces.lab": "Not on this machine: no-such-server is not installed."
    }


def test_command_on_the_path_is_there(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "elsewhere" / "rserver")
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"), prepend=os.pathsep)
    assert lacks_of(prefix, {"commands": ["rserver"]}) == {}


def test_interface_without_its_package_is_lacking(prefix: Path) -> None:
    program(prefix / "bin" / "python", HAS_NOT)
    assert lacks_of(prefix, {"packages": ["jupyterlab", "notebook"]}) == {
        "interfaces.lab": "Not on this machine: jupyterlab is not installed."
    }


@pytest.mark.parametrize("code", [FAILS, "raise SystemError"], ids=["exits", "raises"])
def test_python_that_fails_has_no_packages(prefix: Path, code: str) -> None:
    program(prefix / "bin" / "python", code)
    assert lacks_of(prefix, {"packages": ["jupyterlab"]}) == {
        "interfaces.lab": "Not on this machine: jupyterlab is not installed."
    }


def test_python_that_cannot_begin_has_no_packages(prefix: Path) -> None:
    (prefix / "bin" / "python").write_text("#!/no/such/interpreter\n")
    assert lacks_of(prefix, {"packages": ["jupyterlab"]}) == {
        "interfaces.lab": "Not on this machine: jupyterlab is not installed."
    }


def test_python_is_not_asked_when_no_package_is_needed(prefix: Path) -> None:
    program(prefix / "bin" / "python", FAILS)
    assert lacks_of(prefix) == {}


def test_packages_of_this_environment_are_found() -> None:
    assert lacks_of(Path(sys.prefix), {"packages": ["psutil"]}) == {}
    assert lacks_of(Path(sys.prefix), {"packages": ["no_such_package"]}) == {
        "interfaces.lab": "Not on this machine: no_such_package is not installed."
    }


def test_environment_that_does_not_have_an_interface_does_not_count_for_it(prefix: Path) -> None:
    program(prefix / "bin" / "python", HAS_NOT)
    description = described(
        images={
            "geo": {"prefix": str(prefix), "interfaces": ["lab"]},
            "here": {"prefix": sys.prefix, "interfaces": ["rstudio"]},
        },
        interfaces={"lab": {"url": "/lab"}, "rstudio": {"url": "/rstudio", "packages": ["psutil"]}},
    )
    assert find_lacks(description) == {}


def test_this_environment_is_located() -> None:
    images = {"here": {"prefix": "this-environment"}, "geo": {"prefix": "/opt/geo"}}
    located = locate_images(described(images=images)).images
    assert {name: image.prefix for name, image in located.items()} == {"here": sys.prefix, "geo": "/opt/geo"}


def test_machine_has_what_its_processes_may_use() -> None:
    measured = measure_machine()
    assert 1 <= measured.cores <= (os.cpu_count() or 1)
    assert measured.memory == psutil.virtual_memory().total
