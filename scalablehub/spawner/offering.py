"""What is left to choose beside what runs already: sizes that would be over a cap are locked, and say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalablehub.decisions import Amount, Bounds, Decision, State, excess


def beside(decision: Decision, used: Sequence[tuple[Bounds, Amount]]) -> Decision:
    """Return the decision with the sizes locked that cannot be had beside what is used.

    The start itself is held to the caps by the ledger, whatever the page said.

    Args:
        decision: what the user may have.
        used: each bound that holds, and what all others of the same user or group take of it.
    """
    sizes = []
    for size in decision.sizes:
        found = next(
            (over for bounds, taken in used if (over := excess(bounds, taken, size.amount)) is not None), None
        )
        if size.is_open and found is not None:
            sizes.append(replace(size, state=State.LOCKED, why=f"{found.sentence}.", place=found.place))
        else:
            sizes.append(size)
    return replace(decision, sizes=tuple(sizes))


def used_up(decision: Decision, left: Decision) -> str:
    """Return why no size is left where some could be had, or nothing if one is."""
    if any(size.is_open for size in left.sizes) or not any(size.is_open for size in decision.sizes):
        return ""
    first = next(size for size, was in zip(left.sizes, decision.sizes, strict=True) if was.is_open)
    return f"No size can be started at the moment. {first.why}"
