"""What all servers of this hub take at this moment, so that nobody gets more than their cap.

The hub is one process and decides without waiting in between, so what is entered here cannot be had twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from scalablehub.decisions import Amount


class Holder(NamedTuple):
    """A server: the hub's id of its user, which outlives a change of name, and the server's name."""

    user: int
    server: str


class Ledger:
    """What each server takes, from the moment its start is granted until it has ended."""

    def __init__(self) -> None:
        self._held: dict[Holder, Amount] = {}

    def hold(self, holder: Holder, amount: Amount) -> None:
        """Enter what a server takes, instead of what it took before."""
        self._held[holder] = amount

    def release(self, holder: Holder) -> None:
        """Forget a server that has ended."""
        self._held.pop(holder, None)

    def total(self, users: Collection[int], besides: Holder) -> Amount:
        """Return what these users' servers take together, without one of them."""
        amounts = (
            amount for holder, amount in self._held.items() if holder.user in users and holder != besides
        )
        return sum(amounts, Amount())
