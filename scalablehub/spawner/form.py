"""The fields of the spawn page: plain HTML that needs no JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jinja2

from scalablehub.decisions import Decision, Selection, State
from scalablehub.description.units import format_bytes, format_cores


def render_form(
    decision: Decision,
    selection: Selection | None,
    *,
    notes: Sequence[str] = (),
    not_enforced: str = "",
    base_url: str = "/",
) -> str:
    """Return the fields as HTML.

    Args:
        decision: what the user may have; what is hidden from them is not in the page.
        selection: what is selected at first, or None if they may start nothing.
        notes: sentences that stand above the fields.
        not_enforced: which promises of a size this hub cannot keep.
        base_url: path of the hub's base, ending in '/'.
    """
    return (
        _templates()
        .get_template("form.html")
        .render(
            decision=decision,
            selection=selection,
            notes=notes,
            not_enforced=not_enforced,
            base_url=base_url,
            shown=lambda choices: [choice for choice in choices if choice.state is not State.HIDDEN],
        )
    )


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scalablehub.spawner"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"bytes": format_bytes, "cores": format_cores}
    return environment
