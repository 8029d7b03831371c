"""Which container image a server really runs: the one that was chosen, by its digest where that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scalablehub.decisions import ImageChoice, OwnImageChoice, Refusal
from scalablehub.description import OWN_IMAGE, Registries
from scalablehub.description.units import format_bytes
from scalablehub.errors import PublicError
from scalablehub.registry import FoundImage, ImageFinder, parse_reference

# Nobody waits longer for a digest; what is chosen by its tag starts as well.
_PATIENCE_SECONDS = 3.0


async def image_to_run(
    image: ImageChoice,
    own: OwnImageChoice | None,
    registries: Registries,
    finder: ImageFinder,
    warn: Callable[[str], None],
) -> str:
    """Return the image that a server of this choice runs.

    Args:
        image: that was chosen.
        own: what an image that the user named has to keep to.
        registries: what is asked of registries.
        finder: asks them.
        warn: is told why a tag stays a tag.

    Raises:
        Refusal: the user named an image that is not there, or that this hub cannot run.
        PublicError: what the description says is not the name of an image.
    """
    name = image.image or ""
    is_own = image.name.startswith(f"{OWN_IMAGE}:")
    if not name or not (registries.pin or (is_own and registries.check)):
        return name
    reference = parse_reference(name)
    try:
        patience = None if is_own and registries.check else _PATIENCE_SECONDS
        found = await asyncio.wait_for(finder.find(reference, registries.platform), patience)
    except TimeoutError:
        warn(f"{name} keeps its tag: {reference.registry} does not answer in time.")
        return name
    except PublicError as error:
        # Whoever has a registry could answer the hub oddly and the node properly.
        unmeasured = error.code == "registry-odd" or (own is not None and own.max_size is not None)
        if is_own and registries.check and (error.status == 400 or unmeasured):
            raise Refusal(error.code, error.message, error.status) from None
        warn(f"{name} keeps its tag: {error.message}")
        return name
    if is_own and registries.check:
        _require_size(found, own)
    return found.pinned if registries.pin and reference.digest is None else name


def _require_size(found: FoundImage, own: OwnImageChoice | None) -> None:
    most = own.max_size if own is not None else None
    if most is not None and found.size_bytes > most:
        raise Refusal(
            "image-too-large",
            f"{found.reference} is a download of {format_bytes(found.size_bytes)}; "
            f"{format_bytes(most)} is the most on this hub.",
        )
