"""KubeSpawner's profiles with their options, as ways in which somebody can start a server."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from scalablehub.errors import shown
from scalablehub.moving.losses import Losses, below
from scalablehub.moving.values import OldHub, mapping

MOST_WAYS = 2000
"""Most combinations of one profile's choices that are looked at."""

_MOST_PROFILES = 200
_LONGEST = 300
_KNOWN = frozenset(
    {
        "allowed_groups",
        "default",
        "description",
        "display_name",
        "display_name_in_choices",
        "enabled",
        "kubespawner_override",
        "profile_options",
        "slug",
        "validation_message",
        "validation_regex",
    }
)
# What other hubs' own Python looks at.
_GATE = re.compile(
    r"(allowed|denied|blocked|groups?|users?|access|teams?|roles?|admins?)(_|$)", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True)
class Layer:
    """Options of KubeSpawner that come over those before them: a profile, or a choice within one.

    Attributes:
        place: where it stands in the values.
        name: what a user's options call it.
        display_name: what people read.
        description: a sentence about it.
        override: options of KubeSpawner by name.
        groups: names of the groups, one of which somebody needs; None is everybody.
        regex: what a user's own value has to match, where the choice is one that they write; else None.
    """

    place: str
    name: str
    display_name: str
    description: str
    override: Mapping[str, Any]
    groups: frozenset[str] | None = None
    regex: str | None = None


@dataclass(frozen=True)
class Profile:
    """A profile of KubeSpawner, with its options by name and the choices of each, the default first."""

    layer: Layer
    options: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """One way to start a server: a profile, and a choice for each of its options.

    Attributes:
        layers: what comes over the chart's own values, in that order.
        options: what a user's options say for it; empty where the hub has no profiles.
    """

    layers: tuple[Layer, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> tuple[frozenset[str], ...]:
        """Sets of groups, of each of which somebody needs one."""
        return tuple(layer.groups for layer in self.layers if layer.groups is not None)

    @property
    def groups(self) -> frozenset[str] | None:
        """Groups, each of which alone is enough; None: none is needed."""
        return frozenset.intersection(*self.wanted) if self.wanted else None

    def is_open_to(self, groups: frozenset[str]) -> bool:
        """Return whether somebody in these groups can start it."""
        return all(not wanted.isdisjoint(groups) for wanted in self.wanted)


def read_profiles(hub: OldHub, losses: Losses) -> tuple[Profile, ...]:
    """Return the hub's profiles, the default first; an empty tuple is a hub without.

    Args:
        hub: the old hub.
        losses: gets what cannot be understood.
    """
    # What the chart makes of `hub.config` comes after what it makes of `singleuser`.
    places = (("hub", "config", "KubeSpawner", "profile_list"), ("singleuser", "profileList"))
    stated = [keys for keys in places if hub.at(*keys) not in (None, [], {})]
    for keys in stated[1:]:
        losses.add(hub.where(*keys), f"was not used before either: {hub.where(*stated[0])} is over it")
    if not stated:
        return ()
    place, found = hub.where(*stated[0]), hub.at(*stated[0])
    profiles = [
        (_profile(value, where, losses), value.get("default") is True)
        for where, value in _items(found, place, losses)
        if isinstance(value, Mapping)
    ]
    if any(layer.groups is not None for profile, _ in profiles for layer in _layers(profile)):
        losses.add(
            place,
            "'allowed_groups' is looked up among the hub's own groups, whatever looked at it before (stock "
            "KubeSpawner does not); see that the authenticator brings them: Authenticator.manage_groups, or "
            "ScalableHub.groups",
        )
    return tuple(profile for profile, _ in sorted(profiles, key=lambda pair: not pair[1]))


def ways_of(profiles: Sequence[Profile], losses: Losses) -> Iterator[Way]:
    """Yield every way to start a server, those of the default profile and the default choices first."""
    if not profiles:
        yield Way()
    for profile in profiles:
        for count, chosen in enumerate(islice(product(*profile.options.values()), MOST_WAYS + 1)):
            if count == MOST_WAYS:
                losses.add(
                    profile.layer.place,
                    f"has more than {MOST_WAYS} combinations of its choices; only the first were looked at",
                )
                break
            names = zip(profile.options, chosen, strict=True)
            yield Way(
                (profile.layer, *chosen),
                {"profile": profile.layer.name} | {option: layer.name for option, layer in names},
            )


def clean(value: Any, otherwise: str = "") -> str:
    """Return text for people on one line, without the HTML that KubeSpawner's page takes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return otherwise
    text = html.unescape(_TAG.sub(" ", str(value)[: 4 * _LONGEST]))
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return words[:_LONGEST] or otherwise


def slug_of(text: str) -> str:
    """Return text as a name of a description has it; empty if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-")


def _items(found: Any, place: str, losses: Losses) -> list[tuple[str, Any]]:
    """Return profiles with their places, whether they are a list or, since KubeSpawner 7.1, a dict."""
    if isinstance(found, Mapping):
        # KubeSpawner has them in the order of their keys, not in that of the file.
        pairs = [(below(place, key), found[key]) for key in sorted(found, key=str)]
    elif isinstance(found, list):
        pairs = [(below(place, number), value) for number, value in enumerate(found)]
    else:
        losses.add(place, "is neither a list nor a mapping of profiles")
        return []
    for where, value in pairs:
        if not isinstance(value, Mapping):
            losses.add(where, "is not a profile")
    if len(pairs) > _MOST_PROFILES:
        losses.add(place, f"has more than {_MOST_PROFILES} profiles; only the first were looked at")
    return pairs[:_MOST_PROFILES]


def _profile(value: Mapping[str, Any], place: str, losses: Losses) -> Profile:
    options = mapping(value.get("profile_options"))
    if not isinstance(value.get("profile_options", {}), Mapping):
        losses.add(below(place, "profile_options"), "is not a mapping of options")
    where = below(place, "profile_options")
    choices = {name: _choices(option, below(where, name), losses) for name, option in options.items()}
    name = value.get("slug")
    title = clean(value.get("display_name"))
    return Profile(
        _layer(value, place, name if isinstance(name, str) and name else slug_of(title) or "profile", losses),
        {name: layers for name, layers in choices.items() if layers},
    )


def _choices(option: Any, place: str, losses: Losses) -> tuple[Layer, ...]:
    """Return the choices of an option, the default first, and last the one that the user writes."""
    if not isinstance(option, Mapping):
        losses.add(place, "is not an option with choices")
        return ()
    choices = mapping(option.get("choices"))
    where = below(place, "choices")
    listed = [
        (_layer(choice, below(where, name), name, losses), choice.get("default") is True)
        for name, choice in choices.items()
        if isinstance(choice, Mapping)
    ]
    for name, choice in choices.items():
        if not isinstance(choice, Mapping):
            losses.add(below(where, name), "is not a choice")
    layers = [layer for layer, _ in sorted(listed, key=lambda pair: not pair[1])]
    unlisted = mapping(option.get("unlisted_choice"))
    if unlisted.get("enabled") is True:
        layers += _written_by_the_user(unlisted, below(place, "unlisted_choice"), losses)
    for name in option:
        if name not in {"display_name", "description", "choices", "unlisted_choice"}:
            losses.add(below(place, name), "is not known to KubeSpawner and has no counterpart here")
    return tuple(layers)


def _written_by_the_user(unlisted: Mapping[str, Any], place: str, losses: Losses) -> list[Layer]:
    regex = unlisted.get("validation_regex")
    if regex is not None and not isinstance(regex, str):
        losses.add(
            below(place, "validation_regex"), f"{shown(regex)} is not a regular expression; nobody may write"
        )
        return []
    if not regex:
        losses.add(
            place, "lets anything be written, as it has no validation_regex; so does 'own_image.patterns'"
        )
    layer = _layer(unlisted, place, "", losses, regex or ".+")
    if not isinstance(layer.override.get("image"), str):
        losses.add(place, "what the user writes is not an image; people can only name an image of their own")
        return []
    return [layer]


def _layer(
    value: Mapping[str, Any], place: str, name: str, losses: Losses, regex: str | None = None
) -> Layer:
    override = value.get("kubespawner_override")
    if override is not None and not isinstance(override, Mapping):
        losses.add(below(place, "kubespawner_override"), "is not a mapping of KubeSpawner's options")
    over = dict(mapping(override))
    if "image_spec" in over:  # its name before KubeSpawner 1
        over.setdefault("image", over.pop("image_spec"))
    return Layer(
        place,
        name,
        clean(value.get("display_name")),
        clean(value.get("description")),
        over,
        _groups(value, place, losses),
        regex,
    )


def _groups(value: Mapping[str, Any], place: str, losses: Losses) -> frozenset[str] | None:
    key = "allowed_groups" if "allowed_groups" in value else "allowed_teams"
    gates = [
        name for name in value if isinstance(name, str) and name not in _KNOWN | {key} and _GATE.match(name)
    ]
    for name in value:
        if name in gates:
            losses.add(
                below(place, name),
                "looks as if it said who may have this; nobody may, until its allowed_groups says it",
            )
        elif name not in _KNOWN and name != key:
            losses.add(below(place, name), "is not known to KubeSpawner and has no counterpart here")
    if gates:
        return frozenset()
    if value.get(key) is None:
        return None
    found, where = value[key], below(place, key)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        losses.add(
            where, "is not a list of names of groups; nobody may have it, until it says for whom it is"
        )
        return frozenset()
    if not found:
        losses.add(where, "is empty: nobody may have it; leave it out for everybody")
    return frozenset(found)


def _layers(profile: Profile) -> Iterator[Layer]:
    yield profile.layer
    for choices in profile.options.values():
        yield from choices
