from __future__ import annotations

from typing import Any

import pytest
from kubespawner import KubeSpawner

from scalablehub.moving import Profile, locate, read_profiles, ways_of
from scalablehub.moving.losses import Losses
from scalablehub.moving.profiles import MOST_WAYS, clean, slug_of
from tests.moving.old_hubs import choice, own, profile, with_profiles

LIST = "singleuser.profileList"


def read(*profiles: Any) -> tuple[tuple[Profile, ...], dict[str, str]]:
    losses = Losses()
    return read_profiles(locate(with_profiles(*profiles)), losses), dict(losses.all())


def test_profiles_have_the_names_that_kubespawner_gives_them() -> None:
    profiles = [profile("Large (16 GB)"), profile("Small") | {"slug": "s"}]
    stock = KubeSpawner._get_initialized_profile_list(None, profiles)
    assert [found.layer.name for found in read(*profiles)[0]] == [found["slug"] for found in stock]


def test_profiles_by_name_come_in_the_order_of_their_keys() -> None:
    losses = Losses()
    values = {"singleuser": {"profileList": {"b": profile("One"), "a": profile("Two")}}}
    found = read_profiles(locate(values), losses)
    assert [one.layer.display_name for one in found] == ["Two", "One"]


def test_the_default_profile_and_the_default_choice_come_first() -> None:
    options = {"image": {"choices": {"p": choice(), "q": choice() | {"default": True}}}}
    profiles = profile("One"), profile("Two", options) | {"default": True}
    (first, *_) = ways_of(read(*profiles)[0], Losses())
    assert first.options == {"profile": "two", "image": "q"}


def test_a_way_is_a_profile_with_a_choice_of_each_option() -> None:
    options = {
        "image": {"choices": {"p": choice(), "q": choice()}} | own("^x$"),
        "size": {"choices": {"s": choice()}},
    }
    ways = ways_of(read(profile("One", options))[0], Losses())
    assert [way.options for way in ways] == [
        {"profile": "one", "image": image, "size": "s"} for image in ("p", "q", "")
    ]


@pytest.mark.parametrize(
    ("of_profile", "of_choice", "groups", "is_open"),
    [
        (None, None, [], True),
        (["a"], None, ["a"], True),
        (["a"], None, ["b"], False),
        (["a"], ["b"], ["a"], False),
        (["a"], ["b"], ["a", "b"], True),
        (["a", "b"], ["b"], ["b"], True),
        ([], None, ["a"], False),
    ],
)
def test_a_way_is_open_to_those_whom_all_of_its_layers_allow(
    of_profile: Any, of_choice: Any, groups: list[str], is_open: bool
) -> None:
    (way,) = ways_of(
        read(profile("One", {"i": {"choices": {"p": choice(of_choice)}}}, of_profile))[0], Losses()
    )
    assert way.is_open_to(frozenset(groups)) is is_open


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ({"allowed_teams": ["org:gpu"]}, {"org:gpu"}),
        ({"allowed_groups": ["a"], "allowed_teams": ["b"]}, set()),
        ({"users": ["ann"]}, set()),
        ({"access": "yaml", "groups": ["a"]}, set()),
        ({"allowed_groups": "a"}, set()),
        ({"allowed_groups": [1]}, set()),
        ({"allowed_groups": None}, None),
        ({"banner": "users"}, None),
    ],
)
def test_what_another_hub_has_for_who_may_have_it_opens_nothing(words: Any, groups: set[str] | None) -> None:
    profiles, listed = read(profile("One") | words)
    assert profiles[0].layer.groups == groups
    assert listed or groups is None


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ("text", LIST),
        (["text"], f"{LIST}[0]"),
        ([{"profile_options": []}], f"{LIST}[0].profile_options"),
        ([{"profile_options": {"image": []}}], f"{LIST}[0].profile_options.image"),
        ([{"profile_options": {"i": {"choices": {"p": 1}}}}], f"{LIST}[0].profile_options.i.choices.p"),
        ([{"profile_options": {"i": {"dynamic": {}}}}], f"{LIST}[0].profile_options.i.dynamic"),
        ([{"kubespawner_override": 1}], f"{LIST}[0].kubespawner_override"),
        ([{"banner": 1}], f"{LIST}[0].banner"),
    ],
)
def test_what_is_no_profile_is_listed_with_its_place(found: Any, place: str) -> None:
    losses = Losses()
    read_profiles(locate({"singleuser": {"profileList": found}}), losses)
    assert [loss.place for loss in losses.all()] == [place]


def test_combinations_beyond_count_are_not_looked_at_and_that_is_listed() -> None:
    choices = {"choices": {str(number): choice() for number in range(20)}}
    losses = Losses()
    found = read_profiles(locate(with_profiles(profile("One", dict.fromkeys("abc", choices)))), losses)
    assert len(list(ways_of(found, losses))) == MOST_WAYS
    assert losses.all()[0].place == f"{LIST}[0]"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<b>A</b>\n&amp; B", "A & B"),
        (7, "7"),
        (None, ""),
        (True, ""),
        ("a\u202eb", "a b"),
        ("x" * 999, "x" * 300),
    ],
)
def test_words_for_people_are_one_plain_line(text: Any, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "name"), [("Mem_3.7", "mem-3-7"), ("É", ""), ("--", ""), ("x" * 60, "x" * 40)]
)
def test_names_are_made_of_what_a_description_takes(text: str, name: str) -> None:
    assert slug_of(text) == name
