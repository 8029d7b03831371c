"""What the spawn page says of how soon a server could run."""

from __future__ import annotations

from dataclasses import dataclass

AT_ONCE = "starts in seconds"


@dataclass(frozen=True)
class Readiness:
    """What the page says of a size.

    Attributes:
        sentence: such as "needs a new node, about 5 minutes".
        images: names of the environments that are on a node with room already; None where it does not matter.
    """

    sentence: str
    images: frozenset[str] | None = None

    def sentence_for(self, image: str) -> str:
        """Return what is said of a server of this size with an environment, by the environment's name."""
        return self.sentence if self.images is None or image in self.images else self.unless_there

    @property
    def unless_there(self) -> str:
        """What is said of an environment that is on none of the nodes with room."""
        return "a node has room; the environment is fetched first" if self.images is not None else ""
