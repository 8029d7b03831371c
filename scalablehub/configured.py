"""What somebody set in a hub's configuration ``c``, read without changing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets.config.loader import LazyConfigValue


def values_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody set in a section: plain values, and what lazy dicts were updated with.

    traitlets makes a lazy value of every key that is only looked at, and one that was resolved forgets what
    is added to it later; so they are read, never resolved.
    """
    written = {}
    for key, value in section.items():
        if not isinstance(value, LazyConfigValue):
            written[key] = value
        elif "update" in (changes := value.to_dict()):
            written[key] = changes["update"]
    return written
