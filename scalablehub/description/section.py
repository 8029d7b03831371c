"""What every part of a description has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the description: immutable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
