"""From what an admin wrote to a Description, or to sentences that name the place and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from scalablehub.description.checking import check_references
from scalablehub.description.models import PATTERNS, Description
from scalablehub.errors import PublicError, shown

Model = TypeVar("Model", bound=BaseModel)


class Problem(NamedTuple):
    """One thing that is wrong: where, and what to do about it."""

    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"


class DescriptionError(PublicError):
    """The description cannot be used; ``problems`` has every reason, each with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("description-invalid", "\n".join(map(str, self.problems)))


def load_description(raw: Mapping[str, Any], place: str = "ScalableHub") -> Description:
    """Return the validated description.

    Args:
        raw: the admin's words, as plain dicts, lists and scalars.
        place: how the admin calls the whole, for the errors.

    Raises:
        DescriptionError: something is unknown, malformed, or refers to what is not there.
    """
    description = validate(Description, raw, place)
    problems = [Problem(f"{place}.{where}", sentence) for where, sentence in check_references(description)]
    if problems:
        raise DescriptionError(problems)
    return description


def validate(model: type[Model], raw: object, place: str) -> Model:
    """Return raw as the model, or raise DescriptionError with a problem for each thing that is wrong."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise DescriptionError(_problem(model, place, dict(entry)) for entry in error.errors()) from None


def canonical_json(description: Description) -> str:
    """Return the description as JSON that is the same text for the same meaning."""
    return json.dumps(description.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def _problem(model: type[BaseModel], place: str, error: dict[str, Any]) -> Problem:
    location = [str(part) for part in error["loc"] if part != "[key]"]
    where = ".".join([place, *location])
    match error["type"]:
        case "extra_forbidden":
            known = _keys_at(model, error["loc"][:-1])
            return Problem(where, f"unknown key; {_suggestion(location[-1], known)}")
        case "missing":
            return Problem(where, "is missing")
        case "value_error":
            return Problem(where, str(error["ctx"]["error"]))
        case "string_pattern_mismatch" if (words := PATTERNS.get(error["ctx"]["pattern"])) is not None:
            return Problem(where, words if "[key]" in error["loc"] else f"{shown(error['input'])} {words}")
        case "string_pattern_mismatch" if "[key]" in error["loc"]:
            return Problem(where, "is not a name; use small letters, digits and '-', at most 50")
        case "model_type" | "dict_type":
            return Problem(where, f"{shown(error['input'])} is not a section; write keys and values below it")
        case "tuple_type":
            return Problem(where, f"{shown(error['input'])} is not a list; write '- ' before each item")
        case "string_type" if isinstance(error["input"], int | float | date):
            return Problem(where, f"{error['input']} is not text; write it in quotes")
        case "literal_error":
            return Problem(where, f"{shown(error['input'])} is unknown; write {error['ctx']['expected']}")
        case _:
            words = error["msg"][0].lower() + error["msg"][1:]
            return Problem(where, f"{shown(error['input'])} does not fit: {words}")


def _suggestion(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def _keys_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the model has at a location of an error."""
    schema = _schema(model)
    node: Any = schema
    for part in location:
        node = _follow(schema, node)
        if "items" in node:
            node = node["items"]
            continue
        # A section of named entries may have one pattern for the names; 'false' allows no other key.
        (entry,) = node.get("patternProperties", {"": node.get("additionalProperties") or {}}).values()
        node = node.get("properties", {}).get(part, entry)
    return list(_follow(schema, node).get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _follow(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    for option in node.get("anyOf", []):
        if "$ref" in option:
            node = option
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    found: dict[str, Any] = node
    return found
