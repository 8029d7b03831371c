"""What a user asked for, held against what they may have.

The form, REST, named servers and saved options all come through `choose`; a remembered choice that is
gone falls to an allowed one through `remembered`, which never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from scalablehub.decisions.deciding import (
    Choice,
    Decision,
    ImageChoice,
    InterfaceChoice,
    SizeChoice,
    State,
)
from scalablehub.description.models import OWN_IMAGE
from scalablehub.errors import PublicError, shown

KINDS = ("size", "image", "interface")

# What any container image's name is made of, and no template, shell or header could be; the registry's own
# rules are stricter. https://github.com/opencontainers/distribution-spec
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,382}")

_SomeChoice = TypeVar("_SomeChoice", bound=Choice)


class Refusal(PublicError):
    """The user asked for what they may not have, or for what is not there."""


@dataclass(frozen=True)
class Selection:
    """A size, an image and an interface that this user may have together."""

    size: SizeChoice
    image: ImageChoice
    interface: InterfaceChoice

    def as_options(self) -> dict[str, str]:
        """Return the user options that stand for this selection."""
        return {"size": self.size.name, "image": self.image.name, "interface": self.interface.name}


def choose(decision: Decision, options: object) -> Selection:
    """Return what the options select; what they leave out is the first that is open.

    Args:
        decision: what the user may have.
        options: what was sent: a mapping of ``size``, ``image`` and ``interface`` to names.

    Raises:
        Refusal: the options are malformed, unknown, or not this user's to choose.
    """
    if not isinstance(options, Mapping):
        raise Refusal(
            "options-malformed",
            f"The choice of a server must be an object with {_listed(KINDS)}, not {shown(options)}.",
        )
    for key in options:
        if key not in KINDS:
            raise Refusal(
                "option-unknown", f"{shown(key)} is not a choice of this hub; choose {_listed(KINDS)}."
            )
    size = _pick("size", decision.sizes, options)
    image = choose_image(decision, options.get("image"), options.get("interface"))
    return Selection(size, image, _pick_interface(decision, image, options))


def choose_image(decision: Decision, name: object, interface: object = None) -> ImageChoice:
    """Return the image of that name; without a name the first that is open, if possible with the interface.

    Raises:
        Refusal: it is malformed, unknown, or not this user's to choose.
    """
    if _is_own(name):
        return _own_image(decision, str(name))
    images = sorted(decision.images, key=lambda image: not _fits(decision, image, interface))
    return _pick("image", images, {"image": name})


def remembered(
    decision: Decision, options: object, what: str = "Your last choice has changed"
) -> tuple[Selection | None, list[str]]:
    """Return the selection that comes nearest to earlier options, with a note for each that had to change.

    The selection is None only if the user may start nothing at all.

    Args:
        decision: what the user may have now.
        options: from then.
        what: how a note begins.
    """
    kept: dict[str, Any] = {}
    notes: list[str] = []
    earlier = options if isinstance(options, Mapping) else {}
    for kind in ("image", "size", "interface"):
        if kind not in earlier:
            continue
        try:
            choose(decision, {**kept, kind: earlier[kind]})
        except Refusal as refusal:
            notes.append(f"{what}: {refusal.message}")
        else:
            kept[kind] = earlier[kind]
    try:
        return choose(decision, kept), notes
    except Refusal as refusal:
        return None, [refusal.message]


def _is_own(name: object) -> bool:
    return isinstance(name, str) and (name == OWN_IMAGE or name.startswith(f"{OWN_IMAGE}:"))


def _own_image(decision: Decision, name: str) -> ImageChoice:
    """Return the image that a user named, if they may.

    Raises:
        Refusal: they may not name any, or not this one.
    """
    own = decision.own_image
    if own is None or own.state is State.HIDDEN:
        raise Refusal(
            "image-unknown", f"There is no image {shown(name)} for you; {_remedy(decision.images)}."
        )
    if own.state is State.LOCKED:
        raise Refusal("image-locked", f"{own.display_name} cannot be chosen: {own.why}", 403)
    reference = name.removeprefix(OWN_IMAGE).removeprefix(":")
    if not reference:
        raise Refusal("image-unnamed", "Write the name of the image, such as 'quay.io/pangeo/base:2026.1'.")
    if not _REFERENCE.fullmatch(reference):
        raise Refusal("image-malformed", f"{shown(reference)} is not the name of a container image.")
    if not any(re.fullmatch(pattern, reference) for pattern in own.patterns):
        raise Refusal(
            "image-not-allowed",
            f"{shown(reference)} is not among the images that this hub allows; ask its admin.",
            403,
        )
    return ImageChoice(
        name,
        reference,
        "",
        State.OPEN,
        own.why,
        own.place,
        image=reference,
        prefix=None,
        interfaces=own.interfaces,
    )


def _fits(decision: Decision, image: ImageChoice, wanted: object) -> bool:
    """Return whether the image has an interface that the user may have: the wanted one, if one is."""
    return any(
        choice.is_open and choice.name in image.interfaces and wanted in (None, choice.name)
        for choice in decision.interfaces
    )


def _pick_interface(decision: Decision, image: ImageChoice, options: Mapping[str, Any]) -> InterfaceChoice:
    fitting = [choice for choice in decision.interfaces if choice.name in image.interfaces]
    for choice in decision.interfaces:
        if choice.name == options.get("interface") and choice not in fitting and choice.is_open:
            raise Refusal(
                "interface-not-in-image",
                f"{image.display_name} has no {choice.display_name}; {_remedy(fitting)}.",
            )
    return _pick("interface", fitting, options)


def _pick(kind: str, choices: Sequence[_SomeChoice], options: Mapping[str, Any]) -> _SomeChoice:
    if options.get(kind) is None:
        for choice in choices:
            if choice.is_open:
                return choice
        raise Refusal(
            f"{kind}-none", f"There is no {kind} that you may choose on this hub; ask its admin.", 403
        )
    name = options[kind]
    if not isinstance(name, str):
        raise Refusal(f"{kind}-malformed", f"The {kind} must be a name, not {shown(name)}.")
    for choice in choices:
        if choice.name == name and choice.is_open:
            return choice
        if choice.name == name and choice.state is State.LOCKED:
            raise Refusal(f"{kind}-locked", f"{choice.display_name} cannot be chosen: {choice.why}", 403)
    raise Refusal(f"{kind}-unknown", f"There is no {kind} {shown(name)} for you; {_remedy(choices)}.")


def _remedy(choices: Sequence[Choice]) -> str:
    names = [choice.name for choice in choices if choice.is_open]
    return f"choose {_listed(names)}" if names else "ask the hub's admin"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
