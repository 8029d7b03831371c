"""What one way to start a server comes to: KubeSpawner's options, put over each other as it does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from scalablehub.description import Toleration
from scalablehub.description.models import LabelKey, LabelValue
from scalablehub.errors import shown
from scalablehub.moving.losses import Losses, below
from scalablehub.moving.profiles import Layer, Way
from scalablehub.moving.quantities import cores, kubernetes_bytes, spawner_bytes, whole
from scalablehub.moving.values import OldHub, mapping
from scalablehub.spawner.overriding import DECIDED, DECIDED_WITHIN, merged

SAMPLE_IMAGE = "quay.io/jupyterhub/k8s-singleuser-sample"
"""What zero-to-jupyterhub starts where its values name no image; its tag is that of the chart."""

_CHART_MEMORY = "1G"
_RESOURCES = frozenset({"cpu_guarantee", "cpu_limit", "mem_guarantee", "mem_limit"})
_EXTRA = ("extra_resource_guarantees", "extra_resource_limits")
_PLACEMENT = frozenset({"node_selector", "tolerations"})
_MAPPINGS = frozenset({"node_selector", *_EXTRA})
_OF_A_SIZE = _RESOURCES | _PLACEMENT | frozenset(_EXTRA)
_READ = _OF_A_SIZE | {"image", "default_url"}
_IN_CHART = {
    "cpu_guarantee": "cpu.guarantee",
    "cpu_limit": "cpu.limit",
    "mem_guarantee": "memory.guarantee",
    "mem_limit": "memory.limit",
    "extra_resource_guarantees": "extraResource.guarantees",
    "extra_resource_limits": "extraResource.limits",
    "default_url": "defaultUrl",
}
_ADDED = frozenset({"extra_containers", "init_containers", "volume_mounts", "volumes"})
_OPTION = re.compile(r"[a-z][a-z0-9_]*")
_SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_SELECTOR: TypeAdapter[dict[str, str]] = TypeAdapter(dict[LabelKey, LabelValue])
_TOLERATIONS: TypeAdapter[tuple[Toleration, ...]] = TypeAdapter(tuple[Toleration, ...])

Override = Mapping[str, Any]
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Settings:
    """What a server of one way gets.

    Attributes:
        cores_guaranteed, cores_most: cores that are requested, and the limit; None is not said.
        memory_guaranteed, memory_most: bytes that are requested, and the limit; None is not said.
        gpu_resource, gpus: how Kubernetes calls its GPUs, and how many.
        image: the container image, with ``{value}`` for what the user writes, if the way has them write it.
        url: where the user lands; None is not said.
        selector, tolerations: those that the profile has beside the chart's own.
        of_pool, of_image, of_interface: the options of KubeSpawner for which the description has no word.
        sized_by, imaged_by, landed_by: the layer that said the size, the image, the landing page last; None:
            the chart's values.
    """

    cores_guaranteed: float | None
    cores_most: float | None
    memory_guaranteed: int | None
    memory_most: int | None
    gpu_resource: str
    gpus: int
    image: str | None
    url: str | None
    selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    of_pool: Override
    of_image: Override
    of_interface: Override
    sized_by: Layer | None
    imaged_by: Layer | None
    landed_by: Layer | None

    @property
    def memory(self) -> int | None:
        """Bytes that a size of ours has, which are guaranteed and the limit: what the server could have."""
        return self.memory_most if self.memory_most is not None else self.memory_guaranteed

    @property
    def cores(self) -> float | None:
        """Cores that a size of ours guarantees; Kubernetes requests a limit where nothing is requested."""
        return self.cores_guaranteed if self.cores_guaranteed is not None else self.cores_most


def key_of(value: Any) -> str:
    """Return text that is the same for the same plain values."""
    return json.dumps(value, sort_keys=True, default=str)


def base_of(hub: OldHub) -> Layer:
    """Return what the chart's values and `hub.config` say for every server, if a description says it too."""
    singleuser, place = mapping(hub.at("singleuser")), hub.where("singleuser")
    memory, cpu = mapping(singleuser.get("memory")), mapping(singleuser.get("cpu"))
    extra = mapping(singleuser.get("extraResource"))
    override: dict[str, Any] = {
        "mem_guarantee": memory.get("guarantee", _CHART_MEMORY),
        "mem_limit": memory.get("limit"),
        "cpu_guarantee": cpu.get("guarantee"),
        "cpu_limit": cpu.get("limit"),
        "extra_resource_limits": mapping(extra.get("limits")),
        "extra_resource_guarantees": mapping(extra.get("guarantees")),
        "default_url": singleuser.get("defaultUrl"),
        "image": _chart_image(singleuser.get("image")),
    }
    for section in ("Spawner", "KubeSpawner"):
        for name, value in mapping(hub.at("hub", "config", section)).items():
            if name in override:
                override[name] = value
    return Layer(place, "", "", "", override)


def settings_of(base: Layer, way: Way, losses: Losses) -> Settings:
    """Return what one way to start a server comes to.

    Args:
        base: what comes before every profile.
        way: the way.
        losses: gets each option that cannot be carried.
    """
    options: dict[str, Any] = {}
    said: dict[str, Layer] = {}
    rest: dict[str, dict[str, Any]] = {"pool": {}, "image": {}, "interface": {}}
    selector: dict[str, Any] = {}
    for layer in (base, *way.layers):
        for name, value in layer.override.items():
            if name in _READ:
                if layer is not base:
                    said[name] = layer
                if name in _MAPPINGS and not isinstance(value, Mapping):
                    losses.add(_place_of(name, layer, layer), f"{shown(value, 40)} is not a mapping")
                elif name == "node_selector":
                    selector.update(value)
                elif name in _EXTRA:
                    options[name] = merged(options.get(name, {}), value)
                else:
                    options[name] = value
        part = rest[_part_of(layer)]
        for name, value in _rest_of(layer, losses).items():
            part[name] = merged(part.get(name), value)
    extra = {name: mapping(options.get(name)) for name in _EXTRA}
    where = {name: _place_of(name, said.get(name), base) for name in _READ}
    resource, gpus = _gpus(extra, where, losses)
    _keep_other_resources(extra, resource, rest["pool"], base)
    pool = rest["pool"]
    carried_selector = _fitting(_SELECTOR, selector)
    if carried_selector is None:
        pool["node_selector"] = _plain(selector, where["node_selector"], losses)
    tolerations = _tolerations(options.get("tolerations"), said, pool, where["tolerations"], losses)

    def memory(name: str, over: str) -> int | None:
        if (value := extra[over].get("memory")) is not None:
            return _read(kubernetes_bytes, value, below(where[over], "memory"), losses)
        return _read(spawner_bytes, options.get(name), where[name], losses)

    return Settings(
        cores_guaranteed=_read(
            cores,
            extra["extra_resource_guarantees"].get("cpu", options.get("cpu_guarantee")),
            where["cpu_guarantee"],
            losses,
        ),
        cores_most=_read(
            cores,
            extra["extra_resource_limits"].get("cpu", options.get("cpu_limit")),
            where["cpu_limit"],
            losses,
        ),
        memory_guaranteed=memory("mem_guarantee", "extra_resource_guarantees"),
        memory_most=memory("mem_limit", "extra_resource_limits"),
        gpu_resource=resource,
        gpus=gpus,
        image=_text(options.get("image"), where["image"], losses),
        url=_text(options.get("default_url"), where["default_url"], losses),
        selector=carried_selector or {},
        tolerations=tolerations,
        of_pool={name: value for name, value in pool.items() if value != {}},
        of_image=rest["image"],
        of_interface=rest["interface"],
        sized_by=_last(way, said, _OF_A_SIZE),
        imaged_by=said.get("image"),
        landed_by=said.get("default_url"),
    )


def _chart_image(image: Any) -> str | None:
    name, tag = mapping(image).get("name"), mapping(image).get("tag")
    if not isinstance(name, str) or not name:
        return None
    is_tag = isinstance(tag, str | int | float) and not isinstance(tag, bool) and tag != ""
    return f"{name}:{tag}" if is_tag else name


def _part_of(layer: Layer) -> str:
    """Return what the further options of a layer belong to: who may have that, and nobody else, has them."""
    if not _OF_A_SIZE.isdisjoint(layer.override):
        return "pool"
    if "image" in layer.override:
        return "image"
    return "interface" if "default_url" in layer.override else "pool"


def _rest_of(layer: Layer, losses: Losses) -> dict[str, Any]:
    """Return those options of a layer that the description has no word for, as far as it can take them."""
    if layer.regex is not None:
        for name in layer.override.keys() - {"image", "default_url"}:
            losses.add(
                below(layer.place, name), "an image that people name themselves cannot bring options with it"
            )
        return {}
    place = below(layer.place, "kubespawner_override")
    found = {}
    for name, value in layer.override.items():
        where = below(place, name)
        if name in _READ:
            continue
        if name in DECIDED:
            losses.add(where, "is decided by the description, which has no such choice")
        elif not _OPTION.fullmatch(name):
            losses.add(where, "is not an option of KubeSpawner")
        elif (plain := _plain(value, where, losses)) is not None:
            found[name] = _without_decided(name, plain, where, losses)
            if name in _ADDED:
                losses.add(where, "is added to what the chart's values have; KubeSpawner replaced them by it")
    return found


def _without_decided(name: str, value: Any, place: str, losses: Losses) -> Any:
    decided = DECIDED_WITHIN.get(name, frozenset())
    if not isinstance(value, Mapping):
        return value
    for key in sorted(decided & set(value)):
        losses.add(below(place, key), "would undo what is decided; say it by an option of its own")
    secret = [key for key in value if name == "environment" and _SECRET.search(key)]
    for key in secret:
        losses.add(
            below(place, key),
            "looks like a secret, and the description is given to the gateway; take it from a Secret, in "
            "singleuser.extraEnv",
        )
    return {key: inner for key, inner in value.items() if key not in decided and key not in secret}


def _plain(value: Any, place: str, losses: Losses) -> Any:
    """Return a value if it is one of JSON, in which the description reaches the gateway; else None."""
    if value is None:
        losses.add(place, "is null, which takes back what the chart's values say; take it out of them")
        return None
    if not _is_plain(value):
        losses.add(
            place, "has something that JSON has not, such as a date or a number as key; write it as text"
        )
        return None
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return value - value == 0  # neither infinite nor no number
    return value is None or isinstance(value, str | bool | int)


def _gpus(
    extra: Mapping[str, Mapping[str, Any]], where: Mapping[str, str], losses: Losses
) -> tuple[str, int]:
    """Return how Kubernetes calls a way's GPUs, and how many it has."""
    for option in reversed(_EXTRA):  # Kubernetes takes the limit of such a thing for its request
        for resource, value in extra[option].items():
            if "gpu" in resource.lower() and _fitting(_SELECTOR, {resource: ""}) is not None:
                number = _read(whole, value, below(where[option], resource), losses)
                if number:
                    return resource, number
    return "nvidia.com/gpu", 0


def _keep_other_resources(
    extra: Mapping[str, Mapping[str, Any]], gpu: str, pool: dict[str, Any], base: Layer
) -> None:
    """Leave to the node pool what else a profile asks of a node; what every server has stays as it is."""
    for option in _EXTRA:
        present = mapping(base.override.get(option))
        others = {
            name: value
            for name, value in extra[option].items()
            if name not in {gpu, "memory", "cpu"} and present.get(name) != value and _is_plain(value)
        }
        if others:
            pool[option] = merged(pool.get(option, {}), others)


def _tolerations(
    value: Any, said: Mapping[str, Layer], pool: dict[str, Any], place: str, losses: Losses
) -> tuple[Mapping[str, Any], ...]:
    if "tolerations" not in said or value in (None, [], {}):
        return ()
    found = [value[key] for key in sorted(value, key=str)] if isinstance(value, Mapping) else value
    if _fitting(_TOLERATIONS, found) is not None:
        return tuple(found)
    if (plain := _plain(value, place, losses)) is not None:
        pool["tolerations"] = plain
    return ()


def _fitting(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def _read(read: Callable[[Any], _Number | None], value: Any, place: str, losses: Losses) -> _Number | None:
    if value is None or value == 0:  # KubeSpawner takes 0 for nothing said
        return None
    if (found := read(value)) is None:
        losses.add(place, f"{shown(value, 40)} is not an amount that can be read")
    return found


def _text(value: Any, place: str, losses: Losses) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isprintable() and len(value) < 1000:
        return value
    losses.add(place, f"{shown(value, 40)} is not text that can be used")
    return None


def _last(way: Way, said: Mapping[str, Layer], names: frozenset[str]) -> Layer | None:
    layers = [said[name] for name in names if name in said]
    return max(layers, key=way.layers.index, default=None)


def _place_of(option: str, layer: Layer | None, base: Layer) -> str:
    if layer is None:
        return f"{base.place}.{_IN_CHART.get(option, option)}"
    return below(below(layer.place, "kubespawner_override"), option)
