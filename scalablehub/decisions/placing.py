"""Where the parts of a Dask cluster run, which its user does not choose one by one."""

from __future__ import annotations

from scalablehub.decisions.deciding import Decision, SizeChoice
from scalablehub.description import Description


def scheduler_node(description: Description, decision: Decision, worker: SizeChoice) -> str:
    """Return the name of the node pool of a cluster's scheduler.

    A scheduler that goes takes its cluster along, so it stays off spot nodes; and off GPUs, which others wait
    for. It is with its workers unless those have either, and with nobody whose pool its user may not have,
    unless the admin says where schedulers are.

    Args:
        description: the hub's, resolved.
        decision: what the user may have.
        worker: the size of the cluster's workers.
    """
    if description.dask is not None and description.dask.schedulers is not None:
        return description.dask.schedulers
    allowed = (*decision.dask.workers, *(size for size in decision.sizes if size.is_open))
    return next((size.node for size in (worker, *allowed) if is_plain(description, size)), worker.node)


def is_plain(description: Description, size: SizeChoice) -> bool:
    """Return whether the size's nodes have no GPUs, and stay."""
    pool = description.nodes[size.node]
    return not pool.spot and not pool.gpus and not size.gpus


def usual_worker(description: Description, decision: Decision) -> str:
    """Return the name of the size of workers for who names none; "" where there is none.

    Nobody gets a GPU, or nodes that may go at any time, without having asked for them.
    """
    workers = decision.dask.workers
    plain = (size.name for size in workers if is_plain(description, size))
    return next(plain, workers[0].name if workers else "")
