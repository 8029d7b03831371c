"""Files that an admin writes in YAML: what they have, or one sentence with the line and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalablehub.errors import PublicError
from scalablehub.yaml_files import read_yaml


def refusal_of(file: Path) -> str:
    """Return the sentence that a file is refused with, the file itself as FILE."""
    with pytest.raises(PublicError) as refusal:
        read_yaml(file)
    return refusal.value.message.replace(str(file), "FILE")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: 1\nb: [", "FILE, line 2: not YAML: expected the node content, but found '<stream end>'."),
        (b"a: b: c", "FILE, line 1: not YAML: mapping values are not allowed here."),
        (b"a: *b", "FILE, line 1: not YAML: found undefined alias 'b'."),
        (b"a: \x00", "FILE: not YAML: special characters are not allowed."),
        (b"a: 2024-13-45", "FILE: not YAML: month must be in 1..12."),
        (b"- " * 1000, "FILE: not YAML: it is nested too deeply."),
        (b"\xff\xfe\x00", "FILE: is not a text file in UTF-8."),
        (
            b"!!python/object:os.system x",
            "FILE, line 1: not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'.",
        ),
        (b"a: 1\nb: 2\na: 3", "FILE, line 3: 'a' is there already, in line 1; keep one of them."),
        (b"a: {b: 1, b: 1}", "FILE, line 1: 'b' is there already, in this line; keep one of them."),
        (b"a: {'1': 1, \"1\": 1}", "FILE, line 1: '1' is there already, in this line; keep one of them."),
        (b"- a: 1\n  a: 1", "FILE, line 2: 'a' is there already, in line 1; keep one of them."),
        (b"a: {[1]: 2}", "FILE, line 1: not YAML: found unhashable key."),
    ],
    ids=repr,
)
def test_what_is_no_file_of_ours_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = tmp_path / "hub.yaml"
    file.write_bytes(content)
    assert refusal_of(file) == sentence


def test_a_file_that_is_absent_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert refusal_of(tmp_path / "absent") == "FILE: No such file or directory; give a readable file."


def test_a_folder_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert refusal_of(tmp_path) == "FILE: Is a directory; give a readable file."


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("", None),
        ("a: {b: [1, x, 2026-10-05.1]}", {"a": {"b": [1, "x", "2026-10-05.1"]}}),
        ("a: {b: 1}\nc: {b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
        # What is merged may be written over, and merged again.
        (
            "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, y: 3}\nd: {<<: [*a, *b], z: 1}",
            {
                "a": {"x": 1, "y": 1},
                "b": {"x": 1, "y": 2},
                "c": {"x": 1, "y": 3},
                "d": {"x": 1, "y": 1, "z": 1},
            },
        ),
    ],
)
def test_what_a_file_has_is_read(tmp_path: Path, content: str, value: object) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text(content)
    assert read_yaml(file) == value
