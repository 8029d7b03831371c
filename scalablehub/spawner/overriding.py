"""The escape hatch: options of KubeSpawner that an admin gives to a node pool, an image or an interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from traitlets import Dict, HasTraits, List, TraitError, TraitType, Union

from scalablehub.description import Description
from scalablehub.errors import shown

DECIDED = frozenset(
    {
        "apply_user_options",
        "automount_service_account_token",
        "cpu_guarantee",
        "default_url",
        "image",
        "mem_guarantee",
        "mem_limit",
        "options_form",
        "options_from_form",
        "profile_list",
    }
)
"""What the description decides by its own words: an override of it would have no effect."""

DECIDED_WITHIN: Mapping[str, frozenset[str]] = {
    "extra_container_config": frozenset({"image", "resources"}),
    "extra_pod_config": frozenset(
        {
            "automountServiceAccountToken",
            "automount_service_account_token",
            "containers",
            "nodeSelector",
            "node_selector",
            "tolerations",
            "volumes",
        }
    ),
    "extra_resource_guarantees": frozenset({"cpu", "memory"}),
    "extra_resource_limits": frozenset({"memory"}),
}
"""What KubeSpawner would put in place of what was decided."""


def merged(present: Any, value: Any) -> Any:
    """Return a value over a present one: mappings are merged at every depth, all else is replaced.

    What is None in a mapping is taken out of it, as in KubeSpawner's own profiles.
    """
    if not (isinstance(present, Mapping) and isinstance(value, Mapping)):
        return deepcopy(value)
    return {name: inner for name, inner in present.items() if name not in value} | {
        name: merged(present.get(name), inner) for name, inner in value.items() if inner is not None
    }


def added(present: Any, value: Any) -> Any:
    """Return what an option has with more of the same, for options that are a list or a dict of things.

    A home folder stays where an override brings another volume. Of two lists, or of a list and a dict, what
    has the path or the name of a present thing takes its place.
    """
    if isinstance(present, Mapping) and isinstance(value, Mapping):
        return merged(present, value)
    more = deepcopy(_things(value))
    named = {_name(thing) for thing in more} - {None}
    return [thing for thing in _things(present) if _name(thing) not in named and thing not in more] + more


def is_of_things(option: TraitType[Any, Any]) -> bool:
    """Return whether an option of KubeSpawner takes its things either as a list or as a dict by name."""
    kinds = {type(kind) for kind in option.trait_types} if isinstance(option, Union) else set()
    return {List, Dict} <= kinds


def misplaced_overrides(
    description: Description, known: Mapping[str, TraitType[Any, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each override that the spawner cannot take, or that would undo a decision.

    Args:
        description: the hub's.
        known: the spawner's options by name.
    """
    for section in ("nodes", "images", "interfaces"):
        for name, entry in getattr(description, section).items():
            for option, value in entry.kubespawner_override.items():
                place = f"{section}.{name}.kubespawner_override.{option}"
                if option in DECIDED:
                    yield place, "is decided by the description; say it there, and leave it out here"
                elif option not in known:
                    yield place, "is not an option of KubeSpawner; see its reference for their names"
                elif not _takes(known[option], value):
                    yield place, f"{shown(value)} is not what KubeSpawner takes here; see its reference"
                for inner in sorted(DECIDED_WITHIN.get(option, frozenset()) & _keys(value)):
                    yield (
                        f"{place}.{inner}",
                        "would undo what is decided; say it in the description, or by an option of its own",
                    )


def _takes(option: TraitType[Any, Any], value: Any) -> bool:
    try:
        option._validate(HasTraits(), value)
    except TraitError:
        return False
    return True


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, Mapping) else set()


def _things(value: Any) -> list[Any]:
    """Return a dict's things in the order that KubeSpawner gives them, or the list's."""
    return [value[name] for name in sorted(value)] if isinstance(value, Mapping) else list(value or ())


def _name(thing: Any) -> Any:
    return thing.get("mountPath") or thing.get("name") if isinstance(thing, Mapping) else None
