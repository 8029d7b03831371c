"""Descriptions as files, read as the hub reads them, and what they give somebody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scalablehub.decisions import Decision, State, User, decide, explain, in_every_group
from scalablehub.description import (
    Description,
    DescriptionError,
    Problem,
    check_complete,
    egress_warnings,
    key_warnings,
    load_description,
    resolve,
)
from scalablehub.errors import PublicError
from scalablehub.moving.values import locate, refuse_endless
from scalablehub.spawner.fitting import too_much_data, unfit_for_pods
from scalablehub.spawner.overriding import merged
from scalablehub.storage.access import data_environment
from scalablehub.storage.catalogue import LINE
from scalablehub.storage.policy import policy_text

_PLACES = (("ScalableHub",), ("hub", "config", "ScalableHub"))
_KINDS = (
    ("sizes", "size"),
    ("images", "image"),
    ("interfaces", "interface"),
    ("buckets", "bucket"),
    ("directories", "directory"),
)


def read_description(paths: Sequence[Path]) -> Description:
    """Return the description in YAML files: of `scalablehub up`, or values of zero-to-jupyterhub.

    Args:
        paths: in order; a later file goes over the earlier ones, as helm's values do.

    Raises:
        PublicError: there is none, or it cannot be used.
    """
    return load_description(*read_raw_description(paths))


def read_raw_description(paths: Sequence[Path]) -> tuple[Mapping[str, Any], str]:
    """Return the description in YAML files as it is written, and how the admin calls it.

    Raises:
        PublicError: there is none, or a file cannot be read.
    """
    raw = read_values(paths)
    for place in (*_PLACES, *_places_below(raw)):
        if isinstance(found := _at(raw, place), Mapping):
            return found, ".".join(place)
    names = " and ".join(map(str, paths))
    verb = "has" if len(paths) == 1 else "have"
    raise PublicError("no-description", f"{names} {verb} neither ScalableHub nor hub.config.ScalableHub.")


def read_values(paths: Iterable[Path]) -> Any:
    """Return what YAML files have, a later one over the earlier ones as helm's values are.

    Raises:
        PublicError: one cannot be read, is not YAML, or is too much.
    """
    raw: Any = {}
    for path in paths:
        found = _read(path)
        refuse_endless(found)
        raw = merged(raw, found)
    return raw


def summary(description: Description, place: str = "ScalableHub") -> str:
    """Return one line about a description that can be used.

    Args:
        description: what was written.
        place: how the admin calls it; below `hub.config` it is that of a hub in Kubernetes.

    Raises:
        DescriptionError: nobody could start a server with it, or the hub would not start.
    """
    missing = [*check_complete(description), *too_much_data(description)]
    if place != "ScalableHub":
        with suppress(ModuleNotFoundError):  # of overrides, then, nothing is known, which is told
            for problem in unfit_for_pods(description):
                missing.append(problem)
    if missing:
        raise DescriptionError(Problem(f"ScalableHub.{where}", sentence) for where, sentence in missing)
    if refusal := _refusal(description, decide(resolve(description), User("anybody"))):
        raise DescriptionError([Problem("ScalableHub.buckets", f"let nobody start a server. {refusal}")])
    counted = [_counted(len(getattr(description, section)), kind) for section, kind in _KINDS]
    dask = "Dask" if description.dask is not None else "no Dask"
    keys = "keys for buckets" if description.credentials is not None else None
    return f"The description can be used: {', '.join(filter(None, [*counted, dask, keys]))}."


def cautions(description: Description) -> list[str]:
    """Return a line about each thing that can be used and is hardly meant."""
    decision = decide(resolve(description), in_every_group(description))
    refusal = _refusal(description, decision)
    found = [
        *egress_warnings(description.region, description.buckets),
        *key_warnings(description.credentials, description.buckets),
        *_large_policies(description, decision),
        *([("buckets", f"differ too much for one person. {refusal}")] if refusal else []),
    ]
    return [f"Take care: ScalableHub.{place} {sentence}." for place, sentence in found]


def _refusal(description: Description, decision: Decision) -> str | None:
    """Return why a server of somebody with these buckets would not start, without a full stop."""
    try:
        data_environment(description, decision, {}, None)
    except PublicError as error:
        return error.message.removesuffix(".")
    return None


def _large_policies(description: Description, decision: Decision) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) if somebody with these buckets would have more than keys can open."""
    keys = description.credentials.s3 if description.credentials is not None else None
    if keys is None:
        return
    try:
        policy_text(decision, keys.endpoint)
    except PublicError as error:
        if error.code == "policy-too-large":
            yield "buckets", f"are many for one person. {error.message.removesuffix('.')}"


def view(description: Description, user: User) -> str:
    """Return a table of everything that the description has: whether this user may have it, and why."""
    decision = decide(resolve(description), user)
    rows = [
        (row.kind, row.name, _words(row.state), row.details, f"{row.why}  [{row.place}]")
        for row in explain(decision)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    groups = ", ".join(sorted(user.groups)) or "no group"
    table = "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    )
    has_data = any(bucket.is_open for bucket in decision.buckets)
    catalogue = f"\n\nThe data, in a notebook:  {LINE}" if has_data else ""
    refusal = _refusal(description, decision)
    refused = f"\n\nTheir servers do not start. {refusal}." if refusal else ""
    return f"{user.name}, in {groups}:\n\n{table}{catalogue}{refused}"


def _read(path: Path) -> Any:
    try:
        from scalablehub.yaml_files import read_yaml
    except ModuleNotFoundError:
        raise PublicError("not-installed", "Reading files needs PyYAML; run: pip install pyyaml") from None
    raw = read_yaml(path)
    return raw if isinstance(raw, Mapping) else {}


def _places_below(raw: Any) -> list[tuple[str, ...]]:
    """Return where a description may stand if the chart has another name in a chart around it."""
    try:
        return [(*locate(raw).alias, *_PLACES[-1])]
    except PublicError:
        return []


def _at(raw: Any, place: Iterable[str]) -> Any:
    for key in place:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw


def _counted(count: int, kind: str) -> str:
    plural = {"directory": "directories"}.get(kind, f"{kind}s")
    return "" if count == 0 else f"{count} {kind if count == 1 else plural}"


def _words(state: State) -> str:
    return {State.OPEN: "yes", State.LOCKED: "locked", State.HIDDEN: "hidden"}[state]
