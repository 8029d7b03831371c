"""How much somebody may have at a time: all servers of a user, or of a group, together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, NamedTuple

from scalablehub.description.models import GroupCap
from scalablehub.description.units import format_bytes, format_cores


@dataclass(frozen=True)
class Amount:
    """What servers or clusters take: their number, cores, bytes of memory, GPUs and the price per hour."""

    servers: int = 0
    cores: float = 0
    memory: int = 0
    gpus: int = 0
    price: float = 0
    clusters: int = 0
    workers: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __mul__(self, count: int) -> Amount:
        return Amount(*(getattr(self, field.name) * count for field in fields(self)))


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Bound(NamedTuple):
    """The most of one measure, and the line of the description that says so."""

    most: float
    place: str


@dataclass(frozen=True)
class Bounds:
    """The most of everything that somebody may have together.

    Attributes:
        whose: who they are in a sentence: "you", or "the members of gpu together".
        group: name of the group that has it together; None is one user.
        by_measure: a Bound for each measure of Amount that is capped.
        currency: what stands before a price.
    """

    whose: str
    group: str | None
    by_measure: Mapping[str, Bound]
    currency: str = "$"


@dataclass(frozen=True)
class Excess:
    """What would be too much: a sentence for the user, and the line of the description."""

    sentence: str
    place: str


def bounds_of(
    caps: Mapping[str, GroupCap],
    groups: Iterable[str],
    place: str = "ScalableHub.caps",
    *,
    currency: str = "$",
    general: Mapping[str, Bound] = _NOTHING,
) -> tuple[Bounds, ...]:
    """Return every bound that holds for a member of these groups: their own first, then their groups'.

    Args:
        caps: by name.
        groups: that the user is in.
        place: where the caps are written.
        currency: what stands before a price.
        general: bounds for everybody that are written elsewhere, which a cap goes before.
    """
    mine = frozenset(groups)
    special: dict[str, Bound] = {}
    of_all: dict[str, Bound] = {}
    shared: dict[str, dict[str, Bound]] = {}
    for name, cap in sorted(caps.items()):
        stated = _stated(cap, f"{place}.{name}")
        if cap.together:
            for group in mine.intersection(cap.groups or ()):
                _widen(shared.setdefault(group, {}), stated)
        elif cap.groups is None:
            _widen(of_all, stated)
        elif mine.intersection(cap.groups):
            _widen(special, stated)
    own = Bounds("you", None, {**general, **of_all, **special}, currency)
    return (
        own,
        *(
            Bounds(f"the members of {group} together", group, bounds, currency)
            for group, bounds in sorted(shared.items())
        ),
    )


def excess(bounds: Bounds, used: Amount, asked: Amount, whose: str = "") -> Excess | None:
    """Return what of the asked would be too much beside what is used already, or None.

    Args:
        bounds: what holds.
        used: what all others of the same user or group take.
        asked: what comes on top.
        whose: who is in a sentence; by default ``bounds.whose``.
    """
    total = used + asked
    for measure, bound in bounds.by_measure.items():
        if getattr(total, measure) > bound.most + _ROUNDING:
            most = in_words(measure, bound.most, bounds.currency)
            in_use = in_words(measure, getattr(used, measure), bounds.currency)
            already = f"; in use already: {in_use}" if getattr(used, measure) else ""
            return Excess(
                f"{most} is the most that {whose or bounds.whose} may have at a time{already}", bound.place
            )
    return None


def in_words(measure: str, number: float, currency: str = "$") -> str:
    """Return so much of a measure of Amount for people, such as "4 cores" or "$0.40 an hour"."""
    return _WORDS[measure](number, currency)


_ROUNDING = 1e-6

_WORDS: dict[str, Callable[[float, str], str]] = {
    "servers": lambda number, _: f"{int(number)} {'server' if number == 1 else 'servers'}",
    "cores": lambda number, _: format_cores(number),
    "memory": lambda number, _: format_bytes(int(number)),
    "gpus": lambda number, _: f"{int(number)} {'GPU' if number == 1 else 'GPUs'}",
    "price": lambda number, currency: f"{currency}{number:.2f} an hour",
    "clusters": lambda number, _: f"{int(number)} {'cluster' if number == 1 else 'clusters'}",
    "workers": lambda number, _: f"{int(number)} {'worker' if number == 1 else 'workers'}",
}


def _stated(cap: GroupCap, place: str) -> dict[str, Bound]:
    return {
        measure: Bound(most, f"{place}.{measure}")
        for measure in _WORDS
        if (most := getattr(cap, measure, None)) is not None
    }


def _widen(bounds: dict[str, Bound], stated: Mapping[str, Bound]) -> None:
    for measure, bound in stated.items():
        present = bounds.get(measure)
        if present is None or bound.most > present.most:
            bounds[measure] = bound
