from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scalablehub.pods import choice_labels, user_annotations, user_labels

USERNAME, SERVERNAME = "hub.jupyter.org/username", "hub.jupyter.org/servername"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
anyone = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("user", "label"),
    [
        ("jo", "jo"),
        ("john", "john"),
        ("jane.doe", "jane.doe"),
        ("jane.doe@ex.org", "jane-doe-ex-org---d5488386"),
        ("Jane", "Jane"),
        ("a--b", "a-b---90827a2e"),
        ("żółw", "w---f36b8110"),
        ("-x-", "x---c6cf95e5"),
        ("a" * 63, "a" * 63),
        ("a" * 64, "a" * 21 + "---ffe054fe"),
    ],
)
def test_a_user_has_a_label_that_people_can_still_read(user: str, label: str) -> None:
    assert user_labels(user) == {USERNAME: label, SERVERNAME: ""}


def test_a_named_server_has_a_label_of_its_own() -> None:
    assert user_labels("jo", "gpu") == {USERNAME: "jo", SERVERNAME: "gpu"}


@given(anyone, anyone)
@example("\u017fmith", "k\u212ag")
@example("jo\n", "jo ")
def test_any_name_makes_a_valid_label(user: str, server: str) -> None:
    assert all(LABEL_VALUE.fullmatch(value) for value in user_labels(user, server).values())


@given(anyone, anyone)
@example("jo", "jo--")
@example("jane.doe@ex.org", "jane-doe-ex-org---d5488386")
def test_distinct_users_have_distinct_labels(one: str, other: str) -> None:
    assume(one != other)
    assert user_labels(one) != user_labels(other)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("", {USERNAME: "jane.doe@ex.org"}),
        ("two", {USERNAME: "jane.doe@ex.org", SERVERNAME: "two"}),
    ],
)
def test_annotations_have_the_names_as_they_are(server: str, expected: dict[str, str]) -> None:
    assert user_annotations("jane.doe@ex.org", server) == expected


def test_what_was_chosen_stands_beside_the_descriptions_own_labels() -> None:
    assert choice_labels({"cost-center": "geo"}, size="small", node_pool="standard", interface="") == {
        "cost-center": "geo",
        "scalablehub/size": "small",
        "scalablehub/node-pool": "standard",
    }


def test_a_label_of_the_description_does_not_hide_what_was_chosen() -> None:
    assert choice_labels({"scalablehub/size": "other"}, size="small") == {"scalablehub/size": "small"}
