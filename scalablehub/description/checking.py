"""What no single entry can know: whether the parts of a description fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from scalablehub.description.models import Description, NodePool, Size
from scalablehub.description.units import format_bytes, format_cores


def check_references(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each name that is not there and each size that no node can hold."""
    for name, size in description.sizes.items():
        pool = description.nodes.get(size.node)
        if pool is None:
            yield f"sizes.{name}.node", _absent(size.node, "nodes", description.nodes)
        elif pool.cores is not None and pool.memory is not None:  # else measured, and checked again, later
            yield from _misfit(name, size, pool)
    for name, image in description.images.items():
        for interface in image.interfaces or ():
            if interface not in description.interfaces:
                yield (
                    f"images.{name}.interfaces",
                    _absent(interface, "interfaces", description.interfaces),
                )
    if description.dask is not None:
        for worker in description.dask.workers or ():
            if worker not in description.sizes:
                yield "dask.workers", _absent(worker, "sizes", description.sizes)
    variables = {name: bucket.variable for name, bucket in description.buckets.items()}
    yield from _clashes("buckets", "variable", "bucket", variables)
    mounts = {name: directory.mount for name, directory in description.directories.items()}
    yield from _clashes("directories", "mount", "directory", mounts)


def check_complete(description: Description) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each section without which nobody can start a server."""
    for section in ("sizes", "images", "interfaces"):
        if not getattr(description, section):
            yield section, "is empty; a hub needs at least one of them"


def share_of(pool: NodePool, share: str) -> tuple[float, int]:
    """Return (cores, bytes) of a share of one node of the pool, after what the system takes.

    Cores are rounded down to thousandths, memory to whole MiB, so that the shares of a node always fit it.
    """
    cores, memory = _usable(pool)
    thousandths = int(cores * 1000 * Fraction(share))
    mebibytes = int(Fraction(memory, 2**20) * Fraction(share))
    return thousandths / 1000, mebibytes * 2**20


def _usable(pool: NodePool) -> tuple[Fraction, int]:
    cores = _as_written(pool.cores or 0) - _as_written(pool.reserved.cores)
    return max(cores, Fraction(0)), max((pool.memory or 0) - pool.reserved.memory, 0)


def _as_written(cores: float) -> Fraction:
    """Return exactly the decimal number that a person reads, not the binary one closest to it."""
    return Fraction(repr(cores))


def _misfit(name: str, size: Size, pool: NodePool) -> Iterator[tuple[str, str]]:
    cores, memory = _usable(pool)
    room = f"a node of '{size.node}' has {format_cores(float(cores))} and {format_bytes(memory)} for servers"
    if size.share is not None and not all(share_of(pool, size.share)):
        yield f"sizes.{name}.share", f"{size.share} is nothing: {room}; ask for a larger share"
    if size.cores is not None and _as_written(size.cores) > cores:
        yield (
            f"sizes.{name}.cores",
            f"{format_cores(size.cores)} can never be scheduled: {room}; ask for at most that",
        )
    if size.memory is not None and size.memory > memory:
        yield (
            f"sizes.{name}.memory",
            f"{format_bytes(size.memory)} can never be scheduled: {room}; ask for at most that",
        )


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
