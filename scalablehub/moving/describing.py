"""From the values of an old hub to a description.

A profile is a combination: of a size, a node pool, an image and a landing page. A description lets people
combine them. So each part is taken out of the profiles, and given to those who could have it in one of
them; what can then be combined and could not before is listed. Nobody can start a server, by their groups,
with a part that they could not have before. Where that would take a list of groups that are needed together,
which there is not, nobody gets the part.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from scalablehub.description import OWN_IMAGE
from scalablehub.moving.clusters import describe_clusters
from scalablehub.moving.instances import LABELS, machine_of
from scalablehub.moving.leftovers import list_leftovers
from scalablehub.moving.losses import Losses, Uncarried
from scalablehub.moving.profiles import Layer, Way, clean, read_profiles, slug_of, ways_of
from scalablehub.moving.quantities import written
from scalablehub.moving.settings import SAMPLE_IMAGE, Settings, base_of, key_of, settings_of
from scalablehub.moving.values import OldHub

_GIB = 2**30
_NO_CORES = 0.1
_URL = re.compile(r"/[A-Za-z0-9._~/-]*")
_LAB = "/lab"
_INTERFACES: Mapping[str, tuple[str, dict[str, Any]]] = {
    _LAB: ("lab", {"display_name": "JupyterLab", "packages": ["jupyterlab"]}),
    "/tree": ("notebook", {"display_name": "Jupyter Notebook", "packages": ["notebook"]}),
    "/rstudio": (
        "rstudio",
        {"display_name": "RStudio", "packages": ["jupyter_rsession_proxy"], "commands": ["rserver"]},
    ),
}
_NAMED_PAIRS = 5

Groups = frozenset[str] | None


@dataclass(frozen=True)
class Moved:
    """What came of an old hub.

    Attributes:
        description: as `load_description` takes it.
        uncarried: what it does not have, or has otherwise, and why.
        remarks: what an admin has to look at in it, by the place, such as ``("nodes", "gpu")``.
    """

    description: dict[str, Any]
    uncarried: tuple[Uncarried, ...]
    remarks: Mapping[tuple[str, ...], str] = field(default_factory=dict)


@dataclass
class _Part:
    """One size, node pool, image or interface, with the ways that have it."""

    name: str
    entry: dict[str, Any]
    place: str
    ways: list[Way] = field(default_factory=list)
    allowed: Groups = None

    def was_open_to(self, groups: frozenset[str]) -> bool:
        """Return whether somebody in these groups could have it in the old hub."""
        return any(all(not one.isdisjoint(groups) for one in wanted) for wanted in self.wanted)

    @cached_property
    def wanted(self) -> frozenset[tuple[frozenset[str], ...]]:
        """What the ways need, each once."""
        return frozenset(way.wanted for way in self.ways)


class _Parts:
    """The parts of one section by what they are, each under a name of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.by_key: dict[str, _Part] = {}
        self._taken = set(taken)

    def add(self, key: Any, names: Iterable[str], place: str, way: Way, entry: dict[str, Any]) -> _Part:
        """Return the part of that key, made with the first name that is free if it is new."""
        found = self.by_key.get(text := key_of(key))
        if found is None:
            name = next(filter(None, (slug_of(name) for name in names)), "standard")
            number, free = 2, name
            while free in self._taken:
                free, number = f"{name}-{number}", number + 1
            self._taken.add(free)
            found = self.by_key[text] = _Part(free, entry, place)
        found.ways.append(way)
        return found

    def section(self, losses: Losses) -> dict[str, dict[str, Any]]:
        """Return the section in the order in which its parts were found, the default first."""
        return {
            part.name: {
                "order": number,
                **part.entry,
                **_for_groups(part.ways, part.allowed, part.place, losses),
            }
            for number, part in enumerate(self.by_key.values(), 1)
        }


def describe(hub: OldHub) -> Moved:
    """Return the description of an old hub, and what it does not have.

    Args:
        hub: the parts of its values, as `locate` finds them.
    """
    losses = Losses()
    draft, base = _Draft(hub, losses), base_of(hub)
    ways = [(way, settings_of(base, way, losses)) for way in ways_of(read_profiles(hub, losses), losses)]
    most: dict[str, list[Settings]] = {}
    landing: dict[str, dict[str, None]] = {}
    own: list[tuple[Way, Settings, str]] = []
    had: list[tuple[Way, str, str]] = []
    for way, found in ways:
        pool = draft.pool(way, found)
        most.setdefault(pool.name, []).append(found)
        size = draft.size(way, found, pool)
        interface = draft.interface(way, found)
        if _writing(found) is not None:
            own.append((way, found, interface.name))
            continue
        image = draft.image(way, found)
        landing.setdefault(image.name, {})[interface.name] = None
        had.append((way, size.name, image.name))
    owned = _own_image(own, losses)
    _allow(draft, owned)
    description: dict[str, Any] = {
        "nodes": _nodes(draft, most),
        "sizes": draft.sizes.section(losses),
        "images": draft.images.section(losses),
        "interfaces": draft.interfaces.section(losses),
    }
    for name, landings in landing.items():
        description["images"][name]["interfaces"] = list(landings)
    description = {name: section for name, section in description.items() if section}
    if owned is not None:
        description["own_image"] = owned.entry | _for_groups(owned.ways, owned.allowed, owned.place, losses)
    _list_wider(description, had, draft)
    clusters, cluster_remarks = describe_clusters(hub, losses)
    if clusters is not None:
        description["dask"] = clusters
        draft.remarks |= cluster_remarks
    list_leftovers(hub, losses)
    return Moved(description, losses.all(), draft.remarks)


def all_groups(ways: Iterable[Way]) -> tuple[str, ...]:
    """Return the names of all groups that ways to start a server mention, sorted."""
    return tuple(sorted({group for way in ways for wanted in way.wanted for group in wanted}))


def _writing(found: Settings) -> Layer | None:
    """Return the choice by which the user writes the image, unless another one says it after that."""
    return found.imaged_by if found.imaged_by is not None and found.imaged_by.regex is not None else None


@dataclass
class _Draft:
    """The sections while they are taken out of the ways, one way after the other."""

    hub: OldHub
    losses: Losses
    remarks: dict[tuple[str, ...], str] = field(default_factory=dict)
    pools: _Parts = field(default_factory=_Parts)
    sizes: _Parts = field(default_factory=_Parts)
    images: _Parts = field(default_factory=lambda: _Parts({OWN_IMAGE}))
    interfaces: _Parts = field(default_factory=_Parts)

    def pool(self, way: Way, found: Settings) -> _Part:
        """Return the node pool of a way."""
        entry: dict[str, Any] = {}
        if found.selector:
            entry["selector"] = dict(found.selector)
        if found.tolerations:
            entry["tolerations"] = [dict(toleration) for toleration in found.tolerations]
        if found.gpu_resource != "nvidia.com/gpu":
            entry["gpu_resource"] = found.gpu_resource
        if found.of_pool:
            entry["kubespawner_override"] = dict(found.of_pool)
        labels = [found.selector[label] for label in LABELS if label in found.selector]
        names = [*labels, *found.selector.values()]
        if found.tolerations or found.of_pool:
            names += [profile.name for profile in way.layers[:1]]
        place = way.layers[0].place if way.layers else self.hub.where("singleuser")
        return self.pools.add(entry, [*names, "standard"], place, way, dict(entry))

    def size(self, way: Way, found: Settings, pool: _Part) -> _Part:
        """Return the size of a way."""
        by = found.sized_by
        place = by.place if by is not None else self.hub.where("singleuser")
        figures = {
            "cores": found.cores if found.cores is not None else _NO_CORES,
            "memory": written(found.memory if found.memory is not None else _GIB),
        }
        entry = _words(by) | {"node": pool.name} | figures
        if found.gpus:
            entry["gpus"] = found.gpus
        names = [by.name if by is not None else "", "standard"]
        part = self.sizes.add((pool.name, figures, found.gpus), names, place, way, entry)
        self._say_figures(part, found)
        return part

    def image(self, way: Way, found: Settings) -> _Part:
        """Return the image of a way."""
        by = found.imaged_by
        place = by.place if by is not None else self.hub.where("singleuser", "image")
        name = found.image or SAMPLE_IMAGE
        # A profile that says the size too is what the size is named after.
        words_by = None if by is found.sized_by else by
        entry = _words(words_by) | {"image": name}
        if found.of_image:
            entry["kubespawner_override"] = dict(found.of_image)
        named = name.rpartition("/")[2].partition("@")[0].partition(":")[0]
        names = [words_by.name if words_by is not None else "", named, "image"]
        part = self.images.add((name, found.of_image), names, place, way, entry)
        if found.image is None:
            self.losses.add(place, f"is not said; {SAMPLE_IMAGE} has the tag of your chart")
            self.remarks["images", part.name, "image"] = "write the image with its tag"
        return part

    def interface(self, way: Way, found: Settings) -> _Part:
        """Return the landing page of a way."""
        by = found.landed_by
        place = by.place if by is not None else self.hub.where("singleuser", "defaultUrl")
        url = found.url or _LAB
        if not _URL.fullmatch(url):
            self.losses.add(place, f"the landing page has more than a path; people land on {_LAB}")
            url = _LAB
        name, entry = _INTERFACES.get(url.rstrip("/"), (slug_of(url), {}))
        entry = {**entry, "url": url}
        if found.of_interface:
            entry["kubespawner_override"] = dict(found.of_interface)
        return self.interfaces.add((url, found.of_interface), [name, "home"], place, way, entry)

    def _say_figures(self, part: _Part, found: Settings) -> None:
        where = ("sizes", part.name)
        if found.cores is None:
            self.losses.add(
                part.place, f"guarantees no cores; size '{part.name}' needs some, and says {_NO_CORES}"
            )
            self.remarks[*where, "cores"] = "no cores were guaranteed; say how much a server needs"
        if found.memory is None:
            self.losses.add(part.place, f"says no memory; size '{part.name}' needs one, and says 1G")
            self.remarks[*where, "memory"] = "no memory was said; say how much a server needs"
        elif found.memory_most is None:
            self.losses.add(
                part.place,
                f"has no limit of memory; in size '{part.name}' the {written(found.memory)} that were "
                "guaranteed are also the limit, beyond which a server ends",
            )
            self.remarks[*where, "memory"] = (
                "there was no limit of memory, and now this is it; say how much people need"
            )
        elif found.memory_guaranteed not in (None, found.memory_most):
            self.losses.add(
                part.place,
                f"guaranteed {written(found.memory_guaranteed or 0)} of memory and let servers use "
                f"{written(found.memory_most)}; size '{part.name}' guarantees all of it, so fewer fit a node",
            )


def _words(layer: Layer | None) -> dict[str, Any]:
    if layer is None:
        return {}
    words = {"display_name": layer.display_name, "description": layer.description}
    return {key: clean(value) for key, value in words.items() if value}


def _nodes(draft: _Draft, most: Mapping[str, Sequence[Settings]]) -> dict[str, dict[str, Any]]:
    nodes = {}
    for number, part in enumerate(draft.pools.by_key.values(), 1):
        _keep_limit_of_cores(part, most[part.name], draft.losses)
        nodes[part.name] = {"order": number} | _capacity(part, most[part.name], draft.remarks) | part.entry
    return nodes


def _keep_limit_of_cores(part: _Part, found: Sequence[Settings], losses: Losses) -> None:
    """Keep a limit of cores that all servers of a pool have; a size of ours has none, and bursts."""
    limits = {settings.cores_most for settings in found}
    if limits == {None}:
        return
    if len(limits) == 1:
        part.entry["kubespawner_override"] = {
            **part.entry.get("kubespawner_override", {}),
            "cpu_limit": limits.pop(),
        }
        return
    losses.add(
        part.place,
        f"the limit of cores differs among servers of node pool '{part.name}' and is left out: they may use "
        "cores that nobody else needs; what they are guaranteed stays",
    )


def _capacity(part: _Part, found: Sequence[Settings], remarks: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """Return what a node has: by the name of its machine type, else the most that is asked of one."""
    cores = max(settings.cores if settings.cores is not None else _NO_CORES for settings in found)
    memory = max(settings.memory if settings.memory is not None else _GIB for settings in found)
    gpus = max(settings.gpus for settings in found)
    machine = machine_of(part.entry.get("selector", {}))
    capacity: dict[str, Any]
    if machine is not None and machine.cores >= cores and machine.memory >= memory:
        spare = min(0.5, round(machine.cores - cores, 3))
        kept = min(max(_GIB, machine.memory // 10), machine.memory - memory)
        capacity = {
            "cores": machine.cores,
            "memory": written(machine.memory),
            "reserved": {"cores": spare, "memory": written(kept) if kept else 0},
        }
        remarks[("nodes", part.name)] = (
            "cores and memory are those of the machine type in its selector; `reserved` is not measured"
        )
    else:
        capacity = {"cores": cores, "memory": written(memory), "reserved": {"cores": 0, "memory": 0}}
        remarks[("nodes", part.name)] = (
            "the values do not say what a node has; this is the most that is asked of one"
        )
    return capacity | ({"gpus": gpus} if gpus else {})


def _allow(draft: _Draft, own: _Part | None) -> None:
    """Say for whom each part is: for those groups that alone are enough, and for those that add nothing.

    A group adds nothing if nobody can start more with it. An image that only some of a profile's people may
    choose can be for those, where nobody else may have a size.
    """
    sizes, images = list(draft.sizes.by_key.values()), list(draft.images.by_key.values())
    interfaces = list(draft.interfaces.by_key.values())
    with_sizes = [*images, *interfaces, *([own] if own is not None else [])]
    for part in (*sizes, *with_sizes):
        part.allowed = _sufficient(part.ways)
    for parts, others in (([*images, *interfaces], sizes), (sizes, with_sizes)):
        for part in parts:
            for group in sorted(set(all_groups(part.ways)) - (part.allowed or frozenset())):
                if part.allowed is not None and _adds_nothing(group, part, others):
                    part.allowed |= {group}


def _adds_nothing(group: str, part: _Part, others: Sequence[_Part]) -> bool:
    """Return whether all who would start one of the others with a part of a group could have both."""
    for other in others:
        for beside in [[]] if other.allowed is None else [[name] for name in sorted(other.allowed)]:
            groups = frozenset({group, *beside})
            if not (part.was_open_to(groups) and other.was_open_to(groups)):
                return False
    return True


def _for_groups(ways: Sequence[Way], allowed: Groups, place: str, losses: Losses) -> dict[str, Any]:
    if allowed is None:
        return {}
    if lost := _needing_several(ways, allowed):
        losses.add(
            place,
            f"somebody could have it who is in {_names(lost)} at once, which no list of groups says; they "
            "cannot now, unless you make them a group and add it to its allowed_groups",
        )
    return {"allowed_groups": sorted(allowed)}


def _sufficient(ways: Iterable[Way]) -> Groups:
    """Return the groups, each of which alone is enough for one of the ways; None: no group is needed."""
    found: set[str] = set()
    for way in ways:
        if way.groups is None:
            return None
        found |= way.groups
    return frozenset(found)


def _needing_several(ways: Iterable[Way], groups: frozenset[str]) -> list[str]:
    """Return groups that together open a way, where none that is enough is among them."""
    for way in ways:
        rest = [sorted(wanted - groups) for wanted in way.wanted]
        if rest and all(rest):
            return sorted({wanted[0] for wanted in rest})
    return []


def _own_image(own: Sequence[tuple[Way, Settings, str]], losses: Losses) -> _Part | None:
    """Return the section for images that people name themselves, for the most people that it can be for."""
    patterns: dict[str, list[Way]] = {}
    layers: dict[str, Layer] = {}
    interfaces: dict[str, dict[str, None]] = {}
    for way, found, interface in own:
        layer = _writing(found)
        assert layer is not None  # noqa: S101 (that is why it is here)
        if (pattern := _pattern(found.image or "", layer, losses)) is not None:
            patterns.setdefault(pattern, []).append(way)
            layers.setdefault(pattern, layer)
            interfaces.setdefault(pattern, {})[interface] = None
    if not patterns:
        return None
    groups = {pattern: _sufficient(ways) for pattern, ways in patterns.items()}
    most = next((pattern for pattern, found in groups.items() if found is None), None)
    if most is None:
        most = max(groups, key=lambda pattern: len(groups[pattern] or ()))
    chosen = [pattern for pattern in groups if _covers(groups[pattern], groups[most])]
    for pattern in groups:
        if pattern not in chosen:
            losses.add(
                layers[pattern].place,
                f"images of one's own are for {_whom(groups[most])}, as there is one list of patterns; its "
                "regular expression is for others and is left out",
            )
    entry = _words(layers[most]) | {"patterns": chosen}
    entry["interfaces"] = list(dict.fromkeys(name for pattern in chosen for name in interfaces[pattern]))
    return _Part(OWN_IMAGE, entry, layers[most].place, patterns[most])


def _pattern(image: str, layer: Layer, losses: Losses) -> str | None:
    """Return what the whole name of an image has to match, or None if that cannot be said."""
    regex = layer.regex or ""
    before, mark, after = image.partition("{value}")
    rest = before + after
    if not mark or "{" in rest or "}" in rest:
        losses.add(
            layer.place, "what the user writes stands for more or less than one part of the image's name"
        )
        return None
    if rest:
        inner = regex.removeprefix("^")
        inner = inner[:-1] if inner.endswith("$") and not inner.endswith("\\$") else inner
        if "^" in re.sub(r"\[\^|\\\^", "", inner) or re.search(r"(?<!\\)\$", inner):
            losses.add(layer.place, "its regular expression begins or ends in several places")
            return None
        pattern = f"{re.escape(before)}(?:{inner}){re.escape(after)}"
    else:
        pattern = regex
    if not (_compiles(regex) and _compiles(pattern)):
        losses.add(layer.place, "its regular expression cannot be used by Python without doubt")
        return None
    if not regex.endswith(("$", r"\Z", ".*", ".+")):
        losses.add(
            layer.place,
            "KubeSpawner looks only at how a name begins, and lets anything follow; here the whole name has "
            "to match. Add '.*' to the pattern if anything may follow",
        )
    return pattern


def _compiles(regex: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(regex)
    except (re.error, OverflowError, RecursionError, Warning):
        return False
    return True


def _covers(groups: Groups, others: Groups) -> bool:
    """Return whether all who are in one of the others may have what is for the groups."""
    return groups is None or (others is not None and others <= groups)


def _list_wider(description: Mapping[str, Any], had: Sequence[tuple[Way, str, str]], draft: _Draft) -> None:
    """List what can be combined and could not be before, for each size."""
    groups = all_groups(way for way, _, _ in had)
    asking = [frozenset[str](), *(frozenset({group}) for group in groups), frozenset(groups)]
    wider: dict[str, dict[str, None]] = {}
    for asked in asking:
        before = {(size, image) for way, size, image in had if way.is_open_to(asked)}
        after = product(_open(description, "sizes", asked), _open(description, "images", asked))
        for size, image in after:
            if (size, image) not in before:
                wider.setdefault(size, {})[image] = None
    places = {part.name: part.place for part in draft.sizes.by_key.values()}
    for size, images in wider.items():
        names = [f"'{image}'" for image in images]
        more = f" and {len(names) - _NAMED_PAIRS} more" if len(names) > _NAMED_PAIRS else ""
        draft.losses.add(
            places[size],
            f"size '{size}' could not be had with every image; who may have both can now combine it with "
            f"{', '.join(names[:_NAMED_PAIRS])}{more}",
        )


def _open(description: Mapping[str, Any], section: str, groups: frozenset[str]) -> list[str]:
    return [
        name
        for name, entry in description.get(section, {}).items()
        if (allowed := entry.get("allowed_groups")) is None or not groups.isdisjoint(allowed)
    ]


def _names(groups: Sequence[str]) -> str:
    return " and ".join(f"'{group}'" for group in groups)


def _whom(groups: Groups) -> str:
    return (
        "everybody" if groups is None else f"members of {' or '.join(sorted(groups))}" if groups else "nobody"
    )
