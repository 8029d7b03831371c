"""The fields of the spawn page: plain HTML that works without JavaScript, and better with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode

import jinja2

from scalablehub.decisions import (
    Choice,
    Decision,
    ImageChoice,
    OwnImageChoice,
    Selection,
    SizeChoice,
    State,
)
from scalablehub.description import OWN_IMAGE
from scalablehub.description.units import format_bytes, format_cores
from scalablehub.spawner.ready import Readiness

_SomeChoice = TypeVar("_SomeChoice", bound=Choice)

_FEW = 12
"""More sizes or environments than these are shown closer together."""


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
    refused_image: str | None = None,
    refused_why: str = "",
    readiness: Mapping[str, Readiness] | None = None,
) -> str:
    """Return the fields as HTML.

    Args:
        decision: what the user may have; what is hidden from them is not in the page.
        selection: what is selected at first, or None if they may start nothing.
        notes: sentences that stand above the fields.
        size_note: what a size promises, and what this hub cannot keep of it.
        base_url: path of the hub's base, ending in '/'.
        link: path that leads to this page, where a query selects.
        pools: what people read for each node pool, in the order of the page.
        recent: what the user chose before.
        refused_image: name of a user's own image that was sent just now, if one was.
        refused_why: what is wrong with it.
        readiness: how soon a server of each size could run, by its name.
    """
    own = decision.own_image
    kind, _, reference = (selection.image.name if selection is not None else "").partition(":")
    named = reference if kind == OWN_IMAGE and reference else None
    sizes, images, interfaces = _shown(decision.sizes), _shown(decision.images), _shown(decision.interfaces)
    known = readiness or {}
    return (
        _templates()
        .get_template("form.html")
        .render(
            decision=decision,
            selection=selection,
            notes=notes,
            size_note=size_note,
            base_url=base_url,
            link=link or f"{base_url}hub/spawn",
            pools=_by_pool(sizes, pools or {}),
            recent=recent,
            own=own if own is not None and own.state is not State.HIDDEN else None,
            own_reference=refused_image if refused_image is not None else named,
            own_error=refused_why,
            images=images,
            interfaces=interfaces,
            buckets=_shown(decision.buckets),
            directories=[directory for directory in decision.directories if directory.is_open],
            # A hub without them has nothing to say; one that has them for others does.
            hub_has_clusters=decision.dask.state is not State.HIDDEN
            or decision.dask.place.endswith("_groups"),
            size_data={
                size.name: _data(size, known.get(size.name), images, decision.currency) for size in sizes
            },
            image_data={image.name: _image_data(image, interfaces) for image in images}
            | ({own.name: _image_data(own, interfaces)} if own is not None else {}),
            summary=sentence(selection, decision.currency, known) if selection is not None else "",
            currency=decision.currency,
            few=_FEW,
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


def link_to(link: str, selection: Selection) -> str:
    """Return the path that leads to the page with a selection."""
    return f"{link}?{urlencode({f'opt-{kind}': name for kind, name in selection.as_options().items()})}"


def briefly(selection: Selection) -> str:
    """Return a selection in a few words."""
    return " · ".join(
        (selection.size.display_name, selection.image.display_name, selection.interface.display_name)
    )


def sentence(
    selection: Selection, currency: str = "$", readiness: Mapping[str, Readiness] | None = None
) -> str:
    """Return a selection in one line: ``"4 cores, 16 GB, JupyterLab, base; about $0.21/h"``.

    How soon it starts comes last, where that is known.
    """
    size, image = selection.size, selection.image
    told = [", ".join([*parts(size), selection.interface.display_name, image.display_name])]
    if size.price is not None:
        told.append(f"about {currency}{price(size.price)}/h")
    if readiness and size.name in readiness:
        told.append(readiness[size.name].sentence_for(image.name))
    return "; ".join(told)


def _data(
    size: SizeChoice, readiness: Readiness | None, images: Iterable[Choice], currency: str
) -> dict[str, str]:
    """Return what the line that sums up needs of a size; it names no environment that is hidden."""
    data = {"words": ", ".join(parts(size))}
    if size.price is not None:
        data["price"] = f"{currency}{price(size.price)}"
    if readiness is None or not size.is_open:
        return data
    data["ready"] = readiness.sentence
    if readiness.images is not None:
        data["there"] = " ".join(image.name for image in images if image.name in readiness.images)
        data["away"] = readiness.unless_there
    return data


def _image_data(image: ImageChoice | OwnImageChoice, interfaces: Iterable[Choice]) -> dict[str, str]:
    """Return what the line that sums up needs of an environment, and which interfaces of the page it has."""
    has = [choice.name for choice in interfaces if choice.name in image.interfaces]
    return {"words": image.display_name, "interfaces": " ".join(has)}


def _shown(choices: Iterable[_SomeChoice]) -> list[_SomeChoice]:
    return [choice for choice in choices if choice.state is not State.HIDDEN]


class Pool(NamedTuple):
    """The sizes of one node pool, what people read for it, and what holds for all of several sizes."""

    name: str
    sizes: list[SizeChoice]
    description: str
    spot: bool


def _by_pool(sizes: Iterable[SizeChoice], pools: Mapping[str, str]) -> list[Pool]:
    """Return the sizes of each node pool, in the order of the pools."""
    found: dict[str, list[SizeChoice]] = {}
    for size in sizes:
        found.setdefault(size.node, []).append(size)
    order = {name: position for position, name in enumerate(pools)}
    names = sorted(found, key=lambda name: order.get(name, len(order)))
    return [_pool(pools.get(name) or name, found[name], alone=len(names) == 1) for name in names]


def _pool(name: str, sizes: list[SizeChoice], *, alone: bool) -> Pool:
    descriptions = {size.description for size in sizes}
    has_head = len(sizes) > 1 and not alone
    shared = descriptions.pop() if has_head and len(descriptions) == 1 else ""
    return Pool(name, sizes, shared, spot=has_head and all(size.spot for size in sizes))


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
        "link_to": link_to,
        "parts": parts,
        "price": price,
    }
    return environment
