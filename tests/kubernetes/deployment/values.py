"""Values as helm merges them: files in order, mappings at every depth, lists replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parents[3] / "docs" / "how-to" / "values"

Values = dict[str, Any]


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """Return values with others over them; None removes a key, as in helm."""
    result = dict(values)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def read_values(name: str, *over: Mapping[str, Any]) -> Values:
    """Return one of the shipped values files, with others over it."""
    values: Values = yaml.safe_load((FILES / name).read_text())
    for mapping in over:
        values = merged(values, mapping)
    return values


def shipped(name: str) -> list[dict[str, Any]]:
    """Return the objects of a file that an admin applies beside the charts."""
    return list(yaml.safe_load_all((FILES / name).read_text()))
