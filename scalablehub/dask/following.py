"""Clusters, and when one has to end: it follows its server, its user's rights, and its age."""

from __future__ import annotations

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
        granted_seconds: how long it has been granted that many.
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
    granted_seconds: float = 0


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
