from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from scalablehub.errors import PublicError
from scalablehub.local.layout import Layout, default_folder, write_private

FOLDERS = ["hub", "homes", "store", "logs", "logs/servers", "logs/clusters", "run"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def created(root: Path) -> Layout:
    layout = Layout(root)
    layout.create()
    return layout


def content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_default_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "scalablehub"


@pytest.mark.parametrize("name", ["", *FOLDERS])
def test_folder_is_for_its_owner_only(tmp_path: Path, name: str) -> None:
    assert mode(created(tmp_path / "data").root / name) == 0o700


def test_everything_is_below_the_root(tmp_path: Path) -> None:
    created(tmp_path / "data")
    assert content(tmp_path) == {
        "data",
        "data/.scalablehub",
        *(f"data/{name}" for name in FOLDERS),
    }


def test_folders_that_are_there_keep_what_is_in_them(tmp_path: Path) -> None:
    layout = created(tmp_path)
    (layout.homes / "alice").mkdir()
    layout.create()
    assert (layout.homes / "alice").is_dir()


def test_folder_below_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublicError) as refusal:
        Layout(tmp_path / "file" / "data").create()
    assert refusal.value.message == (
        f"{tmp_path}/file/data: Not a directory; choose another folder with --data-dir."
    )


def test_secrets_are_made_once(tmp_path: Path) -> None:
    assert Layout(tmp_path).secrets() == Layout(tmp_path).secrets()


def test_secrets_of_two_hubs_differ_in_each(tmp_path: Path) -> None:
    one, two = (asdict(created(tmp_path / name).secrets()) for name in ("one", "two"))
    assert not set(one.values()) & set(two.values())
    assert len(set(one.values())) == 9


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    Layout(tmp_path).secrets()
    assert content(tmp_path) == {"secrets.json"}
    assert mode(tmp_path / "secrets.json") == 0o600


def test_passwords_are_as_long_as_jupyterhub_asks_and_easy_to_read(tmp_path: Path) -> None:
    secrets = Layout(tmp_path).secrets()
    assert (len(secrets.user_password), len(secrets.admin_password)) == (14, 34)
    assert not set("ilo") & set(secrets.user_password + secrets.admin_password)


def test_key_of_the_database_is_32_bytes(tmp_path: Path) -> None:
    assert len(base64.b64decode(Layout(tmp_path).secrets().gateway_db_key)) == 32


@pytest.mark.parametrize(
    "damage",
    [
        lambda secrets: "",
        lambda secrets: json.dumps(secrets)[:40],
        lambda secrets: "null",
        lambda secrets: json.dumps(list(secrets)),
        lambda secrets: json.dumps(secrets | {"user_password": None}),
        lambda secrets: json.dumps(secrets | {"admin_password": ""}),
    ],
    ids=["empty", "cut", "null", "list", "not a text", "an empty one"],
)
def test_damaged_secrets_are_made_anew(tmp_path: Path, damage: Callable[[dict[str, str]], str]) -> None:
    before = asdict(Layout(tmp_path).secrets())
    (tmp_path / "secrets.json").write_text(damage(before))
    after = asdict(Layout(tmp_path).secrets())
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert asdict(Layout(tmp_path).secrets()) == after


def test_what_another_version_did_not_have_is_added_to_its_secrets(tmp_path: Path) -> None:
    before = asdict(Layout(tmp_path).secrets())
    earlier = {name: value for name, value in before.items() if name != "service_token"} | {"gone": "old"}
    (tmp_path / "secrets.json").write_text(json.dumps(earlier))
    after = asdict(Layout(tmp_path).secrets())
    assert after == before | {"service_token": after["service_token"]}
    assert after["service_token"] != before["service_token"]
    assert asdict(Layout(tmp_path).secrets()) == after


def test_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a long one, which anybody can read")
    file.chmod(0o644)
    write_private(file, "short")
    assert (file.read_text(), mode(file)) == ("short", 0o600)
    assert content(tmp_path) == {"file"}


def test_private_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_private(tmp_path / "file", "text")
    assert content(tmp_path) == {"file"}


def test_reset_removes_everything_that_was_kept(tmp_path: Path) -> None:
    layout = created(tmp_path / "data")
    (layout.homes / "alice").mkdir()
    layout.reset()
    assert content(tmp_path) == set()


def test_reset_of_nothing_is_well(tmp_path: Path) -> None:
    Layout(tmp_path / "absent").reset()
    assert content(tmp_path) == set()


def test_reset_refuses_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PublicError) as refusal:
        Layout(tmp_path).reset()
    assert refusal.value.message == (
        f"{tmp_path}: neither empty nor a folder that scalablehub made, so it is left alone; "
        "choose another folder with --data-dir."
    )
    assert content(tmp_path) == {"thesis.tex"}


def test_reset_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PublicError, match="neither empty nor a folder that scalablehub made"):
        Layout(tmp_path / "thesis.tex").reset()
    assert content(tmp_path) == {"thesis.tex"}


def test_reset_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    layout = created(tmp_path / "data")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "thesis.tex").touch()
    (layout.homes / "link").symlink_to(tmp_path / "outside")
    layout.reset()
    assert content(tmp_path) == {"outside", "outside/thesis.tex"}
