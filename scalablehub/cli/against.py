"""`scalablehub check --against`: what a description changes for the people of a hub that runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalablehub.cli.descriptions import read_raw_description, read_values
from scalablehub.decisions import User
from scalablehub.description import load_description, resolve
from scalablehub.errors import PublicError

if TYPE_CHECKING:
    from scalablehub.moving import OldHub
    from scalablehub.moving.comparing import Pair, View

_NO_KUBESPAWNER = (
    "Pods are not compared: KubeSpawner is not installed; run: pip install 'scalablehub[kubernetes]'"
)


def check_against(options: argparse.Namespace) -> int:
    """Print for each example user what they could choose before and can choose now, and how pods differ.

    Raises:
        PublicError: one of the files cannot be used.
    """
    from scalablehub.moving import locate
    from scalablehub.moving.comparing import compare, examples, old_ways

    raw, place = read_raw_description(options.config)
    description = resolve(load_description(raw, place))
    hub = locate(read_values(options.against), options.chart_alias)
    ways = old_ways(hub)
    if options.as_user is not None:
        users: Sequence[User] = [User(options.as_user, frozenset(options.group))]
    else:
        users = examples(ways, description)
    # Those for whom the same is true are told it once.
    views: dict[object, tuple[View, list[User]]] = {}
    for user in users:
        view = compare(ways, description, user)
        views.setdefault((view.changes, view.before, view.after), (view, []))[1].append(user)
    for view, alike in views.values():
        print(f"{_heading(alike)}:\n\n{_table(view)}\n", flush=True)
    print(_pods(hub, raw, [(view.pairs, alike[0]) for view, alike in views.values()]), flush=True)
    return 0


def _heading(users: Sequence[User]) -> str:
    groups = "; and likewise ".join(
        f"in {', '.join(sorted(user.groups))}" if user.groups else "in no group" for user in users
    )
    return f"{users[0].name}, {groups}"


def _table(view: View) -> str:
    if not view.changes:
        return "  nothing, before and now"
    widths = [max(len(change[column]) for change in view.changes) for column in range(3)]
    rows = [
        "  "
        + "  ".join([*(cell.ljust(width) for cell, width in zip(change, widths, strict=False)), change[3]])
        for change in view.changes
    ]
    counts = f"  combinations of a size and an image: {view.before} before, {view.after} now"
    return "\n".join([*rows, counts])


def _pods(hub: OldHub, raw: Any, pairs: Sequence[tuple[tuple[Pair, ...], User]]) -> str:
    """Return how pods differ: first what differs in all alike, then for each pair the rest."""
    try:
        from scalablehub.moving.pods import new_pod, old_pod
    except ModuleNotFoundError:
        return _NO_KUBESPAWNER
    from scalablehub.moving.comparing import difference

    found: dict[str, list[str]] = {}
    for some, user in pairs:
        for pair in some:
            title = f"{pair.selection.size.display_name} with {pair.selection.image.display_name}"
            if title in found:
                continue
            try:
                old, new = old_pod(hub, pair.way, user), new_pod(hub, raw, pair.selection, user)
            except PublicError as error:
                found[title] = [f"! {error.message}"]
            else:
                found[title] = difference(old, new)
    if not found:
        return "There is no pod to compare: no old choice has one in the description that is like it."
    alike = [line for line in next(iter(found.values())) if all(line in lines for lines in found.values())]
    parts = [("in every pod", alike)] if len(found) > 1 else []
    parts += [
        (title, [line for line in lines if len(found) == 1 or line not in alike])
        for title, lines in found.items()
    ]
    return "\n\n".join(
        f"Pods, {title}:\n\n" + ("\n".join(f"  {line}" for line in lines) or "  nothing else differs")
        for title, lines in parts
    )


def add_against(check: argparse.ArgumentParser) -> None:
    """Add the options of the comparison."""
    check.add_argument(
        "--against",
        type=Path,
        action="append",
        metavar="FILE",
        help="values of a hub of zero-to-jupyterhub: what the description changes for its people; give it "
        "again for a file that goes over it",
    )
    check.add_argument(
        "--chart-alias", metavar="NAME", help="the name of zero-to-jupyterhub's chart in those values"
    )
