from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scalablehub.decisions import DirectoryChoice, State
from scalablehub.local.sharing import link_directories


def choice(path: Path, *, is_open: bool = True, **words: Any) -> DirectoryChoice:
    given: dict[str, Any] = {"claim": None, "mount": "/home/jovyan/shared", "folder": None, "writable": False}
    state = State.OPEN if is_open else State.HIDDEN
    return DirectoryChoice("shared", "Shared", "", state, "why", "where", path=str(path), **given | words)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data" / "part").mkdir(parents=True)
    (tmp_path / "data" / "part" / "file").write_text("shared")
    home = tmp_path / "home"
    home.mkdir()
    return home


def linked(home: Path, *directories: DirectoryChoice) -> list[str]:
    warnings: list[str] = []
    link_directories(home, directories, warnings.append)
    return warnings


def test_a_folder_that_is_the_users_is_in_their_home(home: Path, tmp_path: Path) -> None:
    assert linked(home, choice(tmp_path / "data", folder="part")) == []
    assert (home / "shared" / "file").read_text() == "shared"


def test_it_is_linked_once(home: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert linked(home, choice(tmp_path / "data")) == []
    assert [path.name for path in home.iterdir()] == ["shared"]


def test_who_may_not_have_it_any_more_loses_the_link_and_nothing_else(home: Path, tmp_path: Path) -> None:
    linked(home, choice(tmp_path / "data"))
    assert linked(home, choice(tmp_path / "data", is_open=False)) == []
    assert list(home.iterdir()) == []
    assert (tmp_path / "data" / "part" / "file").exists()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
@pytest.mark.parametrize("is_open", [True, False])
def test_what_is_the_users_own_stays(home: Path, tmp_path: Path, make: Any, is_open: bool) -> None:
    make(home / "shared")
    warnings = linked(home, choice(tmp_path / "data", is_open=is_open))
    assert not (home / "shared").is_symlink()
    assert bool(warnings) is is_open


def test_a_link_of_the_users_own_stays(home: Path, tmp_path: Path) -> None:
    (home / "shared").symlink_to(tmp_path)
    for is_open in (True, False):
        linked(home, choice(tmp_path / "data", is_open=is_open))
    assert (home / "shared").readlink() == tmp_path


def test_a_home_that_takes_no_link_is_told_and_fails_nothing(tmp_path: Path) -> None:
    (warning,) = linked(tmp_path / "nowhere", choice(tmp_path))
    assert warning == "shared is not linked in nowhere: No such file or directory"


def test_a_folder_of_kubernetes_is_none_of_this_machine(home: Path) -> None:
    directory = choice(Path("/"))
    assert linked(home, DirectoryChoice(**{**directory.__dict__, "path": None, "claim": "x"})) == []
    assert list(home.iterdir()) == []
