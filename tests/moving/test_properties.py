from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings

from scalablehub.decisions import Decision, User, decide
from scalablehub.description import Description, load_description, resolve
from scalablehub.errors import PublicError
from scalablehub.moving import OldHub, Way, as_yaml, describe, locate, read_profiles, ways_of
from scalablehub.moving.losses import Losses
from scalablehub.moving.settings import Settings, base_of, settings_of
from tests.descriptions import anything
from tests.moving.old_hubs import (
    FILES,
    GROUPS,
    choice,
    hubs,
    odd_values,
    own,
    profile,
    values_of,
    with_profiles,
)

EVERYONE = [frozenset(some) for count in range(len(GROUPS) + 1) for some in combinations(GROUPS, count)]
slowly = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


def moved(values: Any) -> Description:
    """Return the description that a person reads from the file that is written."""
    hub = locate(values)
    found = describe(hub)
    text = as_yaml(found.description, found.uncarried, found.remarks, hub.alias)
    read = yaml.safe_load(text)
    for key in (*hub.alias, "hub", "config", "ScalableHub"):
        read = read[key]
    assert read == found.description
    return resolve(load_description(read))


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_of_a_real_file_loads(name: str) -> None:
    assert moved(values_of(name)).sizes


@slowly
@given(odd_values)
def test_whatever_the_values_what_is_written_loads(values: Any) -> None:
    try:
        locate(values)
    except PublicError:
        assume(False)
    assert moved(values).sizes


@slowly
@given(anything)
def test_whatever_stands_there_it_is_read_or_refused_in_words(values: Any) -> None:
    try:
        describe(locate({"hub": values, "singleuser": values}))
    except PublicError as error:
        assert error.message.endswith(".")


@slowly
@given(hubs)
def test_the_same_values_give_the_same_file(values: Any) -> None:
    once, again = (describe(locate(values)) for _ in range(2))
    assert as_yaml(*parts(once)) == as_yaml(*parts(again))


@slowly
@given(hubs)
@example(with_profiles(profile("A", groups=["a"]), profile("B", groups=["b"], image="x/two:2")))
@example(with_profiles(profile("A", {"image": {"choices": {"p": choice(["b"], image="x/two:2")}}}, ["a"])))
@example(
    with_profiles(
        profile("A", {"image": {"choices": {"p": choice(["b"], image="x/two:2")}}}, ["a"]),
        profile("Open", image="x/one:1"),
    )
)
@example(with_profiles(profile("A", {"i": own("^x/.+$", ["a"])}), profile("B", {"i": own("^y/.+$")}, ["b"])))
def test_nobody_can_start_a_server_with_what_their_groups_did_not_give_them(values: Any) -> None:
    hub, new = locate(values), moved(values)
    ways = old_ways(hub)
    for groups in EVERYONE:
        decision = decide(new, User("somebody", groups))
        had = [found for way, found in ways if way.is_open_to(groups)]
        if not (sizes := open_of(decision, "sizes")) or not open_of(decision, "interfaces"):
            continue
        images = open_of(decision, "images")
        owned = decision.own_image is not None and decision.own_image.is_open
        if not images and not owned:
            continue
        for size in sizes:
            pool = new.nodes[size.node]
            assert any(
                (size.memory, size.cores, dict(pool.selector)) == figures(found)
                and without_limit(pool.kubespawner_override) == found.of_pool
                for found in had
            ), (groups, size)
        for image in images:
            override = new.images[image.name].kubespawner_override
            assert any((image.image, override) == (found.image, found.of_image) for found in had)
        if owned and decision.own_image is not None:
            regexes = [
                layer.regex
                for way, _ in ways
                if way.is_open_to(groups)
                for layer in way.layers
                if layer.regex
            ]
            assert set(decision.own_image.patterns) <= set(regexes)


@slowly
@given(hubs)
# What the user writes in the first option counts for nothing: the second says the image after that.
@example(
    with_profiles(profile("One", {"a": own("^x/.+$"), "b": {"choices": {"p": choice(image="x/one:1")}}}))
)
def test_everybody_in_one_group_or_none_keeps_every_size_and_image(values: Any) -> None:
    hub, new = locate(values), moved(values)
    for groups in (frozenset[str](), *(frozenset({group}) for group in GROUPS)):
        decision = decide(new, User("somebody", groups))
        sizes = {(size.memory, size.cores) for size in open_of(decision, "sizes")}
        images = {image.image for image in open_of(decision, "images")}
        for way, found in old_ways(hub):
            if way.is_open_to(groups):
                memory, cores, _ = figures(found)
                assert (memory, cores) in sizes
                assert found.image in images or "{value}" in (found.image or "")


@slowly
@given(hubs)
def test_every_pattern_is_one_of_the_old_hub(values: Any) -> None:
    new = moved(values)
    for pattern in new.own_image.patterns if new.own_image is not None else ():
        assert re.fullmatch(pattern, f"{pattern[1]}/name:1")


def parts(found: Any) -> tuple[Any, ...]:
    return found.description, found.uncarried, found.remarks


def old_ways(hub: OldHub) -> list[tuple[Way, Settings]]:
    base, losses = base_of(hub), Losses()
    ways = ways_of(read_profiles(hub, losses), losses)
    return [(way, settings_of(base, way, losses)) for way in ways]


def figures(found: Settings) -> tuple[int | None, float | None, dict[str, str]]:
    return found.memory, found.cores, dict(found.selector)


def without_limit(override: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in override.items() if name != "cpu_limit"}


def open_of(decision: Decision, section: str) -> list[Any]:
    return [choice for choice in getattr(decision, section) if choice.is_open]
