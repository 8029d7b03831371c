"""What no single entry can know: whether the parts of a description fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from scalablehub.description.ladder import as_written, gpus_of, may_be_rung, room_of, rungs, share_of
from scalablehub.description.models import OWN_IMAGE, Description, NodePool, Size
from scalablehub.description.units import format_bytes, format_cores


def check_references(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each name that is not there and each size that no node can hold."""
    ladders = rungs(description)
    yield from _false_steps(description)
    yield from _size_problems(description, ladders)
    yield from _interface_problems(description)
    if OWN_IMAGE in description.images:
        yield f"images.{OWN_IMAGE}", "is how users call an image of their own; choose another name"
    if description.dask is not None:
        sizes = {**description.sizes, **ladders}
        for worker in description.dask.workers or ():
            if worker not in sizes and not may_be_rung(description, worker):
                yield "dask.workers", _absent(worker, "sizes", sizes)
    yield from _scheduler_problems(description)
    variables = {name: bucket.variable for name, bucket in description.buckets.items()}
    yield from _clashes("buckets", "variable", "bucket", variables)
    yield from _same_names(description)
    mounts = {name: directory.mount for name, directory in description.directories.items()}
    yield from _clashes("directories", "mount", "directory", mounts)


def _same_names(description: Description) -> Iterator[tuple[str, str]]:
    """Yield a problem for each data set whose name another bucket's has: there is one catalogue."""
    places: dict[str, str] = {}
    for bucket, entry in description.buckets.items():
        for name in entry.datasets:
            if name in places:
                sentence = f"has the name of one in {places[name]}; choose another"
                yield f"buckets.{bucket}.datasets.{name}", sentence
            places.setdefault(name, bucket)


def check_complete(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each section without which nobody can start a server."""
    measured_later = any(pool.cores is None or pool.memory is None for pool in description.nodes.values())
    if not description.sizes and not rungs(description) and not measured_later:
        yield "sizes", "is empty, and no node pool has a ladder of them; a hub needs at least one of them"
    for section in ("images", "interfaces"):
        if not getattr(description, section) and not (section == "images" and description.own_image):
            yield section, "is empty; a hub needs at least one of them"


def _size_problems(
    description: Description, ladders: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    for name, size in description.sizes.items():
        node = size.node or ladders.get(name, {}).get("node")
        if node is None:
            # All is checked again when the machine is measured.
            if not may_be_rung(description, name):
                yield f"sizes.{name}.node", _nowhere(ladders)
        elif (pool := description.nodes.get(node)) is None:
            yield f"sizes.{name}.node", _absent(node, "nodes", description.nodes)
        else:
            yield from _unmeasured(name, size, ladders)
            if pool.cores is not None and pool.memory is not None:
                yield from _misfit(name, size, pool, node)


def _scheduler_problems(description: Description) -> Iterator[tuple[str, str]]:
    name = description.dask.schedulers if description.dask is not None else None
    if name is None:
        return
    if (pool := description.nodes.get(name)) is None:
        yield "dask.schedulers", _absent(name, "nodes", description.nodes)
    elif pool.spot:
        yield "dask.schedulers", f"{name} has spot nodes, and a scheduler that goes takes its cluster along"


def _interface_problems(description: Description) -> Iterator[tuple[str, str]]:
    lists = {f"images.{name}": image.interfaces for name, image in description.images.items()}
    if description.own_image is not None:
        lists["own_image"] = description.own_image.interfaces
    for place, interfaces in lists.items():
        for interface in interfaces or ():
            if interface not in description.interfaces:
                yield f"{place}.interfaces", _absent(interface, "interfaces", description.interfaces)


def _false_steps(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each share of a stated ladder that is no size."""
    for name, pool in description.nodes.items():
        for share in pool.ladder or ():
            if gpus_of(pool, share).denominator != 1:
                yield f"nodes.{name}.ladder", _splits(pool, share)
            elif pool.cores is not None and pool.memory is not None and not all(share_of(pool, share)):
                yield f"nodes.{name}.ladder", f"{share} is nothing: {_room(pool, name)}; leave it out"


def _unmeasured(name: str, size: Size, ladders: Iterable[str]) -> Iterator[tuple[str, str]]:
    if size.share is None and size.cores is None and name not in ladders:
        yield f"sizes.{name}", "a size needs 'share', such as '1/4', or both 'cores' and 'memory'"


def _misfit(name: str, size: Size, pool: NodePool, node: str) -> Iterator[tuple[str, str]]:
    cores, memory = room_of(pool)
    room = _room(pool, node)
    if size.share is not None and not all(share_of(pool, size.share)):
        yield f"sizes.{name}.share", f"{size.share} is nothing: {room}; ask for a larger share"
    if size.share is not None and size.gpus is None and gpus_of(pool, size.share).denominator != 1:
        yield f"sizes.{name}.share", _splits(pool, size.share)
    if size.cores is not None and as_written(size.cores) > cores:
        yield (
            f"sizes.{name}.cores",
            f"{format_cores(size.cores)} can never be scheduled: {room}; ask for at most that",
        )
    if size.memory is not None and size.memory > memory:
        yield (
            f"sizes.{name}.memory",
            f"{format_bytes(size.memory)} can never be scheduled: {room}; ask for at most that",
        )
    if (size.gpus or 0) > pool.gpus:
        yield (
            f"sizes.{name}.gpus",
            f"{size.gpus} can never be scheduled: a node of '{node}' has {pool.gpus}; ask for at most that",
        )


def _room(pool: NodePool, node: str) -> str:
    cores, memory = room_of(pool)
    room = f"a node of '{node}' has {format_cores(float(cores))} and {format_bytes(memory)} for servers"
    stated = f"{room} after what 'reserved' takes unless it is stated"
    return room if pool.reserved is not None else stated


def _splits(pool: NodePool, share: str) -> str:
    return f"{share} of {pool.gpus} GPUs is not a whole number of them; choose another share"


def _nowhere(ladders: Iterable[str]) -> str:
    known = ", ".join(ladders)
    return "is missing; write the node pool" + (f", or a size of a ladder: {known}" if known else "")


def _clashes(
    section: str, key: str, kind: str, values: Mapping[str, str | None]
) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for name, value in values.items():
        if value is None:
            continue
        if value in first:
            yield f"{section}.{name}.{key}", f"'{value}' is that of {kind} '{first[value]}'; choose another"
        first[value] = name


def _absent(name: str, section: str, known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"'{name}' is not in {section}; " + (f"known: {names}" if names else f"add it to {section}")
