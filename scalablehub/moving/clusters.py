"""The Dask clusters of an old hub: what its gateway's values say, as far as they can be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from scalablehub.errors import shown
from scalablehub.moving.losses import Losses, below
from scalablehub.moving.profiles import clean
from scalablehub.moving.quantities import cores, spawner_bytes, whole, written
from scalablehub.moving.values import OldHub, at, mapping

_SCOPES = frozenset({"access:services", "access:services!service=dask-gateway"})
_GATEWAY_URL = "http://traefik-RELEASE-dask-gateway"
_SCHEDULERS = "gateway://traefik-RELEASE-dask-gateway:80"
_MOST_WORKERS = 32
_MOST_CLUSTERS = 4
_IDLE_SECONDS = 1800
_LIMITS = ("cluster_max_workers", "cluster_max_cores", "cluster_max_memory", "idle_timeout")
_MOST_SECONDS = 10**9

Remarks = dict[tuple[str, ...], str]


def describe_clusters(hub: OldHub, losses: Losses) -> tuple[dict[str, Any] | None, Remarks]:
    """Return the section `dask`, and what an admin has to look at in it; None for a hub without clusters.

    Args:
        hub: the old hub.
        losses: gets what cannot be read.
    """
    if hub.gateway is None:
        return None, {}
    place = below(hub.gateway_place, "gateway")
    limits = _limits(hub, place, losses)
    remarks: Remarks = {
        (
            "dask",
            "gateway_url",
        ): "write the name of your release; dask-gateway's traefik is a Service of that name",
        ("dask", "scheduler_address"): "here too",
    }
    dask: dict[str, Any] = {"gateway_url": _GATEWAY_URL, "scheduler_address": _SCHEDULERS}
    if (groups := _groups(hub, losses)) is not None:
        dask["allowed_groups"] = groups
    dask["max_workers"] = limits.get("cluster_max_workers", _MOST_WORKERS)
    if "cluster_max_workers" not in limits:
        remarks[("dask", "max_workers")] = "no limit was found; say how many workers a cluster may have"
    dask["max_clusters"] = _MOST_CLUSTERS
    remarks[("dask", "max_clusters")] = (
        "dask-gateway had no such limit; say how many clusters somebody may have"
    )
    dask["idle_timeout"] = limits.get("idle_timeout", _IDLE_SECONDS)
    if "idle_timeout" not in limits:
        remarks[("dask", "idle_timeout")] = "no time was found after which an idle cluster ends"
    cap = {
        word: limits[name]
        for word, name in (("cores", "cluster_max_cores"), ("memory", "cluster_max_memory"))
        if name in limits
    }
    if cap:
        dask["caps"] = {"everybody": cap}
        losses.add(
            place,
            "the most cores and memory of one cluster are here the most of all clusters of a user together",
        )
    _list_sizes(hub, place, losses)
    return dask, remarks


def _groups(hub: OldHub, losses: Losses) -> list[str] | None:
    """Return the groups whose roles reach the gateway; None is everybody."""
    roles = hub.at("hub", "loadRoles")
    place = hub.where("hub", "loadRoles")
    named = (
        [(below(place, key), {"name": key} | dict(mapping(role))) for key, role in mapping(roles).items()]
        if isinstance(roles, Mapping)
        else [(below(place, number), mapping(role)) for number, role in enumerate(roles or ())]
        if isinstance(roles, list)
        else []
    )
    reaching = [(where, role) for where, role in named if not _SCOPES.isdisjoint(_texts(role.get("scopes")))]
    kind = at(hub.gateway, "gateway", "auth", "type")
    if kind not in (None, "jupyterhub"):
        losses.add(
            below(hub.gateway_place, "gateway.auth.type"),
            "it was not the hub who said who may have clusters; nobody may, until allowed_groups says it",
        )
        return []
    if not reaching:
        losses.add(
            below(hub.gateway_place, "gateway.auth"),
            "no role of the hub says who may have clusters, so everybody could who may sign in; say for whom "
            "they are with dask.allowed_groups",
        )
        return None
    if any(role.get("name") == "user" for _, role in reaching):
        return None
    for where, role in reaching:
        if _texts(role.get("users")):
            losses.add(
                where, "gives clusters to single users; make them a group, and add it to dask.allowed_groups"
            )
        losses.add(where, "gives clusters by itself; remove its scope, as the description does that now")
    return sorted({group for _, role in reaching for group in _texts(role.get("groups"))})


def _limits(hub: OldHub, place: str, losses: Losses) -> dict[str, Any]:
    """Return the limits that a line of the gateway's Python says by itself: ``c.X.idle_timeout = 60``."""
    found: dict[str, Any] = {}
    for where, code in _scripts(at(hub.gateway, "gateway", "extraConfig"), below(place, "extraConfig")):
        read = []
        for name, value in _assigned(code):
            reading = _read_limit(name, value)
            if reading is None:
                losses.add(where, f"{name} is not a plain number or amount there, and was not read")
            else:
                found[name] = reading
                read.append(name)
        known = f"; {', '.join(sorted(set(read)))} could be read" if read else ""
        losses.add(
            where,
            f"is Python, which is not run{known}. What it does else, such as options of clusters, the "
            "gateway of scalablehub has words of its own for: see docs/reference/dask-gateway.md",
        )
    return found


def _read_limit(name: str, value: Any) -> Any:
    if name == "cluster_max_workers":
        number = whole(value)
        return number if number else None
    if name == "cluster_max_cores":
        return cores(value)
    if name == "cluster_max_memory":
        memory = spawner_bytes(value)
        return None if memory is None else written(memory)
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST_SECONDS
    return int(value) if is_time else None


def _assigned(code: str) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of each limit that is assigned plainly, outside of functions and conditions."""
    try:
        lines = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for line in lines:
        match line:
            case ast.Assign(targets=[ast.Attribute(attr=name, value=ast.Attribute())], value=value):
                if name in _LIMITS:
                    yield name, _literal(value)


def _literal(value: ast.expr) -> Any:
    """Return a number or a text, or a product of numbers such as ``30 * 60``; None if it is anything else."""
    match value:
        case ast.Constant(value=found):
            return found
        case ast.BinOp(
            left=ast.Constant(value=int() | float() as one),
            op=ast.Mult(),
            right=ast.Constant(value=int() | float() as other),
        ) if max(abs(one), abs(other)) <= _MOST_SECONDS:
            return one * other
    return None


def _scripts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value.strip():
        yield place, value
    for name, inner in mapping(value).items():
        if isinstance(inner, str):
            yield below(place, name), inner


def _list_sizes(hub: OldHub, place: str, losses: Losses) -> None:
    backend = mapping(at(hub.gateway, "gateway", "backend"))
    where = below(place, "backend")
    if backend.get("image") is not None:
        losses.add(
            below(where, "image"), "is not used: clusters have the image of the server that they come from"
        )
    worker = mapping(backend.get("worker"))
    for name in ("cores", "memory"):
        if worker.get(name) is not None:
            losses.add(
                below(below(where, "worker"), name),
                f"is {clean(shown(worker[name], 60))}; workers have the sizes of servers, or those that "
                "dask.workers names",
            )


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
