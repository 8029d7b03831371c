"""The fields of the spawn page: plain HTML that works without JavaScript, and better with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import urlencode

import jinja2

from scalablehub.decisions import Choice, Decision, Selection, SizeChoice, State
from scalablehub.description import OWN_IMAGE
from scalablehub.description.units import format_bytes, format_cores

PRESELECT = "scalablehub/spawn"
"""Below the hub's own path: the spawn page with a choice that stands in the address."""


def render_form(
    decision: Decision,
    selection: Selection | None,
    *,
    notes: Sequence[str] = (),
    size_note: str = "",
    base_url: str = "/",
    link: str = "",
    pools: Mapping[str, str] | None = None,
    recent: Sequence[Selection] = (),
    refused_image: str = "",
) -> str:
    """Return the fields as HTML.

    Args:
        decision: what the user may have; what is hidden from them is not in the page.
        selection: what is selected at first, or None if they may start nothing.
        notes: sentences that stand above the fields.
        size_note: what a size promises, and what this hub cannot keep of it.
        base_url: path of the hub's base, ending in '/'.
        link: path that leads to this page with a choice.
        pools: what people read for each node pool, in the order of the page.
        recent: what the user chose before.
        refused_image: name of a user's own image that was refused just now.
    """
    own = decision.own_image
    image = selection.image.name if selection is not None else ""
    named = image.removeprefix(f"{OWN_IMAGE}:") if image.startswith(f"{OWN_IMAGE}:") else ""
    return (
        _templates()
        .get_template("form.html")
        .render(
            decision=decision,
            selection=selection,
            notes=notes,
            size_note=size_note,
            base_url=base_url,
            link=link or f"{base_url}hub/{PRESELECT}",
            pools=_by_pool(_shown(decision.sizes), pools or {}),
            recent=recent,
            own=own if own is not None and own.state is not State.HIDDEN else None,
            own_reference=refused_image or named,
            currency=decision.currency,
            shown=_shown,
        )
    )


def parts(size: SizeChoice) -> list[str]:
    """Return what a size is, measure by measure: ``["4 cores", "16 GB", "1 GPU"]``."""
    found = [format_cores(size.cores), format_bytes(size.memory)]
    if size.gpus:
        found.append(f"{size.gpus} {'GPU' if size.gpus == 1 else 'GPUs'}")
    return found


def price(number: float) -> str:
    """Return a price per hour with as many digits as say something: ``"0.20"``, ``"0.039"``."""
    return f"{number:.2f}" if number == round(number, 2) or number >= 0.1 else f"{number:.3f}"


def briefly(selection: Selection) -> str:
    """Return a selection in a few words."""
    return " · ".join(
        (selection.size.display_name, selection.image.display_name, selection.interface.display_name)
    )


def sentence(selection: Selection, currency: str = "$") -> str:
    """Return a selection in one line: ``"4 cores, 16 GB, JupyterLab, pangeo-notebook; about $0.21/h"``."""
    size = selection.size
    cost = f"; about {currency}{price(size.price)}/h" if size.price is not None else ""
    interface, image = selection.interface.display_name, selection.image.display_name
    return f"{', '.join(parts(size))}, {interface}, {image}{cost}"


def _shown(choices: Iterable[Choice]) -> list[Choice]:
    return [choice for choice in choices if choice.state is not State.HIDDEN]


def _by_pool(sizes: Iterable[Choice], pools: Mapping[str, str]) -> list[tuple[str, list[Choice]]]:
    """Return the sizes of each node pool, with what people read for the pool."""
    found: dict[str, list[Choice]] = {}
    for size in sizes:
        found.setdefault(size.node if isinstance(size, SizeChoice) else "", []).append(size)
    order = {name: position for position, name in enumerate(pools)}
    names = sorted(found, key=lambda name: order.get(name, len(order)))
    return [(pools.get(name) or name, found[name]) for name in names]


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scalablehub.spawner"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "briefly": briefly,
        "parts": parts,
        "price": price,
        "query": urlencode,
        "sentence": sentence,
    }
    return environment
