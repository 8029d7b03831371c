"""A decision as a table: everything that the description has, whether this user may have it, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from scalablehub.decisions.capping import in_words
from scalablehub.decisions.deciding import BucketChoice, Choice, Decision, DirectoryChoice, State
from scalablehub.description.units import format_bytes, format_cores


class Row(NamedTuple):
    """One thing that the description has.

    Attributes:
        kind: what it is, such as ``"size"``.
        name: its name in the description.
        state: whether the user may have it.
        details: how much of it, for people.
        why: the reason for the state.
        place: the line of the description that decides.
    """

    kind: str
    name: str
    state: State
    details: str
    why: str
    place: str


_SECTIONS = (
    ("size", "sizes"),
    ("image", "images"),
    ("interface", "interfaces"),
    ("bucket", "buckets"),
    ("directory", "directories"),
)


def explain(decision: Decision) -> Iterator[Row]:
    """Yield a row for each thing, in the order of the page; then the user's caps."""
    for kind, section in _SECTIONS:
        choices: tuple[Choice, ...] = getattr(decision, section)
        for choice in choices:
            yield _row(kind, choice, decision.currency)
            if isinstance(choice, BucketChoice) and choice.is_open:
                yield from _datasets(choice)
        if kind == "image" and decision.own_image is not None:
            yield _row(kind, decision.own_image, decision.currency)
    dask = decision.dask
    limits = f"{_counted(dask.max_clusters, 'cluster')} of {_counted(dask.max_workers, 'worker')}"
    yield Row("dask", "", dask.state, limits if dask.is_open else "", dask.why, dask.place)
    for bounds in decision.bounds:
        for measure, bound in bounds.by_measure.items():
            most = in_words(measure, bound.most, bounds.currency)
            yield Row("cap", measure, State.OPEN, f"at most {most}", f"for {bounds.whose}", bound.place)


def _row(kind: str, choice: Choice, currency: str) -> Row:
    return Row(kind, choice.name, choice.state, _details(choice, currency), choice.why, choice.place)


def _details(choice: Any, currency: str) -> str:
    if hasattr(choice, "cores"):
        if not choice.memory:
            return ""
        parts = [format_cores(choice.cores), format_bytes(choice.memory)]
        if choice.gpus:
            parts.append(in_words("gpus", choice.gpus, currency))
        if choice.price is not None:
            parts.append(in_words("price", choice.price, currency))
        return ", ".join(parts)
    if isinstance(choice, DirectoryChoice):
        return f"{_access(choice.writable)}, at {choice.mount}"
    if isinstance(choice, BucketChoice):
        return ", ".join(_bucket(choice))
    return ", ".join(getattr(choice, "patterns", ()))


def _access(is_writable: bool) -> str:
    return "read and write" if is_writable else "read"


def _bucket(bucket: BucketChoice) -> Iterator[str]:
    """Yield how the user has a bucket: what they may do, where it is, and what they have to know."""
    yield _access(bucket.writable)
    yield f"{bucket.url} as {bucket.variable}" if bucket.variable else bucket.url
    if bucket.region:
        yield f"in {bucket.region}"
    yield from bucket.terms


def _datasets(bucket: BucketChoice) -> Iterator[Row]:
    """Yield what is in a bucket that the user may open."""
    for dataset in bucket.datasets:
        size = [format_bytes(dataset.size)] if dataset.size else []
        details = ", ".join([dataset.url, dataset.driver, *size])
        place = f"ScalableHub.buckets.{bucket.name}.datasets.{dataset.name}"
        yield Row("data set", dataset.name, bucket.state, details, bucket.why, place)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing if count == 1 else f'{thing}s'}"
