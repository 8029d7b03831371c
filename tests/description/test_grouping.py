from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.description import DescriptionError, load_description
from scalablehub.description.grouping import Grouping, claim, hub_groups
from tests.descriptions import anything

TABLE = {"lab:gpu": "gpu", "lab:*": "lab", "course-*": "{}-students", "Admins": "staff", "*@ex.org": "ex.org"}


def groups(raw: object, **words: Any) -> set[str]:
    return set(hub_groups(Grouping.model_validate({"table": TABLE} | words), raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (["lab:gpu"], {"gpu"}),  # a name in full goes before those with a '*'
        (["lab:other"], {"lab"}),
        (["course-101", "course-r"], {"101-students", "r-students"}),
        (["a@ex.org"], {"ex.org"}),
        (["ADMINS", "LAB:GPU"], {"staff", "gpu"}),
        (["nothing", "", "lab"], set()),
        ("lab:gpu", {"gpu"}),  # a text is one group, not the letters of it
        ("gpu", set()),
        ([{"name": "lab:gpu", "id": 4}, {"id": 5}], {"gpu"}),
        ({"name": "lab:gpu"}, {"gpu"}),
        (("lab:gpu",), {"gpu"}),
        ({"lab:gpu"}, {"gpu"}),
        (None, set()),
        (True, set()),
        (7, set()),
        ([None, 7, ["lab:gpu"]], set()),
        (["x" * 300, "lab:" + "y" * 300], set()),
        (["course-" + "y" * 80], set()),  # longer than a group of the hub may be
        (["course-a b", "course-\n"], set()),
        (["notmylab:gpu", "lab:gpu "], {"lab"}),
    ],
    ids=lambda value: repr(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_a_providers_groups_go_through_the_table(raw: object, expected: set[str]) -> None:
    assert groups(raw) == expected


def test_case_counts_where_the_admin_says_so() -> None:
    assert groups(["Admins", "LAB:GPU"], fold_case=False) == {"staff"}


def test_an_empty_table_takes_no_group() -> None:
    assert groups(["lab:gpu"], table={}) == set()


def test_every_group_is_taken_as_it_is_if_the_admin_wants_it() -> None:
    assert groups(["One", "two.three", "bad name"], table={"*": "{}"}, fold_case=False) == {
        "One",
        "two.three",
    }


def test_of_very_many_groups_the_first_count() -> None:
    assert len(groups([f"course-{n}" for n in range(5000)])) == 1000


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a*b*c": "x"}, "is not a name of a provider's group"),
        ({"a": "b c"}, "'b c' is not a name of a hub group"),
        ({"a": ""}, "'' is not a name of a hub group"),
        ({"a": "{}"}, "'a' has no '*' that '{}' could stand for"),
        ({"a*": "{}{}"}, "'{}{}' is not a name of a hub group"),
        ({"a\n": "b"}, "is not a name of a provider's group"),
    ],
    ids=str,
)
def test_a_line_that_says_nothing_is_refused_by_its_place(table: dict[str, str], words: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        load_description({"groups": {"table": table}})
    assert str(refused.value.problems[0]).startswith("ScalableHub.groups")
    assert words in refused.value.message


@given(anything, st.dictionaries(st.sampled_from(["a", "a*", "*"]), st.sampled_from(["x", "y"])))
def test_nobody_gets_a_group_that_the_table_does_not_name(raw: Any, table: dict[str, str]) -> None:
    assert groups(raw, table=table) <= set(table.values())


@given(st.text())
def test_what_is_inserted_makes_a_groups_name_or_nothing(name: str) -> None:
    for found in groups([name], table={"*": "{}"}):
        assert 0 < len(found) <= 63
        assert found.isascii()
        assert not set(found) & set(" \n\t{}*\\\"'")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("groups", ["a"]),
        ("user.groups", ["b"]),
        ("user.realm_access.roles", ["c"]),
        ("user.https://ex.org/groups", ["d"]),
        ("user.https://ex.org/app.roles", ["e"]),
        ("user.nothing", None),
        ("user.groups.more", None),
        ("", None),
        (".", None),
    ],
)
def test_a_claim_is_found_by_its_path(path: str, found: object) -> None:
    user = {
        "groups": ["b"],
        "realm_access": {"roles": ["c"]},
        "https://ex.org/groups": ["d"],
        "https://ex.org/app": {"roles": ["e"]},
    }
    assert claim({"groups": ["a"], "user": user}, path) == found
