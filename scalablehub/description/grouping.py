"""From an identity provider's groups to the hub's: one table, and nothing that it does not name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from scalablehub.description.section import Section
from scalablehub.description.units import Seconds

_MOST_GROUPS = 1000
_MOST_LENGTH = 256
_MATCHED = "{}"
_HUB_GROUP = r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,62}"
_TARGET = rf"^({_HUB_GROUP}|[A-Za-z0-9._:@/+-]*\{{\}}[A-Za-z0-9._:@/+-]*)$"
_SOURCE = r"^[^*\x00-\x1f]{0,255}\*?[^*\x00-\x1f]{0,255}$"
GROUPING_PATTERNS = {
    _SOURCE: "is not a name of a provider's group; it may have one '*', for any part of a name",
    _TARGET: "is not a name of a hub group; write it such as 'gpu', or with '{}' for what the '*' stands for",
}
"""What is wrong with text that has not the form it should."""


class Grouping(Section):
    """The hub's groups, from those that the identity provider knows; none that no line names."""

    table: dict[
        Annotated[str, StringConstraints(pattern=_SOURCE, min_length=1)],
        Annotated[str, StringConstraints(pattern=_TARGET)],
    ] = Field(
        default_factory=dict,
        description="A provider's group to a hub group, such as {'lab:gpu': gpu, 'course-*': '{}'}. A name "
        "in full goes before names with a '*', which all count.",
    )
    fold_case: bool = Field(True, description="Whether a provider's 'GPU' is the same group as 'gpu'.")
    when_away: Literal["keep", "refuse"] = Field(
        "keep",
        description="What happens at the start of a server while the provider does not answer: the groups "
        "that it last told are kept, or the start is refused.",
    )
    keep_for: Seconds = Field(86_400, description="How long groups are kept without an answer, such as '1d'.")

    @model_validator(mode="after")
    def _has_what_it_inserts(self) -> Grouping:
        for source, target in self.table.items():
            if _MATCHED in target and "*" not in source:
                raise ValueError(f"{source!r} has no '*' that '{_MATCHED}' could stand for")
        return self


def hub_groups(grouping: Grouping, raw: object) -> frozenset[str]:
    """Return the hub's groups for what a provider said, whatever that is.

    Args:
        grouping: the table.
        raw: a name, a list of names or of objects with a ``name``, or None; anything else is no group.
    """
    return frozenset(found for name in _names(raw) for found in _targets(grouping, name))


def claim(auth_state: Mapping[str, Any], path: str) -> object:
    """Return what stands at a dotted path, or None; keys may have dots themselves, as in URLs."""
    if path in auth_state:
        return auth_state[path]
    first, dot, rest = path.partition(".")
    while dot:
        inner = auth_state.get(first)
        if isinstance(inner, Mapping):
            return claim(inner, rest)
        more, dot, rest = rest.partition(".")
        first = f"{first}.{more}"
    return None


def _names(raw: object) -> Iterator[str]:
    # A single name is a name, not a list of its letters.
    items: Iterable[object] = ()
    if isinstance(raw, str | Mapping):
        items = [raw]
    elif isinstance(raw, list | tuple | set | frozenset):
        items = raw
    for number, item in enumerate(items):
        if number >= _MOST_GROUPS:
            return
        name = item.get("name") if isinstance(item, Mapping) else item
        if isinstance(name, str) and 0 < len(name) <= _MOST_LENGTH:
            yield name


def _targets(grouping: Grouping, name: str) -> Iterator[str]:
    def folded(text: str) -> str:
        return text.casefold() if grouping.fold_case else text

    exact = {folded(source): target for source, target in grouping.table.items() if "*" not in source}
    if (target := exact.get(folded(name))) is not None:
        yield target
        return
    for source, target in grouping.table.items():
        before, star, after = source.partition("*")
        pattern = f"{re.escape(folded(before))}(.*){re.escape(folded(after))}"
        if star and (match := re.fullmatch(pattern, folded(name), re.DOTALL)):
            found = target.replace(_MATCHED, match[1])
            if re.fullmatch(_HUB_GROUP, found):
                yield found
