"""What My clusters says of each cluster, in words: pure functions of what dask-gateway and schedulers answer.

A scheduler is its user's own program: what it answers is checked before it is shown.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scalablehub.description.units import format_bytes
from scalablehub.services.dask_gateway.routing import is_cluster_name

COUNTS = "json/counts.json"
"""Path below a cluster's dashboard with the numbers of its tasks: Dask's own route."""
_MOST = 10**18


def row(
    cluster: Mapping[str, Any], prefix: str, details: Mapping[str, Any], currency: str, counts: object = None
) -> dict[str, Any]:
    """Return what the page shows of a cluster.

    Args:
        cluster: as dask-gateway's API lists it.
        prefix: of the service.
        details: what our own backend tells of it; of another one nothing.
        currency: what stands before a price.
        counts: what its scheduler answered to `COUNTS`, or None.
    """
    name = str(cluster.get("name", ""))
    has_dashboard = bool(cluster.get("dashboard_route")) and is_cluster_name(name)
    return {
        "owner": str(details.get("owner", "")),
        "kind": " · ".join(filter(None, (str(details.get("size", "")), str(details.get("image", ""))))),
        "workers": workers_in_words(details),
        "tasks": tasks_in_words(counts),
        "why": str(details.get("why") or ""),
        "money": money_in_words([details], currency),
        "alone": bool(details.get("alone")),
        "wanted": details.get("wanted"),
        "name": name,
        "status": str(cluster.get("status", "")).lower(),
        "started": when(cluster.get("start_time")),
        "dashboard": f"{prefix}clusters/{name}/status" if has_dashboard else "",
    }


def over(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a cluster that ended."""
    ended = cluster.get("ended")
    return {
        "name": str(cluster.get("name", "")),
        "kind": " · ".join(filter(None, (str(cluster.get("size", "")), str(cluster.get("image", ""))))),
        "ended": when(ended * 1000) if isinstance(ended, (int, float)) else None,
        "reason": str(cluster.get("reason") or ""),
    }


def log_in_words(log: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page shows of a log."""
    part, how = str(log.get("part", "")), str(log.get("how") or "")
    state = how or ("it has ended" if log.get("over") else "it runs")
    who = "Scheduler" if part == "scheduler" else f"Worker {log.get('name', '')}"
    return {"title": f"{who}: {state}", "text": str(log.get("text", ""))}


@dataclass(frozen=True)
class When:
    """A time for people and for programs."""

    words: str
    iso: str


def when(milliseconds: object) -> When | None:
    """Return the time so many milliseconds after 1970, which is how dask-gateway gives it."""
    if not isinstance(milliseconds, (int, float)):
        return None
    found = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return When(found.strftime("%d %B, %H:%M UTC"), found.isoformat())


def workers_in_words(details: Mapping[str, Any]) -> str:
    """Return what a cluster's workers come to; empty where nothing is told of them."""
    wanted, granted = details.get("wanted"), details.get("granted")
    if not isinstance(wanted, int) or not isinstance(granted, int):
        return ""
    counts = [
        (details.get("running"), "running"),
        (details.get("pending") or None, "on the way"),
        (granted, "granted"),
        (wanted, "wanted"),
    ]
    words = " · ".join(f"{count} {what}" for count, what in counts if isinstance(count, int))
    return f"Workers: {words}"


def tasks_in_words(counts: object) -> str:
    """Return what a scheduler has to do, and holds in its workers' memory; empty if it says nothing sound."""
    if not isinstance(counts, Mapping):
        return ""
    numbers = {name: counts.get(name) for name in ("tasks", "processing", "waiting", "erred", "bytes")}
    if not all(type(number) is int and 0 <= number < _MOST for number in numbers.values()):
        return ""
    said = [
        f"{numbers['tasks']} in all",
        f"{numbers['processing']} at work",
        f"{numbers['waiting']} waiting" if numbers["waiting"] else "",
        f"{numbers['erred']} failed" if numbers["erred"] else "",
        f"{format_bytes(int(numbers['bytes'] or 0))} of results in memory" if numbers["bytes"] else "",
    ]
    return "Tasks: " + " · ".join(filter(None, said))


def money_in_words(clusters: Iterable[Mapping[str, Any]], currency: str) -> str:
    """Return what clusters cost in an hour, and have cost so far; empty where nothing has a price."""
    priced = [cluster for cluster in clusters if _is_price(cluster.get("price"))]
    if not priced:
        return ""
    hourly = sum(cluster["price"] for cluster in priced)
    so_far = sum(cluster["cost"] for cluster in priced if _is_price(cluster.get("cost")))
    return f"{currency}{hourly:.2f} an hour, {currency}{so_far:.2f} so far"


def _is_price(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class Filter:
    """Whose clusters an admin looks at; empty is everybody's."""

    user: str = ""
    group: str = ""

    def takes(self, details: Mapping[str, Any]) -> bool:
        """Return whether the cluster is one of them."""
        return self.user in ("", details.get("owner")) and self.group in ("", *_groups(details))


def choices(clusters: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the users and the groups that clusters can be filtered by."""
    return {
        "users": sorted({str(cluster.get("owner", "")) for cluster in clusters}),
        "groups": sorted({group for cluster in clusters for group in _groups(cluster)}),
    }


def summary(clusters: Sequence[Mapping[str, Any]], currency: str) -> str:
    """Return what clusters come to together."""
    if not clusters:
        return "There is no such cluster just now."
    users = len({cluster.get("owner") for cluster in clusters})
    running = sum(count for cluster in clusters if type(count := cluster.get("running")) is int)
    words = [
        f"{len(clusters)} cluster{'s' if len(clusters) > 1 else ''} of {users} "
        f"{'people' if users > 1 else 'person'}",
        f"{running} worker{'' if running == 1 else 's'} running",
        money_in_words(clusters, currency),
    ]
    return " · ".join(filter(None, words))


def _groups(details: Mapping[str, Any]) -> list[str]:
    groups = details.get("groups")
    return [str(group) for group in groups] if isinstance(groups, list) else []
