"""decide(description, user): every choice with its state, the reason, and the line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from scalablehub.decisions.capping import Amount, Bound, Bounds, bounds_of, excess
from scalablehub.description.buckets import Bucket
from scalablehub.description.entry import Entry
from scalablehub.description.models import (
    OWN_IMAGE,
    Description,
    Directory,
    Image,
    Interface,
    NodePool,
    OwnImage,
    Size,
)

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
        icon: a sign before the name.
    """

    name: str
    display_name: str
    description: str
    state: State
    why: str
    place: str
    icon: str = field(default="", kw_only=True)

    @property
    def is_open(self) -> bool:
        """Whether the user may choose it."""
        return self.state is State.OPEN


@dataclass(frozen=True)
class SizeChoice(Choice):
    """A size: cores, bytes of memory, GPUs, its node pool, and its price per hour if it has one."""

    cores: float
    memory: int
    node: str
    gpus: int = 0
    price: float | None = None
    spot: bool = False

    @property
    def amount(self) -> Amount:
        """What one server of this size takes."""
        return Amount(1, self.cores, self.memory, self.gpus, self.price or 0)

    @property
    def worker_amount(self) -> Amount:
        """What one worker of this size takes."""
        return replace(self.amount, servers=0, workers=1)


@dataclass(frozen=True)
class ImageChoice(Choice):
    """An environment, and the names of the interfaces that it has."""

    image: str | None
    prefix: str | None
    interfaces: tuple[str, ...]

    @property
    def label(self) -> str:
        """What labels call it: its name, without what a user wrote."""
        return self.name.partition(":")[0]


@dataclass(frozen=True)
class OwnImageChoice(Choice):
    """An image that the user names: what its whole name has to match, and the interfaces it can have."""

    patterns: tuple[str, ...]
    interfaces: tuple[str, ...]
    max_size: int | None = None


@dataclass(frozen=True)
class InterfaceChoice(Choice):
    """An interface, and its path on the user's server."""

    url: str


@dataclass(frozen=True)
class DatasetChoice:
    """A data set in a bucket: where it is, and how Intake opens it; `size` is in bytes, None is not said."""

    name: str
    description: str
    url: str
    driver: str
    size: int | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class BucketChoice(Choice):
    """Shared data: ``url`` is what this user gets, with their own prefix where there is one.

    Attributes:
        account: Azure's storage account that it is in.
        anonymous: whether it is read without keys.
        writable: whether they may write there.
        requester_pays: whether they pay for what they read.
        expire_days: after how many days the store deletes what is there; None is never.
        datasets: what is in it.
    """

    url: str
    endpoint: str | None
    region: str | None
    variable: str | None
    writable: bool
    account: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    expire_days: int | None = None
    datasets: tuple[DatasetChoice, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        """What its users have to know, in words."""
        days = self.expire_days
        return (
            *(() if days is None else (f"kept for {days} {'day' if days == 1 else 'days'}",)),
            *(("who reads pays",) if self.requester_pays else ()),
        )


@dataclass(frozen=True)
class DirectoryChoice(Choice):
    """A shared folder: a claim or a path of the machine, the part of it, and where it is on a server."""

    claim: str | None
    path: str | None
    mount: str
    folder: str | None
    writable: bool


@dataclass(frozen=True)
class DaskChoice:
    """Whether the user may have Dask clusters, how large, and for how long.

    Attributes:
        workers: sizes that workers may have.
        max_workers: most workers of one cluster.
        max_clusters: most clusters of the user.
        linger_seconds: how long a cluster goes on without its server, and the longest that may be chosen.
        lifetime_seconds: how long a cluster lives at most; 0 is for ever.
        bounds: the most that they, and the groups that they are in, may have of all clusters together.
    """

    state: State
    why: str
    place: str
    workers: tuple[SizeChoice, ...] = ()
    max_workers: int = 0
    max_clusters: int = 0
    idle_timeout_seconds: int = 0
    linger_seconds: int = 0
    max_linger_seconds: int = 0
    lifetime_seconds: int = 0
    bounds: tuple[Bounds, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the user may start clusters."""
        return self.state is State.OPEN


@dataclass(frozen=True)
class Decision:
    """Everything that one user may have, in the order of the page.

    Attributes:
        bounds: the most of everything that they, and the groups that they are in, may have at a time.
        currency: what stands before a price.
    """

    user: User
    sizes: tuple[SizeChoice, ...]
    images: tuple[ImageChoice, ...]
    interfaces: tuple[InterfaceChoice, ...]
    buckets: tuple[BucketChoice, ...]
    directories: tuple[DirectoryChoice, ...] = ()
    dask: DaskChoice = field(
        default=DaskChoice(State.HIDDEN, "this hub has no Dask clusters", "ScalableHub.dask")
    )
    own_image: OwnImageChoice | None = None
    bounds: tuple[Bounds, ...] = ()
    currency: str = "$"


class Verdict(NamedTuple):
    """Whether somebody may have something, why, and the line of the description that decides."""

    state: State
    why: str
    place: str


# From the most open to the most closed.
_CLOSED = (State.OPEN, State.LOCKED, State.HIDDEN)

_SomeEntry = TypeVar("_SomeEntry", bound=Entry)


def in_every_group(description: Description) -> User:
    """Return somebody who is in every group that a bucket is for: the most data that one user may have."""
    listed = [(bucket.allowed_groups, bucket.write_groups) for bucket in description.buckets.values()]
    groups = frozenset(group for two in listed for some in two for group in some or ())
    return User("somebody-in-every-group", groups)


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

    def verdict(where: str, entry: Entry) -> Verdict:
        if where in lacks:
            return Verdict(State.LOCKED, lacks[where], f"{place}.{where}")
        return _allowed(user, entry.allowed_groups, entry.locked, f"{place}.{where}")

    def size_verdict(where: str, entry: Size, pool: NodePool | None) -> Verdict:
        found = verdict(where, entry)
        if pool is None:
            return found
        of_pool = _allowed(user, pool.allowed_groups, pool.locked, f"{place}.nodes.{entry.node}")
        # Of two that agree, the one that a group decides says more.
        return max(found, of_pool, key=lambda one: (_CLOSED.index(one.state), "allowed_groups" in one.place))

    def size(name: str, entry: Size) -> SizeChoice:
        pool = description.nodes.get(entry.node or "")
        return SizeChoice(
            **_common(name, entry, size_verdict(f"sizes.{name}", entry, pool)),
            cores=entry.cores or 0,
            memory=entry.memory or 0,
            node=entry.node or "",
            gpus=entry.gpus or 0,
            price=entry.price,
            spot=pool is not None and pool.spot,
        )

    def image(name: str, entry: Image) -> ImageChoice:
        return ImageChoice(
            **_common(name, entry, verdict(f"images.{name}", entry)),
            image=entry.image,
            prefix=entry.prefix,
            interfaces=_interfaces(description, entry.interfaces),
        )

    def own_image(entry: OwnImage) -> OwnImageChoice:
        common = _common(OWN_IMAGE, entry, verdict("own_image", entry))
        return OwnImageChoice(
            **common | {"display_name": entry.display_name or "Another image"},
            patterns=entry.patterns,
            interfaces=_interfaces(description, entry.interfaces),
            max_size=entry.max_size,
        )

    def interface(name: str, entry: Interface) -> InterfaceChoice:
        return InterfaceChoice(**_common(name, entry, verdict(f"interfaces.{name}", entry)), url=entry.url)

    def bucket(name: str, entry: Bucket) -> BucketChoice:
        return BucketChoice(
            **_common(name, entry, verdict(f"buckets.{name}", entry)),
            url=f"{entry.url}/{user.slug}" if entry.per_user else entry.url,
            endpoint=entry.endpoint,
            region=entry.region,
            variable=entry.variable,
            writable=entry.access == "write" or not user.groups.isdisjoint(entry.write_groups or ()),
            account=entry.account,
            anonymous=entry.anonymous,
            requester_pays=entry.requester_pays,
            expire_days=entry.expire_days,
            datasets=tuple(
                DatasetChoice(
                    dataset_name,
                    dataset.description,
                    f"{entry.url}/{dataset.path}",
                    dataset.driver,
                    dataset.size,
                    dataset.options,
                )
                for dataset_name, dataset in entry.datasets.items()
            ),
        )

    def directory(name: str, entry: Directory) -> DirectoryChoice:
        return DirectoryChoice(
            **_common(name, entry, verdict(f"directories.{name}", entry)),
            claim=entry.claim,
            path=entry.path,
            mount=entry.mount,
            folder=entry.folder,
            writable=entry.access == "write",
        )

    sizes = {name: size(name, entry) for name, entry in _sorted(description.sizes)}
    bounds = bounds_of(description.caps, user.groups, f"{place}.caps", currency=description.currency)
    return Decision(
        user=user,
        sizes=tuple(
            _for_servers(choice, bounds)
            for name, choice in sizes.items()
            if not description.sizes[name].hidden
        ),
        images=tuple(image(*item) for item in _sorted(description.images)),
        interfaces=tuple(interface(*item) for item in _sorted(description.interfaces)),
        buckets=tuple(bucket(*item) for item in _sorted(description.buckets)),
        directories=tuple(directory(*item) for item in _sorted(description.directories)),
        dask=_decide_dask(description, user, tuple(sizes.values()), lacks, place),
        own_image=own_image(description.own_image) if description.own_image is not None else None,
        bounds=bounds,
        currency=description.currency,
    )


def _common(name: str, entry: Entry, verdict: Verdict) -> dict[str, Any]:
    return {
        "name": name,
        "display_name": entry.display_name or name,
        "description": entry.description,
        "icon": entry.icon,
        "state": verdict.state,
        "why": verdict.why,
        "place": verdict.place,
    }


def _interfaces(description: Description, names: tuple[str, ...] | None) -> tuple[str, ...]:
    return names if names is not None else tuple(description.interfaces)


def _for_servers(size: SizeChoice, bounds: tuple[Bounds, ...]) -> SizeChoice:
    """Return the size as servers may have it: one that is over a bound by itself cannot be chosen."""
    if not size.is_open:
        return size
    for bound in bounds:
        if (found := excess(bound, Amount(), size.amount)) is not None:
            return replace(size, state=State.LOCKED, why=f"{found.sentence}.", place=found.place)
    return size


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
    bounds = bounds_of(
        dask.caps,
        user.groups,
        f"{place}.dask.caps",
        currency=description.currency,
        general={"clusters": Bound(dask.max_clusters, f"{place}.dask.max_clusters")},
    )
    return DaskChoice(
        state,
        why,
        line,
        workers=tuple(
            size
            for size in sizes
            if size.is_open
            and (
                size.name in dask.workers
                if dask.workers is not None
                else not description.sizes[size.name].hidden
            )
        ),
        max_workers=dask.max_workers,
        max_clusters=int(bounds[0].by_measure["clusters"].most),
        idle_timeout_seconds=dask.idle_timeout,
        linger_seconds=dask.linger,
        max_linger_seconds=max(dask.linger, dask.max_linger or 0),
        lifetime_seconds=dask.lifetime,
        bounds=bounds,
    )


def _allowed(user: User, allowed_groups: tuple[str, ...] | None, locked: str, place: str) -> Verdict:
    if allowed_groups is None:
        return Verdict(State.OPEN, "for everybody", place)
    line = f"{place}.allowed_groups"
    shared = sorted(user.groups.intersection(allowed_groups))
    if shared:
        return Verdict(State.OPEN, f"for members of {shared[0]}", line)
    names = " or ".join(allowed_groups)
    reason = f"only for members of {names}" if names else "for nobody"
    return Verdict(State.LOCKED, locked, line) if locked else Verdict(State.HIDDEN, reason, line)


def _sorted(entries: Mapping[str, _SomeEntry]) -> list[tuple[str, _SomeEntry]]:
    return sorted(entries.items(), key=lambda item: (item[1].order, item[0]))
