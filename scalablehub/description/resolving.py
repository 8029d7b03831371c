"""From a description that says 'this-machine' to one with numbers and addresses."""

from __future__ import annotations

from typing import Any, NamedTuple

from scalablehub.description.entry import THIS_MACHINE
from scalablehub.description.ladder import gpus_of, ladder_of, price_of, rungs, share_of
from scalablehub.description.loading import load_description
from scalablehub.description.models import Description


class Capacity(NamedTuple):
    """What a node has: cores, and bytes of memory."""

    cores: float
    memory: int


def resolve(
    description: Description, machine: Capacity | None = None, store: str | None = None
) -> Description:
    """Return the description with every 'this-machine' and every share of a node worked out.

    A size that changes one of a ladder is left out as long as the ladder's machine is not measured.

    Args:
        description: what the admin wrote.
        machine: the capacity that stands for ``instance: this-machine``.
        store: URL of the object store that stands for ``endpoint: this-machine``.

    Raises:
        DescriptionError: a size that the machine cannot hold.
    """
    raw: dict[str, Any] = description.model_dump()
    for pool in raw["nodes"].values():
        if pool["instance"] == THIS_MACHINE and machine is not None:
            pool["cores"] = pool["cores"] or machine.cores
            pool["memory"] = pool["memory"] or machine.memory
    for bucket in raw["buckets"].values():
        if bucket["endpoint"] == THIS_MACHINE and store is not None:
            bucket["endpoint"] = store
    keys = (raw["credentials"] or {}).get("s3")
    if keys is not None and keys["endpoint"] == THIS_MACHINE and store is not None:
        keys["endpoint"] = store
    measured = load_description(raw)
    ladders = rungs(measured)
    for name, pool in raw["nodes"].items():
        if pool["cores"] is not None and pool["memory"] is not None:
            pool["ladder"] = ladder_of(measured, name)
    for name in [*ladders, *(name for name in measured.sizes if name not in ladders)]:
        if name not in ladders and measured.sizes[name].node is None:
            del raw["sizes"][name]
            continue
        written = measured.sizes[name].model_dump(exclude_defaults=True) if name in measured.sizes else {}
        raw["sizes"][name] = _measured(ladders.get(name, {}), written, measured)
    return load_description(raw)


def _measured(rung: dict[str, Any], written: dict[str, Any], description: Description) -> dict[str, Any]:
    """Return a size with its measures, from what the ladder has and what the admin wrote over it."""
    if "cores" in written:
        rung = {key: value for key, value in rung.items() if key != "share"}
    size = rung | written
    pool = description.nodes[size["node"]]
    if pool.cores is None or pool.memory is None:
        return size
    if (share := size.pop("share", None)) is not None:
        size["cores"], size["memory"] = share_of(pool, share)
        size.setdefault("gpus", int(gpus_of(pool, share)))
    gpus = size.setdefault("gpus", 0)
    size.setdefault("price", price_of(pool, size["cores"], size["memory"], gpus))
    return size
