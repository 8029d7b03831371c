"""The escape hatch: options of KubeSpawner that an admin gives to a node pool, an image or an interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scalablehub.description import Description

DECIDED = frozenset(
    {
        "apply_user_options",
        "automount_service_account_token",
        "cpu_guarantee",
        "default_url",
        "description",
        "image",
        "mem_guarantee",
        "mem_limit",
        "options_form",
        "options_from_form",
        "profile_list",
        "restricted",
    }
)
"""What the description decides by its own words: an override of it would have no effect."""


def merged(present: Any, value: Any) -> Any:
    """Return a value over a present one: mappings are merged at every depth, all else is replaced."""
    if not (isinstance(present, Mapping) and isinstance(value, Mapping)):
        return value
    return {**present, **{name: merged(present.get(name), inner) for name, inner in value.items()}}


def misplaced_overrides(description: Description, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each override that is not an option of the spawner, or has no effect.

    Args:
        description: the hub's.
        known: names of the spawner's options.
    """
    for section in ("nodes", "images", "interfaces"):
        for name, entry in getattr(description, section).items():
            for option in entry.kubespawner_override:
                place = f"{section}.{name}.kubespawner_override.{option}"
                if option in DECIDED:
                    yield place, "is decided by the description; say it there, and leave it out here"
                elif option not in known:
                    yield place, "is not an option of KubeSpawner; see its reference for their names"
