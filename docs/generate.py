"""Write docs/reference/description.md from the models: ``python docs/generate.py``."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scalablehub.description import (
    Bucket,
    Credentials,
    Dask,
    Dataset,
    Description,
    Directory,
    GoogleCredentials,
    Image,
    Interface,
    NodePool,
    S3Credentials,
    Size,
    Toleration,
    units,
)
from scalablehub.description.grouping import Grouping
from scalablehub.description.models import Cap, DaskCap, OwnImage, Registries, Reserved
from scalablehub.local.settings import LocalHub, LocalUser

PAGE = Path(__file__).parent / "reference" / "description.md"
NAMED = [
    ("`ScalableHub`", Description),
    ("`ScalableHub.nodes.<name>`", NodePool),
    ("`ScalableHub.nodes.<name>.reserved`", Reserved),
    ("`ScalableHub.nodes.<name>.tolerations`, each", Toleration),
    ("`ScalableHub.sizes.<name>`", Size),
    ("`ScalableHub.images.<name>`", Image),
    ("`ScalableHub.own_image`", OwnImage),
    ("`ScalableHub.registries`", Registries),
    ("`ScalableHub.interfaces.<name>`", Interface),
    ("`ScalableHub.groups`", Grouping),
    ("`ScalableHub.caps.<name>`", Cap),
    ("`ScalableHub.buckets.<name>`", Bucket),
    ("`ScalableHub.buckets.<name>.datasets.<name>`", Dataset),
    ("`ScalableHub.credentials`", Credentials),
    ("`ScalableHub.credentials.s3`", S3Credentials),
    ("`ScalableHub.credentials.google`", GoogleCredentials),
    ("`ScalableHub.directories.<name>`", Directory),
    ("`ScalableHub.dask`", Dask),
    ("`ScalableHub.dask.caps.<name>`", DaskCap),
    ("`LocalHub`", LocalHub),
    ("`LocalHub.users.<name>`", LocalUser),
]
HEAD = """\
# Reference: the description

<!-- Written by `python docs/generate.py` from the models. -->

The section `ScalableHub` is the same everywhere: `c.ScalableHub` in `jupyterhub_config.py`,
`hub.config.ScalableHub` in zero-to-jupyterhub, and the block of that name in a YAML file for
`scalablehub up`, which also reads `LocalHub`. Sections are dicts by name, not lists, so that layered values
merge. Names have small letters, digits and `-`. Unknown keys are errors.

| kind of value | how to write it |
|---|---|
| memory | `16G`, `512M`, `1.5T`, or bytes; the letters are powers of 1024 |
| cores | `2`, `0.5`, or `500m` |
| duration | `90s`, `30m`, `2h`, `7d`, or seconds |
| share | `1/4`, `1/2`, or `1` for a whole node |
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for title, model in NAMED:
        rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
        rows += [_row(name, field) for name, field in model.model_fields.items()]
        summary = (model.__doc__ or "").strip().split("\n\n")[0]
        parts.append("\n".join([f"## {title}", "", _one_line(summary), "", *rows, ""]))
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {_kind(field)} | {_default(field)} | {_one_line(_meaning(field))} |"


def _meaning(field: FieldInfo) -> str:
    if field.description:
        return field.description
    nested = [part for part in _parts(field.annotation) if _is_model(part)]
    return nested[0].__doc__ or "" if nested else ""


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None or field.default in ("", ()):
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _kind(field: FieldInfo) -> str:
    metadata = str(field.metadata)
    for parser, words in (
        (units.parse_bytes, "memory"),
        (units.parse_cores, "cores"),
        (units.parse_seconds, "duration"),
        (units.parse_share, "share"),
    ):
        if parser.__name__ in metadata or parser.__name__ in str(field.annotation):
            return words
    parts = [part for part in _parts(field.annotation) if part is not type(None)]
    literals = [value for part in parts if get_origin(part) is Literal for value in get_args(part)]
    if literals:
        return " or ".join(f"`{value}`" for value in literals)
    for part in parts:
        if get_origin(part) is dict:
            return f"{_things(get_args(part)[1])} by name"
        if get_origin(part) is tuple:
            return "list of sections" if _is_model(get_args(part)[0]) else "list of names"
    if any(map(_is_model, parts)):
        return "section"
    kinds = {str: "text", int: "number", float: "number", bool: "`true` or `false`"}
    return kinds.get(parts[0], "text")


def _things(value: Any) -> str:
    """Return what a dict has for values."""
    if _is_model(value):
        return "sections"
    return "texts" if str in _parts(value) else "options"


def _parts(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for option in get_args(annotation) for part in _parts(option)]
    if hasattr(annotation, "__metadata__"):
        return _parts(annotation.__origin__)
    return [annotation]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
