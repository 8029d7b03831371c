"""Choices that can never run, or not where their size says: what arithmetic alone says of a description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from scalablehub.description import Description, NodePool, Size
from scalablehub.description.ladder import room_of
from scalablehub.description.units import format_bytes, format_cores
from scalablehub.measuring.stating import Layer, layers_of, place_of, selector_of
from scalablehub.pods import Resources, quantity, requests_of

_RESOURCES = ("extra_resource_limits", "extra_resource_guarantees")
_CONTAINERS = {"extra_containers": "containers", "init_containers": "initContainers"}


def impossible(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each choice that could never run, or not where its size says.

    What the models and `check_references` refuse already is not repeated.

    Args:
        description: the hub's description, resolved.
    """
    yield from _moved(description)
    yield from _too_many_gpus(description)
    yield from _too_much_beside(description)


def described_room(pool: NodePool) -> dict[str, Decimal]:
    """Return what the description says that one node of a pool has for servers, as Kubernetes counts it."""
    room = room_of(pool)
    cores = Decimal(room.cores.numerator) / Decimal(room.cores.denominator)
    return {"cpu": cores, "memory": Decimal(room.memory), pool.gpu_resource: Decimal(pool.gpus)}


def in_words(resource: str, amount: Decimal) -> str:
    """Return so much of one of Kubernetes' resources for people."""
    match resource:
        case "cpu":
            return format_cores(float(amount))
        case "memory":
            return format_bytes(int(amount))
        case "pods":
            return f"{int(amount)} {'pod' if amount == 1 else 'pods'}"
        case _:
            return f"{amount.normalize():f} {resource}"


def _moved(description: Description) -> Iterator[tuple[str, str]]:
    for layer, name in layers_of(description):
        own = description.nodes[name].selector
        asked = {**selector_of(layer), **own}
        for other, pool in description.nodes.items():
            is_another = not pool.selector.items() <= own.items()
            if other != name and is_another and pool.selector.items() <= asked.items():
                yield (
                    f"{layer.place}.node_selector",
                    f"has servers of the sizes of '{name}' run on nodes of '{other}'; leave it out, and "
                    "write what selects a node pool's nodes in its 'selector'",
                )


def _too_many_gpus(description: Description) -> Iterator[tuple[str, str]]:
    for layer, name in layers_of(description):
        pool = description.nodes[name]
        is_its_own = layer.place == place_of("nodes", name)
        # A pool that says its GPUs in its own override alone has them.
        there = max(
            [pool.gpus, *(_gpus(Layer("", pool.kubespawner_override), pool) if not pool.gpus else [])]
        )
        for option in _RESOURCES:
            asked = _asked(layer, option, pool.gpu_resource)
            if asked is not None and asked > there and not (is_its_own and not pool.gpus):
                remedy = (
                    "write it at the node pool that has them" if not is_its_own else "ask for at most that"
                )
                yield (
                    f"{layer.place}.{option}.{pool.gpu_resource}",
                    f"{asked.normalize():f} can never be scheduled with the sizes of '{name}': a node of it "
                    f"has {there} GPUs; {remedy}",
                )


def _gpus(layer: Layer, pool: NodePool) -> list[int]:
    found = [_asked(layer, option, pool.gpu_resource) for option in _RESOURCES]
    return [int(amount) for amount in found if amount is not None]


def _asked(layer: Layer, option: str, resource: str) -> Decimal | None:
    given = layer.override.get(option)
    if not isinstance(given, Mapping) or given.get(resource) is None:
        return None
    try:
        return quantity(given[resource])
    except ValueError:
        return None  # the dry run has Kubernetes' own words for it


def _too_much_beside(description: Description) -> Iterator[tuple[str, str]]:
    """Yield what containers beside a server's own, or before it, make too much for a node of its size."""
    found: dict[tuple[str, str], None] = {}
    for name, size in description.sizes.items():
        pool = description.nodes.get(size.node or "")
        if pool is None or pool.cores is None or pool.memory is None or size.hidden:
            continue
        room = described_room(pool)
        for layers in _with_containers(description, size.node or ""):
            short = _excess(size, pool, layers, room)
            # Kubernetes' further resources are those of the machine, which the description does not have.
            for resource in ("cpu", "memory", pool.gpu_resource):
                if resource in short:
                    there = in_words(resource, room[resource])
                    asked = in_words(resource, short[resource])
                    found[
                        layers[-1].place,
                        f"its containers and size '{name}' ask for {asked} together, which can never be "
                        f"scheduled: a node of '{size.node}' has {there} for servers; make the size smaller "
                        "by what they take",
                    ] = None
    yield from found


def _with_containers(description: Description, pool: str) -> Iterator[list[Layer]]:
    def bringing(section: str, names: Mapping[str, Any]) -> list[Layer]:
        layers = [Layer(place_of(section, name), entry.kubespawner_override) for name, entry in names.items()]
        return [layer for layer in layers if not _CONTAINERS.keys().isdisjoint(layer.override)]

    below = bringing("nodes", {pool: description.nodes[pool]})
    images = bringing("images", description.images)
    interfaces = bringing("interfaces", description.interfaces)
    if below:
        yield below
    for image in images:
        yield [*below, image]
    for interface in interfaces:
        yield [*below, interface]
        for image in images:
            allowed = description.images[image.place.split(".")[1]].interfaces
            if allowed is None or interface.place.split(".")[1] in allowed:
                yield [*below, image, interface]


def _excess(size: Size, pool: NodePool, layers: list[Layer], room: Resources) -> dict[str, Decimal]:
    """Return what is asked for in all, of each resource of which a node has less."""
    own = {"cpu": size.cores, "memory": size.memory, pool.gpu_resource: size.gpus or 0}
    spec: dict[str, list[Any]] = {
        "containers": [{"resources": {"requests": own}}],
        "initContainers": [],
    }
    for layer in layers:
        for option, kind in _CONTAINERS.items():
            given = layer.override.get(option) or []
            things = given.values() if isinstance(given, Mapping) else given
            listed = things if isinstance(things, Iterable) else ()
            spec[kind] += [thing for thing in listed if isinstance(thing, Mapping)]
    try:
        asked = requests_of({"spec": spec})
    except (ValueError, TypeError, AttributeError):  # no container at all, as admission will say
        return {}
    return {name: amount for name, amount in asked.items() if amount > room.get(name, amount)}
