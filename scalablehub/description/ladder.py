"""Sizes from nodes: what a node has for servers, its shares, and the ladder of sizes that pack."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from scalablehub.description.models import Description, NodePool, Reserved

_GIB = 2**30
_MOST_HALVES = 6
_SIGNS = {"1": "", "1/2": " ½", "1/4": " ¼", "1/8": " ⅛", "3/4": " ¾", "1/3": " ⅓", "2/3": " ⅔"}


class Room(NamedTuple):
    """What a node has for servers: cores, exactly as a person reads them, and bytes of memory."""

    cores: Fraction
    memory: int


def reserved_of(pool: NodePool) -> Reserved:
    """Return what the system takes of one node of a pool: as stated, or the documented default."""
    if pool.reserved is not None:
        return pool.reserved
    return Reserved(cores=0.5, memory=max(_GIB, (pool.memory or 0) // 10))


def room_of(pool: NodePool) -> Room:
    """Return what one node of a pool has for servers, after what the system takes."""
    reserved = reserved_of(pool)
    cores = as_written(pool.cores or 0) - as_written(reserved.cores)
    return Room(max(cores, Fraction(0)), max((pool.memory or 0) - reserved.memory, 0))


def share_of(pool: NodePool, share: str) -> tuple[float, int]:
    """Return (cores, bytes) of a share of one node of the pool, after what the system takes.

    Cores are rounded down to thousandths, memory to whole MiB, so that the shares of a node always fit it.
    """
    room = room_of(pool)
    thousandths = int(room.cores * 1000 * Fraction(share))
    mebibytes = int(Fraction(room.memory, 2**20) * Fraction(share))
    return thousandths / 1000, mebibytes * 2**20


def gpus_of(pool: NodePool, share: str) -> Fraction:
    """Return the GPUs of a share of one node; a share that splits one is not a size."""
    return pool.gpus * Fraction(share)


def price_of(pool: NodePool, cores: float, memory: int, gpus: int) -> float | None:
    """Return a size's part of the price of a node per hour: by what it takes most of; None is unknown."""
    if pool.price is None:
        return None
    room = room_of(pool)
    parts = [
        as_written(cores) / room.cores if room.cores else Fraction(1),
        Fraction(memory, room.memory) if room.memory else Fraction(1),
        Fraction(gpus, pool.gpus) if pool.gpus else Fraction(0),
    ]
    return round(pool.price * float(min(max(parts), Fraction(1))), 4)


def rungs(description: Description) -> dict[str, dict[str, Any]]:
    """Return the sizes of every ladder by name, as an admin would write them.

    A pool whose capacity is not measured yet has none.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, pool in description.nodes.items():
        shares = sorted(ladder_of(description, name), key=Fraction)
        for position, share in enumerate(shares):
            found[rung_name(name, share)] = {
                "order": pool.order * 100 + position,
                "display_name": f"{pool.display_name or name}{_SIGNS.get(share, f' {share}')}",
                "description": pool.description,
                "node": name,
                "share": share,
            }
    return found


def may_be_rung(description: Description, size: str) -> bool:
    """Return whether a name can be that of a size of a ladder whose pool is not measured yet."""
    return any(
        size.startswith(rung_name(name, ""))
        for name, pool in description.nodes.items()
        if (pool.cores is None or pool.memory is None)
        and pool.ladder is None
        and all(named.node != name for named in description.sizes.values())
    )


def rung_name(pool: str, share: str) -> str:
    """Return the name of a ladder's size, such as ``highmem-1-4``."""
    return f"{pool}-{share.replace('/', '-')}"


def ladder_of(description: Description, name: str) -> tuple[str, ...]:
    """Return the shares of a node pool that are sizes: as stated, else halves where no size names it."""
    pool = description.nodes[name]
    if pool.ladder is not None:
        return pool.ladder
    if any(size.node == name for size in description.sizes.values()):
        return ()
    return _halves(pool)


def as_written(cores: float) -> Fraction:
    """Return exactly the decimal number that a person reads, not the binary one closest to it."""
    return Fraction(repr(cores))


def _halves(pool: NodePool) -> tuple[str, ...]:
    """Return 1, 1/2, 1/4, … as long as a share of the node has a core, a gigabyte and only whole GPUs."""
    if pool.cores is None or pool.memory is None:
        return ()
    shares = [Fraction(1, 2**power) for power in range(_MOST_HALVES + 1)]
    return tuple(
        str(share)
        for share in shares
        if as_written(pool.cores) * share >= 1
        and pool.memory * share >= _GIB
        and all(share_of(pool, str(share)))
        and gpus_of(pool, str(share)).denominator == 1
    )
