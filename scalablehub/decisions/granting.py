"""How many workers each cluster gets of those that it wants, so that nobody has more than they may.

What a cluster has been granted it keeps, the oldest first, as long as that is within the bounds; what is left
goes one worker at a time around the clusters that want more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scalablehub.decisions.capping import Amount, Bounds, Excess, excess


@dataclass(frozen=True)
class Wish:
    """What a cluster wants.

    Attributes:
        cluster: its name.
        owner: the user's name.
        wanted: workers that its scheduler asks for.
        granted: workers that it was granted before.
        worker: what one of its workers takes.
        most: the most workers that it may have, whatever is free.
        age_seconds: how long it has been there.
    """

    cluster: str
    owner: str
    wanted: int
    granted: int
    worker: Amount
    most: int
    age_seconds: float = 0


@dataclass(frozen=True)
class Grant:
    """How many workers a cluster gets, and why not more, if it wants more."""

    workers: int
    held_by: Excess | None = None


_Scope = tuple[str, str]


def grant(wishes: Iterable[Wish], bounds: Mapping[str, tuple[Bounds, ...]]) -> dict[str, Grant]:
    """Return what each cluster gets, by its name.

    Args:
        wishes: of every cluster that counts, of all users whose bounds may meet in a group.
        bounds: of each owner; who is not in it gets no worker.
    """
    oldest_first = sorted(wishes, key=lambda wish: (-wish.age_seconds, wish.cluster))
    used: dict[_Scope, Amount] = {}
    granted: dict[str, int] = {}

    def held_by(wish: Wish) -> Excess | None:
        """Return what keeps the cluster from one worker more."""
        if wish.owner not in bounds:
            return Excess("Its user may have no clusters any more", "")
        if granted[wish.cluster] >= wish.most:
            number = f"{wish.most} {'worker' if wish.most == 1 else 'workers'}"
            return Excess(f"{number} is the most that one cluster may have", "")
        for bound in bounds[wish.owner]:
            found = excess(bound, used.get(_scope(wish, bound), Amount()), wish.worker)
            if found is not None:
                return found
        return None

    def give(wish: Wish) -> bool:
        if granted[wish.cluster] >= wish.wanted or held_by(wish) is not None:
            return False
        granted[wish.cluster] += 1
        for bound in bounds[wish.owner]:
            scope = _scope(wish, bound)
            used[scope] = used.get(scope, Amount()) + wish.worker
        return True

    for wish in oldest_first:
        granted[wish.cluster] = 0
        while granted[wish.cluster] < wish.granted and give(wish):
            pass
    wanting = oldest_first
    while wanting:
        wanting = [wish for wish in wanting if give(wish)]
    return {
        wish.cluster: Grant(
            granted[wish.cluster], held_by(wish) if granted[wish.cluster] < wish.wanted else None
        )
        for wish in oldest_first
    }


def _scope(wish: Wish, bounds: Bounds) -> _Scope:
    return ("user", wish.owner) if bounds.group is None else ("group", bounds.group)
