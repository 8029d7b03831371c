"""What changes for somebody who moves from an old hub to a description: what they can choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scalablehub.decisions import Decision, Selection, User, decide
from scalablehub.description import Description
from scalablehub.description.units import format_bytes, format_cores
from scalablehub.moving.losses import Losses
from scalablehub.moving.profiles import Way, read_profiles, ways_of
from scalablehub.moving.settings import SAMPLE_IMAGE, Settings, base_of, settings_of
from scalablehub.moving.values import OldHub

_MOST_EXAMPLES = 50
_LAB = "/lab"

OldWays = tuple[tuple[Way, Settings], ...]


class Change(NamedTuple):
    """One thing that can be chosen, before or after or both.

    Attributes:
        state: ``"same"``, ``"changed"``, ``"new"`` or ``"gone"``.
        kind: ``"size"``, ``"image"`` or ``"interface"``.
        name: what people read.
        details: what it is, and for what changed both.
    """

    state: str
    kind: str
    name: str
    details: str


class Pair(NamedTuple):
    """A way to start a server in the old hub, and the selection in ours that comes nearest to it."""

    way: Way
    selection: Selection


@dataclass(frozen=True)
class View:
    """What somebody can start.

    Attributes:
        changes: everything that they can choose, what stays first.
        before, after: how many combinations of a size and an image they can start.
        pairs: for each old size, a way of theirs and what comes nearest to it.
    """

    changes: tuple[Change, ...]
    before: int
    after: int
    pairs: tuple[Pair, ...]


class _Thing(NamedTuple):
    """Something that can be chosen: by what it is, and in words."""

    key: object
    name: str
    details: str


def old_ways(hub: OldHub) -> OldWays:
    """Return every way to start a server of an old hub, with what it comes to."""
    losses, base = Losses(), base_of(hub)
    return tuple((way, settings_of(base, way, losses)) for way in ways_of(read_profiles(hub, losses), losses))


def examples(ways: OldWays, description: Description) -> tuple[User, ...]:
    """Return somebody in no group, in each group that the old or the new hub names, and in all of them."""
    groups = {group for way, _ in ways for wanted in way.wanted for group in wanted}
    sections = (description.nodes, description.sizes, description.images, description.interfaces)
    for entry in [entry for section in sections for entry in section.values()]:
        groups |= set(entry.allowed_groups or ())
    if description.own_image is not None:
        groups |= set(description.own_image.allowed_groups or ())
    named = sorted(groups)[:_MOST_EXAMPLES]
    some = [frozenset[str](), *(frozenset({group}) for group in named), frozenset(groups)]
    return tuple(User("somebody", one) for one in dict.fromkeys(some))


def compare(ways: OldWays, description: Description, user: User) -> View:
    """Return what changes for somebody.

    Args:
        ways: those of the old hub.
        description: the new hub's, resolved.
        user: who it is about.
    """
    had = [(way, found) for way, found in ways if way.is_open_to(user.groups)]
    decision = decide(description, user)
    sizes, images, pages = _new_sizes(decision), _new_images(decision), _new_pages(decision)
    if not (sizes and images and pages):  # one without the others starts nothing
        sizes, images, pages = [], [], []
    changes = [
        *_changes("size", [_old_size(found) for _, found in had], sizes),
        *_changes("image", [_old_image(found) for _, found in had], images),
        *_changes("interface", [_old_page(found) for _, found in had], pages),
    ]
    before = {(_old_size(found).key, _old_image(found).key) for _, found in had}
    after = len(sizes) * len(images)
    return View(tuple(changes), len(before), after, tuple(_pairs(had, decision)))


def _changes(kind: str, before: Iterable[_Thing], after: Sequence[_Thing]) -> list[Change]:
    old = {thing.key: thing for thing in reversed(list(before))}
    old = dict(reversed(old.items()))
    new = {thing.key: thing for thing in after}
    same = [Change("same", kind, new[key].name, new[key].details) for key in old if key in new]
    gone = {key: thing for key, thing in old.items() if key not in new}
    added = {key: thing for key, thing in new.items() if key not in old}
    changed = []
    for key, thing in list(gone.items()):
        other = next((found for found in added.values() if found.name == thing.name), None)
        if other is not None:
            del gone[key], added[other.key]
            changed.append(Change("changed", kind, thing.name, f"{thing.details} → {other.details}"))
    return [
        *same,
        *changed,
        *(Change("gone", kind, thing.name, thing.details) for thing in gone.values()),
        *(Change("new", kind, thing.name, thing.details) for thing in added.values()),
    ]


def _old_size(found: Settings) -> _Thing:
    by = found.sized_by
    name = (by.display_name or by.name) if by is not None else "standard"
    key = (found.cores, found.memory_guaranteed, found.memory_most, found.gpus)
    most, least = found.memory_most, found.memory_guaranteed
    if least is None or least == most:
        # Kubernetes requests a limit where nothing is requested.
        key = (found.cores, most, most, found.gpus)
        memory = "no memory said" if most is None else format_bytes(most)
    elif most is None:
        memory = f"{format_bytes(least)} without a limit"
    else:
        memory = f"{format_bytes(least)} to {format_bytes(most)}"
    cores = "no cores said" if found.cores is None else format_cores(found.cores)
    return _Thing(key, name, _figures(cores, memory, found.gpus))


def _new_sizes(decision: Decision) -> list[_Thing]:
    return [
        _Thing(
            (size.cores, size.memory, size.memory, size.gpus),
            size.display_name,
            _figures(format_cores(size.cores), format_bytes(size.memory), size.gpus),
        )
        for size in decision.sizes
        if size.is_open
    ]


def _figures(cores: str, memory: str, gpus: int) -> str:
    words = f"{cores}, {memory}"
    return f"{words}, {gpus} GPU{'' if gpus == 1 else 's'}" if gpus else words


def _old_image(found: Settings) -> _Thing:
    by = found.imaged_by
    regex = by.regex if by is not None else None
    if regex is not None:
        image = (found.image or "").replace("{value}", f"({regex})")
        plain = regex if found.image == "{value}" else image
        return _Thing(("own", plain), "an image of one's own", plain)
    image = found.image or SAMPLE_IMAGE
    return _Thing(image, (by.display_name or by.name) if by is not None else image, image)


def _new_images(decision: Decision) -> list[_Thing]:
    images = [
        _Thing(image.image, image.display_name, image.image or "")
        for image in decision.images
        if image.is_open
    ]
    own = decision.own_image
    if own is None or not own.is_open:
        return images
    return [*images, *(_Thing(("own", regex), "an image of one's own", regex) for regex in own.patterns)]


def _old_page(found: Settings) -> _Thing:
    url = found.url or _LAB
    return _Thing(url, url, url)


def _new_pages(decision: Decision) -> list[_Thing]:
    return [_Thing(page.url, page.display_name, page.url) for page in decision.interfaces if page.is_open]


def _pairs(had: Sequence[tuple[Way, Settings]], decision: Decision) -> Iterable[Pair]:
    """Yield for each old size its first way with a listed image, and the nearest selection that is open."""
    seen: set[object] = set()
    pages = [page for page in decision.interfaces if page.is_open]
    for way, found in had:
        size_key, is_own = (
            _old_size(found).key,
            found.imaged_by is not None and found.imaged_by.regex is not None,
        )
        if size_key in seen or is_own:
            continue
        sizes = [size for size in decision.sizes if size.is_open]
        sizes = [
            size
            for size in sizes
            if (found.memory is None or size.memory == found.memory)
            and (found.cores is None or size.cores == found.cores)
            and size.gpus == found.gpus
        ] or [size for size in sizes if size.display_name == _old_size(found).name]
        images = [image for image in decision.images if image.is_open and image.image == found.image]
        for image in images[:1] if sizes else ():
            fitting = [page for page in pages if page.name in image.interfaces]
            fitting.sort(key=lambda page: page.url != (found.url or _LAB))
            if fitting:
                seen.add(size_key)
                yield Pair(way, Selection(sizes[0], image, fitting[0]))


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return a line for each place of two manifests that differs, in their order.

    Lists whose items have names are compared by these.
    """
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    lines = []
    for place in dict.fromkeys([*old, *new]):
        if place not in new:
            lines.append(f"- {place}: {old[place]}")
        elif place not in old:
            lines.append(f"+ {place}: {new[place]}")
        elif old[place] != new[place]:
            lines.append(f"~ {place}: {old[place]} → {new[place]}")
    return lines


def _flat(value: object, place: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from _flat(value[key], f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            name = item.get("name", number) if isinstance(item, Mapping) else number
            yield from _flat(item, f"{place}[{name}]")
    else:
        yield place, value
