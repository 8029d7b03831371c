"""What a cluster has cost so far: the time of all workers that it was granted, added up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """The time of granted workers until a moment; as text it is kept beside a cluster.

    Attributes:
        worker_seconds: one worker for an hour, or two for half of it, are 3600.
        until: that moment, in seconds since 1970.
    """

    worker_seconds: float
    until: float

    def at(self, now: float, granted: int) -> Spent:
        """Return what it is later, with so many workers granted since."""
        return Spent(self.worker_seconds + max(now - self.until, 0) * granted, max(now, self.until))

    def __str__(self) -> str:
        """Return it as `read` takes it."""
        return f"{self.worker_seconds:.0f} until {self.until:.0f}"

    @classmethod
    def read(cls, text: object, began: float) -> Spent:
        """Return what the text says; what is no such text is nothing spent since the cluster began."""
        amount, _, until = str(text).partition(" until ")
        try:
            return cls(float(amount), float(until))
        except ValueError:
            return cls(0, began)
