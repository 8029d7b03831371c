"""What dask-gateway's API takes, checked before it is asked: its 500s are sentences here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from scalablehub.errors import shown
from scalablehub.services.dask_gateway.refusals import bad_body

WORKERS = 1_000_000


def checked_body(kind: str, raw: bytes) -> bytes:
    """Return the JSON to send on for a `create`, `scale` or `adapt` request; raise the 422 refusal otherwise.

    The result is written anew from what was understood, so nobody downstream reads the bytes differently.
    """
    try:
        body = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise bad_body("The body must be a JSON object.") from None
    if not isinstance(body, dict):
        raise bad_body("The body must be a JSON object.")
    return json.dumps(_CHECKS[kind](body)).encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _create(body: dict[str, Any]) -> dict[str, Any]:
    options = body.get("cluster_options")
    if options is not None and not isinstance(options, dict):
        raise bad_body(f"'cluster_options' must be a JSON object, not {shown(options)}.")
    return {"cluster_options": options or {}}


def _workers(body: dict[str, Any], name: str) -> int | None:
    count = body.get(name)
    if count is None:
        return None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= WORKERS:
        raise bad_body(f"'{name}' must be a whole number of workers from 0 to {WORKERS}, not {shown(count)}.")
    return count


def _scale(body: dict[str, Any]) -> dict[str, Any]:
    count = _workers(body, "count")
    if count is None:
        raise bad_body("'count' is missing: say how many workers the cluster should have.")
    return {"count": count}


def _adapt(body: dict[str, Any]) -> dict[str, Any]:
    minimum, maximum = _workers(body, "minimum"), _workers(body, "maximum")
    active = body.get("active", True)
    if not isinstance(active, bool):
        raise bad_body(f"'active' must be true or false, not {shown(active)}.")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise bad_body(f"'minimum' is {minimum}, which is more than 'maximum', {maximum}.")
    return {"minimum": minimum, "maximum": maximum, "active": active}


_CHECKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "create": _create,
    "scale": _scale,
    "adapt": _adapt,
}
