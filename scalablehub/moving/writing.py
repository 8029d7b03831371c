"""The description as YAML that a person goes on with: in order, with remarks at what they have to look at."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scalablehub.moving.losses import Uncarried

_SECTION = "ScalableHub"
_OPEN_LEVELS = 2
_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
# What YAML takes for something else than text.
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_FIRST = (
    "Made by `scalablehub import` from the values of a hub. Lines after CHANGE need you; what could not be "
    "carried is listed here. The words are in docs/reference/description.md."
)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def as_yaml(
    description: Mapping[str, Any],
    uncarried: Iterable[Uncarried] = (),
    remarks: Mapping[tuple[str, ...], str] | None = None,
    alias: Sequence[str] = (),
) -> str:
    """Return a values file for zero-to-jupyterhub's chart with the description.

    Args:
        description: as `load_description` takes it.
        uncarried: what it does not have; written as comments before it.
        remarks: sentences for the admin, by the place that they are about.
        alias: the keys that the chart's values stand below.
    """
    comments = [_FIRST, *map(str, uncarried)]
    lines = [line for number, words in enumerate(comments) for line in _comment(words, listed=number > 0)]
    keys = (*alias, "hub", "config", _SECTION)
    lines += [f"{'  ' * depth}{_scalar(key)}:" for depth, key in enumerate(keys)]
    lines += _section(description, (), len(keys), remarks or {})
    return "\n".join(lines) + "\n"


def _section(
    values: Mapping[str, Any], place: tuple[str, ...], depth: int, remarks: Mapping[tuple[str, ...], str]
) -> Iterator[str]:
    indent = "  " * depth
    for key, value in values.items():
        here = (*place, key)
        if (remark := remarks.get(here)) is not None:
            yield from (indent + line for line in _comment(f"CHANGE: {remark}"))
        if isinstance(value, Mapping) and value and len(place) < _OPEN_LEVELS:
            yield f"{indent}{_scalar(key)}:"
            yield from _section(value, here, depth + 1, remarks)
        else:
            yield f"{indent}{_scalar(key)}: {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # YAML 1.1 takes a number for one with an exponent only if it has a dot, too.
        text = repr(value)
        return text if "e" not in text or "." in text else text.replace("e", ".0e")
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter == " " or (letter.isprintable() and not letter.isspace()):
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _comment(words: str, listed: bool = False) -> list[str]:
    text = "".join(letter if letter.isprintable() else " " for letter in words)
    first, rest = ("# - ", "#   ") if listed else ("# ", "# ")
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
