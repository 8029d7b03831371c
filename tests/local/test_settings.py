from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scalablehub.errors import PublicError
from scalablehub.local.settings import DEFAULT_FILE, load_settings
from tests.descriptions import written

PREFIXES = {"base": {"prefix": "/opt/base"}}
USERS = {"alice": {"groups": ["research"]}}


def refusal_of(file: Path) -> str:
    """Return the sentences that a file is refused with, the file itself as FILE."""
    with pytest.raises(PublicError) as refusal:
        load_settings(file)
    return refusal.value.message.replace(str(file), "FILE")


def write(folder: Path, content: bytes) -> Path:
    file = folder / "hub.yaml"
    file.write_bytes(content)
    return file


def hub(folder: Path, local: dict[str, Any], **sections: Any) -> Path:
    """Write the small description, with a part for one machine."""
    both = {"ScalableHub": written(**({"images": PREFIXES} | sections)), "LocalHub": local}
    return write(folder, yaml.safe_dump(both).encode())


def test_default_file_is_fine() -> None:
    settings = load_settings(DEFAULT_FILE)
    assert settings.local.users.keys() == {"alice", "bob", "admin"}
    assert settings.local.cull_after == 3600
    assert settings.local.sample_data in settings.description.buckets


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    local = load_settings(hub(tmp_path, {"users": {"alice": {}}})).local
    assert (local.users["alice"].groups, local.users["alice"].admin) == ((), False)
    assert (local.sample_data, local.cull_after) == (None, 3600)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "FILE: needs the sections ScalableHub and LocalHub."),
        (b"[ScalableHub]", "FILE: needs the sections ScalableHub and LocalHub."),
    ],
    ids=["empty", "list"],
)
def test_file_that_is_not_settings_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    assert refusal_of(write(tmp_path, content)) == sentence


def test_unknown_section_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    file = write(tmp_path, b"ScalableHub: {}\nLocal: {}\n1: {}\n")
    assert refusal_of(file).splitlines() == [
        "Local: unknown section; known: ScalableHub, LocalHub",
        "1: unknown section; known: ScalableHub, LocalHub",
    ]


@pytest.mark.parametrize(
    ("local", "sentence"),
    [
        ({}, "LocalHub.users: is missing"),
        ({"users": ["alice"]}, "LocalHub.users: ['alice'] is not a section; write keys and values below it"),
        (
            {"users": {"alice": None}},
            "LocalHub.users.alice: None is not a section; write keys and values below it",
        ),
        (
            {"users": {"Jane Doe": {}}},
            "LocalHub.users.Jane Doe: is not a user name; use small letters, digits and '._@+-', at most 63",
        ),
        (
            {"users": {"alice": {"grups": []}}},
            "LocalHub.users.alice.grups: unknown key; did you mean 'groups'?",
        ),
        (
            {"users": USERS, "sampledata": "vault"},
            "LocalHub.sampledata: unknown key; did you mean 'sample_data'?",
        ),
        (
            {"users": USERS, "cull_after": "soon"},
            "LocalHub.cull_after: 'soon' is not a duration; write '30m'",
        ),
        (
            {"users": USERS, "sample_data": "land"},
            "LocalHub.sample_data: 'land' is not in ScalableHub.buckets; known: scratch, vault",
        ),
        (
            {"users": USERS, "sample_data": "vault"},
            "LocalHub.sample_data: bucket 'vault' is not on this machine; "
            "give it the endpoint 'this-machine'",
        ),
    ],
    ids=[
        "no users",
        "list of users",
        "user without colon",
        "bad user name",
        "misspelt key of a user",
        "misspelt key",
        "duration",
        "sample data nowhere",
        "sample data elsewhere",
    ],
)
def test_part_for_one_machine_is_refused_in_a_sentence(
    tmp_path: Path, local: dict[str, Any], sentence: str
) -> None:
    assert refusal_of(hub(tmp_path, local)) == sentence


@pytest.mark.parametrize("name", ["alice", "a", "0", "alice@example.org", "a.b_c+d-e", "a" * 63])
def test_user_name_is_accepted(tmp_path: Path, name: str) -> None:
    assert load_settings(hub(tmp_path, {"users": {name: {}}})).local.users.keys() == {name}


@pytest.mark.parametrize("name", ["", "Alice", "..", "-a", "a/b", "a b", "a\n", "é", "a" * 64], ids=repr)
def test_user_name_that_no_home_can_have_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal_of(hub(tmp_path, {"users": {name: {}}})).startswith(f"LocalHub.users.{name}: ")


def test_nobody_to_sign_in_is_refused(tmp_path: Path) -> None:
    assert refusal_of(hub(tmp_path, {"users": {}})).startswith("LocalHub.users: {} does not fit: ")


@pytest.mark.parametrize("section", ["images", "interfaces"])
def test_hub_that_nobody_could_start_a_server_on_is_refused(tmp_path: Path, section: str) -> None:
    file = hub(tmp_path, {"users": USERS}, **({"images": PREFIXES, "dask": None} | {section: {}}))
    assert refusal_of(file) == f"ScalableHub.{section}: is empty; a hub needs at least one of them"


def test_hub_without_any_size_is_refused(tmp_path: Path) -> None:
    nodes = {"machine": {"cores": 2, "memory": "4G", "ladder": []}}
    file = hub(tmp_path, {"users": USERS}, images=PREFIXES, dask=None, sizes={}, nodes=nodes)
    assert refusal_of(file) == (
        "ScalableHub.sizes: is empty, and no node pool has a ladder of them; a hub needs at least one of them"
    )


def test_image_without_a_prefix_is_refused(tmp_path: Path) -> None:
    file = hub(tmp_path, {"users": USERS}, images={"base": {"image": "quay.io/hub/base:1"}})
    assert refusal_of(file) == (
        "ScalableHub.images.base.prefix: is missing; on one machine an image is a Python environment: "
        "write its folder, or 'this-environment'"
    )


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    file = hub(
        tmp_path, {"users": USERS, "sample_data": "land"}, images={"base": {"image": "base:1"}}, interfaces={}
    )
    assert [line.partition(":")[0] for line in refusal_of(file).splitlines()] == [
        "ScalableHub.interfaces",
        "ScalableHub.images.base.prefix",
        "LocalHub.sample_data",
    ]
