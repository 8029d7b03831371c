"""What could not be carried from one hub to the other, and why: kept once each, in the order it was found."""

from __future__ import annotations

from typing import NamedTuple

from scalablehub.errors import shown

_LONGEST = 60


class Uncarried(NamedTuple):
    """Something of the old values that the description does not have, or has otherwise.

    Attributes:
        place: where it stands in the old values, such as ``singleuser.profileList[1].kubespawner_override``.
        why: what became of it, why, and what to do; a sentence or two without its full stop.
    """

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}."


class Losses:
    """A list to which the same thing is added only once."""

    def __init__(self) -> None:
        self._found: dict[Uncarried, None] = {}

    def add(self, place: str, why: str) -> None:
        """Add what could not be carried."""
        self._found[Uncarried(place, why)] = None

    def all(self) -> tuple[Uncarried, ...]:
        """Return everything, in the order in which it was found."""
        return tuple(self._found)


def below(place: str, key: object) -> str:
    """Return the place of a key, or of an item by its number, below another place."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{place}[{key}]"
    text = key if isinstance(key, str) and key.isprintable() else shown(key, _LONGEST)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return f"{place}.{text}" if place else text
