"""From a description that says 'this-machine' to one with numbers and addresses."""

from __future__ import annotations

from typing import Any, NamedTuple

from scalablehub.description.checking import share_of
from scalablehub.description.loading import load_description
from scalablehub.description.models import THIS_MACHINE, Description


class Capacity(NamedTuple):
    """What a node has: cores, and bytes of memory."""

    cores: float
    memory: int


def resolve(
    description: Description, machine: Capacity | None = None, store: str | None = None
) -> Description:
    """Return the description with every 'this-machine' and every share of a node worked out.

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
    measured = load_description(raw)
    for name, size in measured.sizes.items():
        node = measured.nodes[size.node]
        if size.share is not None and node.cores is not None and node.memory is not None:
            cores, memory = share_of(node, size.share)
            raw["sizes"][name] |= {"share": None, "cores": cores, "memory": memory}
    for bucket in raw["buckets"].values():
        if bucket["endpoint"] == THIS_MACHINE and store is not None:
            bucket["endpoint"] = store
    return load_description(raw)
