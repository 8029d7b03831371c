"""What a description leaves unsaid, and what works but hardly as it was meant.

It needs nothing of Kubernetes, so that a hub on one machine is told too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple

from scalablehub.decisions import User, decide
from scalablehub.description import Description, NodePool, Size
from scalablehub.description.ladder import as_written, reserved_of, room_of
from scalablehub.description.units import format_bytes, format_cores


class Layer(NamedTuple):
    """Options of KubeSpawner that a node pool, an image or an interface has, and its place."""

    place: str
    override: Mapping[str, Any]


def doubts(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each thing that works, but hardly as it was meant.

    Args:
        description: the hub's description, resolved.
    """
    yield from _closed_by_caps(description)
    yield from _same_nodes(description)
    yield from _without_effect(description)


def unstated(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each node pool of which the default of `reserved` is taken."""
    for name, pool in description.nodes.items():
        if pool.reserved is not None:
            continue
        if pool.memory is None:
            kept = "half a core, and a tenth of the memory but at least 1 GB,"
        else:
            reserved = reserved_of(pool)
            kept = f"{format_cores(reserved.cores)} and {format_bytes(reserved.memory)}"
        remedy = (
            ""
            if pool.instance
            else "; `scalablehub check --measure` reads from a Kubernetes cluster what is taken"
        )
        yield (
            f"nodes.{name}.reserved",
            f"is not stated, so {kept} of a node are kept for the system by default{remedy}",
        )


def number_on_a_node(size: Size, pool: NodePool) -> int:
    """Return how many servers of a size one node of its pool takes, by the description alone."""
    room = room_of(pool)
    counts = [
        Fraction(there) / Fraction(asked)
        for there, asked in (
            (room.cores, as_written(size.cores or 0)),
            (room.memory, size.memory or 0),
            (pool.gpus, size.gpus or 0),
        )
        if asked
    ]
    return int(min(counts)) if counts else 0


def layers_of(description: Description) -> Iterator[tuple[Layer, str]]:
    """Yield each override with the name of a node pool whose servers may get it."""
    used = {size.node for size in description.sizes.values() if size.node and not size.hidden}
    for pool in used & description.nodes.keys():
        yield Layer(place_of("nodes", pool), description.nodes[pool].kubespawner_override), pool
    for section in ("images", "interfaces"):
        for name, entry in getattr(description, section).items():
            for pool in sorted(used & description.nodes.keys()):
                yield Layer(place_of(section, name), entry.kubespawner_override), pool


def place_of(section: str, name: str) -> str:
    """Return the line of an entry's override."""
    return f"{section}.{name}.kubespawner_override"


def selector_of(layer: Layer) -> dict[str, str]:
    """Return the labels that an override asks of nodes."""
    found = layer.override.get("node_selector")
    return {key: str(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _closed_by_caps(description: Description) -> Iterator[tuple[str, str]]:
    uncapped = description.model_copy(update={"caps": {}})
    named = {group for cap in description.caps.values() for group in cap.groups or ()}
    found: dict[str, str] = {}
    for group in (None, *sorted(named)):
        user = User("somebody", frozenset({group} if group else ()))
        open_ones = {size.name for size in decide(uncapped, user).sizes if size.is_open}
        capped = [size for size in decide(description, user).sizes if size.name in open_ones]
        if capped and not any(size.is_open for size in capped):
            who = f"a member of {group} and of no other group" if group else "somebody without a group"
            found.setdefault(
                capped[0].place.removeprefix("ScalableHub."),
                f"is less than the smallest size takes: {who} could start nothing",
            )
    yield from found.items()


def _same_nodes(description: Description) -> Iterator[tuple[str, str]]:
    pools = [(name, pool) for name, pool in description.nodes.items() if pool.instance is None]
    for (first, one), (second, other) in combinations(pools, 2):
        if one.selector == other.selector:
            yield (
                f"nodes.{second}.selector",
                f"is that of '{first}', so that servers of either run on nodes of both; write a label that "
                "only its own nodes have",
            )


def _without_effect(description: Description) -> Iterator[tuple[str, str]]:
    for layer, name in layers_of(description):
        own = description.nodes[name].selector
        for key, value in selector_of(layer).items():
            if key in own and own[key] != value:
                yield (
                    f"{layer.place}.node_selector.{key}",
                    f"has no effect with the sizes of '{name}', whose nodes have '{key}: {own[key]}'; "
                    "leave it out",
                )
