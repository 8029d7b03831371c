"""decide(description, user): every choice with its state, the reason, and the line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote

from scalablehub.description.models import Bucket, Description, Directory, Entry, Image, Interface, Size

_NOTHING: Mapping[str, str] = MappingProxyType({})


class State(StrEnum):
    """Whether a choice is the user's to make."""

    OPEN = "open"
    LOCKED = "locked"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class User:
    """Who asks: the hub's name for them, and the hub's groups that they are in."""

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False

    @property
    def slug(self) -> str:
        """The name as one safe path component: distinct users have distinct slugs, none is '.' or '..'."""
        quoted = quote(self.name, safe="@+")
        return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


@dataclass(frozen=True)
class Choice:
    """One thing that a user may be offered.

    Attributes:
        name: its name in the description.
        display_name: what people read.
        description: one sentence about it.
        state: open, locked (shown with ``why``), or hidden.
        why: the reason for the state, in words for this user.
        place: the line of the description that decides, such as ``ScalableHub.sizes.large.allowed_groups``.
    """

    name: str
    display_name: str
    description: str
    state: State
    why: str
    place: str

    @property
    def is_open(self) -> bool:
        """Whether the user may choose it."""
        return self.state is State.OPEN


@dataclass(frozen=True)
class SizeChoice(Choice):
    """A size: cores, bytes of memory, and the node pool it runs on."""

    cores: float
    memory: int
    node: str


@dataclass(frozen=True)
class ImageChoice(Choice):
    """An environment, and the names of the interfaces that it has."""

    image: str | None
    prefix: str | None
    interfaces: tuple[str, ...]


@dataclass(frozen=True)
class InterfaceChoice(Choice):
    """An interface, and its path on the user's server."""

    url: str


@dataclass(frozen=True)
class BucketChoice(Choice):
    """Shared data: ``url`` is what this user gets, with their own prefix where there is one."""

    url: str
    endpoint: str | None
    region: str | None
    variable: str | None
    writable: bool


@dataclass(frozen=True)
class DirectoryChoice(Choice):
    """A shared folder: a volume claim, the part of it, and where it is on a server."""

    claim: str
    mount: str
    folder: str | None
    writable: bool


@dataclass(frozen=True)
class DaskChoice:
    """Whether the user may have Dask clusters, and how large."""

    state: State
    why: str
    place: str
    workers: tuple[SizeChoice, ...] = ()
    max_workers: int = 0
    max_clusters: int = 0
    idle_timeout_seconds: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the user may start clusters."""
        return self.state is State.OPEN


@dataclass(frozen=True)
class Decision:
    """Everything that one user may have, in the order of the page."""

    user: User
    sizes: tuple[SizeChoice, ...]
    images: tuple[ImageChoice, ...]
    interfaces: tuple[InterfaceChoice, ...]
    buckets: tuple[BucketChoice, ...]
    directories: tuple[DirectoryChoice, ...] = ()
    dask: DaskChoice = field(
        default=DaskChoice(State.HIDDEN, "this hub has no Dask clusters", "ScalableHub.dask")
    )


_SomeEntry = TypeVar("_SomeEntry", bound=Entry)


def decide(
    description: Description, user: User, lacks: Mapping[str, str] = _NOTHING, place: str = "ScalableHub"
) -> Decision:
    """Return what the user may have.

    Args:
        description: the hub's description, resolved.
        user: who asks, with the groups the hub knows at this moment.
        lacks: what cannot be had where the hub runs: a place such as ``"interfaces.rstudio"`` to the reason.
        place: how the admin calls the whole description.
    """

    def verdict(section: str, name: str, entry: Entry) -> tuple[str, str, str, State, str, str]:
        where = f"{section}.{name}"
        if where in lacks:
            state, why, line = State.LOCKED, lacks[where], f"{place}.{where}"
        else:
            state, why, line = _allowed(user, entry.allowed_groups, entry.locked, f"{place}.{where}")
        return name, entry.display_name or name, entry.description, state, why, line

    def size(name: str, entry: Size) -> SizeChoice:
        return SizeChoice(
            *verdict("sizes", name, entry), cores=entry.cores or 0, memory=entry.memory or 0, node=entry.node
        )

    def image(name: str, entry: Image) -> ImageChoice:
        interfaces = entry.interfaces if entry.interfaces is not None else tuple(description.interfaces)
        return ImageChoice(
            *verdict("images", name, entry), image=entry.image, prefix=entry.prefix, interfaces=interfaces
        )

    def interface(name: str, entry: Interface) -> InterfaceChoice:
        return InterfaceChoice(*verdict("interfaces", name, entry), url=entry.url)

    def bucket(name: str, entry: Bucket) -> BucketChoice:
        return BucketChoice(
            *verdict("buckets", name, entry),
            url=f"{entry.url}/{user.slug}" if entry.per_user else entry.url,
            endpoint=entry.endpoint,
            region=entry.region,
            variable=entry.variable,
            writable=entry.access == "write",
        )

    def directory(name: str, entry: Directory) -> DirectoryChoice:
        return DirectoryChoice(
            *verdict("directories", name, entry),
            claim=entry.claim,
            mount=entry.mount,
            folder=entry.folder,
            writable=entry.access == "write",
        )

    sizes = tuple(size(*item) for item in _sorted(description.sizes))
    return Decision(
        user=user,
        sizes=sizes,
        images=tuple(image(*item) for item in _sorted(description.images)),
        interfaces=tuple(interface(*item) for item in _sorted(description.interfaces)),
        buckets=tuple(bucket(*item) for item in _sorted(description.buckets)),
        directories=tuple(directory(*item) for item in _sorted(description.directories)),
        dask=_decide_dask(description, user, sizes, lacks, place),
    )


def _decide_dask(
    description: Description,
    user: User,
    sizes: tuple[SizeChoice, ...],
    lacks: Mapping[str, str],
    place: str,
) -> DaskChoice:
    dask = description.dask
    if dask is None:
        return DaskChoice(State.HIDDEN, "this hub has no Dask clusters", f"{place}.dask")
    if "dask" in lacks:
        return DaskChoice(State.LOCKED, lacks["dask"], f"{place}.dask")
    state, why, line = _allowed(user, dask.allowed_groups, "", f"{place}.dask")
    if state is not State.OPEN:
        return DaskChoice(state, why, line)
    return DaskChoice(
        state,
        why,
        line,
        workers=tuple(
            size for size in sizes if size.is_open and (dask.workers is None or size.name in dask.workers)
        ),
        max_workers=dask.max_workers,
        max_clusters=dask.max_clusters,
        idle_timeout_seconds=dask.idle_timeout,
    )


def _allowed(
    user: User, allowed_groups: tuple[str, ...] | None, locked: str, place: str
) -> tuple[State, str, str]:
    if allowed_groups is None:
        return State.OPEN, "for everybody", place
    line = f"{place}.allowed_groups"
    shared = sorted(user.groups.intersection(allowed_groups))
    if shared:
        return State.OPEN, f"for members of {shared[0]}", line
    names = " or ".join(allowed_groups)
    reason = f"only for members of {names}" if names else "for nobody"
    return (State.LOCKED, locked, line) if locked else (State.HIDDEN, reason, line)


def _sorted(entries: Mapping[str, _SomeEntry]) -> list[tuple[str, _SomeEntry]]:
    return sorted(entries.items(), key=lambda item: (item[1].order, item[0]))
