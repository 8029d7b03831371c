from __future__ import annotations

from typing import Any

import pytest

from scalablehub.decisions import User
from scalablehub.description import load_description, resolve
from scalablehub.moving import describe, locate
from scalablehub.moving.comparing import View, compare, difference, examples, old_ways
from tests.moving.old_hubs import FILES, choice, own, profile, values_of, with_profiles

ANN = User("ann")


def view(values: Any, user: User = ANN, **over: Any) -> View:
    """Return what changes with the description that is made of the values, and words put over it."""
    hub = locate(values)
    made = describe(hub).description
    for section, entries in over.items():
        for name, words in entries.items():
            made[section][name] = made[section].get(name, {}) | words
    return compare(old_ways(hub), resolve(load_description(made)), user)


def states(found: View) -> dict[str, str]:
    return {f"{change.kind} {change.name}": change.state for change in found.changes}


def test_what_was_carried_is_the_same() -> None:
    options = {"i": {"choices": {"p": choice(image="x/p:1")}} | own("^y/.+$")}
    assert set(states(view(with_profiles(profile("One", options)))).values()) == {"same"}


def test_other_figures_of_the_same_name_are_a_change() -> None:
    values = with_profiles(profile("One", mem_limit="4G", mem_guarantee="4G"))
    (size, *_) = view(values, sizes={"one": {"memory": "3G"}}).changes
    assert size == ("changed", "size", "One", "1 core, 4 GB → 1 core, 3 GB")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"mem_limit": None}, "1 core, 2 GB without a limit"),
        ({"mem_limit": "4G"}, "1 core, 2 GB to 4 GB"),
        ({"mem_limit": "2G", "cpu_guarantee": None}, "no cores said, 2 GB"),
    ],
)
def test_a_size_that_promised_otherwise_is_told_as_it_was(override: Any, words: str) -> None:
    (size, *_) = view(with_profiles(profile("One", **override))).changes
    assert size.state == "changed"
    assert size.details.startswith(f"{words} → ")


def test_what_somebody_cannot_have_any_more_is_gone() -> None:
    values = with_profiles(profile("One"), profile("Two", image="x/two:2"))
    found = view(values, images={"two": {"allowed_groups": ["b"]}})
    assert states(found)["image Two"] == "gone"


def test_one_part_without_the_others_starts_nothing_and_is_not_new() -> None:
    options = {"i": {"choices": {"p": choice(["b"], image="x/p:1")}}}
    found = view(with_profiles(profile("One", options, ["a"])), User("ann", frozenset({"b"})))
    assert found == View((), 0, 0, ())


def test_examples_are_nobody_everybody_and_each_group() -> None:
    hub = locate(with_profiles(profile("One", groups=["b", "a"])))
    description = load_description(describe(hub).description)
    assert [sorted(user.groups) for user in examples(old_ways(hub), description)] == [
        [],
        ["a"],
        ["b"],
        ["a", "b"],
    ]


def test_there_is_a_pair_for_each_size_that_has_one_like_it() -> None:
    values = with_profiles(profile("One"), profile("Two", mem_limit="8G", mem_guarantee="8G"))
    pairs = view(values).pairs
    assert [pair.way.options["profile"] for pair in pairs] == ["one", "two"]
    assert [pair.selection.size.memory for pair in pairs] == [2 * 2**30, 8 * 2**30]


@pytest.mark.parametrize("name", FILES)
def test_no_example_user_gets_less_of_a_real_file(name: str) -> None:
    hub = locate(values_of(name))
    ways, description = old_ways(hub), resolve(load_description(describe(hub).description))
    for user in examples(ways, description):
        assert "gone" not in {change.state for change in compare(ways, description, user).changes}


def test_differences_are_told_by_place_and_things_go_by_their_names() -> None:
    before = {"a": 1, "b": {"c": []}, "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}
    after = {"a": 2, "new": {"x": None}, "env": [{"name": "Y", "value": "3"}, {"name": "X", "value": "1"}]}
    assert difference(before, after) == [
        "~ a: 1 → 2",
        "- b.c: []",
        "~ env[Y].value: 2 → 3",
        "+ new.x: None",
    ]
