"""Workers of a cluster: which of them are too many, and why some are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scalablehub.dask.following import KeptCluster

MISSING_SECONDS = 15.0
"""Until a worker that was granted has a pod, where there is nothing in its way."""


@dataclass(frozen=True)
class Worker:
    """A worker of a cluster that is there, or on its way.

    Attributes:
        name: that its backend ends it by.
        runs: whether it does its work.
        why: what keeps it from its work, or ended it before, in words; empty if nothing is known to.
    """

    name: str
    runs: bool = True
    why: str = ""


def workers_to_end(workers: Sequence[Worker], granted: int, *, given_back: bool) -> list[str]:
    """Return the names of workers that are too many: the newest, of which those not at work go first.

    Args:
        workers: the oldest first.
        granted: how many there may be.
        given_back: whether the scheduler had its time to give back workers of its own choice. Those that do
            not work yet have nothing to lose, and dask-gateway leaves some of them.
    """
    too_many = max(len(workers) - granted, 0)
    waiting = [worker.name for worker in workers if not worker.runs]
    running = [worker.name for worker in workers if worker.runs]
    ending = waiting[max(len(waiting) - too_many, 0) :]
    return ending + (running[granted:] if given_back else [])


def why_missing(cluster: KeptCluster, workers: Sequence[Worker]) -> str:
    """Return why there are fewer workers, on their way or not, than were granted a while ago; "" if not so.

    Only dask-gateway's controller is told by Kubernetes, and keeps it for its log.
    """
    missing = cluster.granted - len(workers)
    if missing <= 0 or cluster.granted_seconds < MISSING_SECONDS or cluster.status != "RUNNING":
        return ""
    counted = "1 worker" if missing == 1 else f"{missing} workers"
    return (
        f"Kubernetes makes no pod for {counted} of it: a quota of the namespace is used up, or something "
        "refuses them. Ask an admin, who finds it in the log of dask-gateway's controller"
    )
