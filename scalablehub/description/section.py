"""What every part of a description has in common."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

Given = TypeVar("Given")


class Section(BaseModel):
    """A part of the description: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def finite(value: Given) -> Given:
    """Return what JSON can carry; raise ValueError for a number that has no end, or is none."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("has a number that is infinite or none; write another") from None
    return value
