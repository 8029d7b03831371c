"""When a cluster has to end because of whose it is: it follows its server, its user's rights, and its age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scalablehub.dask.owners import Owner
from scalablehub.decisions import Amount, DaskChoice, State
from scalablehub.description.units import format_seconds


@dataclass(frozen=True)
class KeptCluster:
    """A cluster that starts or runs, as the gateway keeps it.

    Attributes:
        name: of the cluster.
        owner: the user's name.
        server: the server that it was started from; "" is the default server, None is none.
        age_seconds: since it was asked for.
        worker: what one worker takes.
        most: the most workers that it may have.
        wanted: workers that its scheduler asks for.
        granted: workers that it has been granted.
        size: name of the size of its workers.
        image: name of its image.
        status: dask-gateway's word for its state, such as ``RUNNING``.
        linger_seconds: how long it goes on without its server; None is as the description says.
        alone_seconds: how long its server has been gone; None is not at all, as far as is known.
        worker_seconds: the time of all workers that it was granted so far, added up.
    """

    name: str
    owner: str
    server: str | None
    age_seconds: float
    worker: Amount
    most: int
    wanted: int = 0
    granted: int = 0
    size: str = ""
    image: str = ""
    status: str = "PENDING"
    linger_seconds: int | None = None
    alone_seconds: float | None = None
    worker_seconds: float = 0


@dataclass(frozen=True)
class EndedCluster:
    """A cluster that is over, as long as the gateway remembers it.

    Attributes:
        name: of the cluster.
        owner: the user's name.
        ended: when, in seconds since 1970.
        reason: in words; empty where its user ended it.
        size: name of the size of its workers.
        image: name of its image.
    """

    name: str
    owner: str
    ended: float
    reason: str = ""
    size: str = ""
    image: str = ""


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


def is_alone(cluster: KeptCluster, owner: Owner) -> bool:
    """Return whether the server that the cluster belongs to does not run."""
    return cluster.server is not None and cluster.server not in owner.servers


def why_to_end(cluster: KeptCluster, owner: Owner | None, dask: DaskChoice) -> str | None:
    """Return why the cluster has to end now, in words for its user, or None if it may go on.

    Args:
        cluster: with ``alone_seconds`` as of this moment.
        owner: who the hub says its user is now; None is nobody.
        dask: what the user may have now.
    """
    if owner is None:
        return "Its user is no longer on this hub."
    if dask.state is not State.OPEN:
        return f"Its user may have no Dask clusters any more: {dask.why}."
    if dask.lifetime_seconds and cluster.age_seconds >= dask.lifetime_seconds:
        return f"It has lived for {format_seconds(dask.lifetime_seconds)}, the longest that a cluster may."
    if not is_alone(cluster, owner):
        return None
    linger = dask.linger_seconds
    if cluster.linger_seconds is not None:
        linger = min(cluster.linger_seconds, dask.max_linger_seconds)
    if linger <= 0:
        return "The server that it was started from has stopped."
    if (cluster.alone_seconds or 0) >= linger:
        return f"The server that it was started from has been stopped for {format_seconds(linger)}."
    return None
