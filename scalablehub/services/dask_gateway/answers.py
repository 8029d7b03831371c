"""Refusals as answers: a page for a person, JSON for a program, one line for the log."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scalablehub.errors import PublicError, shown
from scalablehub.services.dask_gateway.headers import API_ANSWER

log = logging.getLogger(__name__)

PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "scalablehub",
}
TITLES = {
    401: "Please sign in",
    403: "You may not open this",
    404: "Nothing here",
    502: "Dask is not reachable",
    503: "The hub is not reachable",
    504: "Dask is slow",
}
_SENTENCES = frozenset({404, 409, 422, 500})

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """Return one of our pages; everything in `values` is escaped."""
    return _templates.get_template(template).render(**values)


def refusal_page(error: PublicError, home: str) -> str:
    """Return a refusal as a page: what happened, what to do, and the way back to `home`."""
    return render("message.html", title=TITLES.get(error.status, "This did not work"), error=error, home=home)


def is_dask_client(headers: Mapping[str, str]) -> bool:
    """Tell whether dask-gateway's own client is asking: it shows a string, and prints the rest raw."""
    return headers.get("Accept", "*/*") == "*/*" and "aiohttp/" in headers.get("User-Agent", "")


def refused(
    request: web.BaseRequest, error: PublicError, *, page: bool = False, home: str = "/"
) -> web.Response:
    """Return the answer to `request` that says `error`, and log it in one line.

    A program gets `{"error": {"code", "message", "request_id"}}`, and the sentence as the reason phrase too,
    which is where dask-gateway's client looks for most statuses. Where it prints the body instead, it
    gets dask-gateway's own shape, `{"error": message}`.
    """
    number = secrets.token_hex(6)
    # A client's first request never carries a token: that is no news.
    level = logging.DEBUG if error.code == "not-signed-in" else logging.INFO
    if log.isEnabledFor(level):
        path = request.raw_path.partition("?")[0]
        log.log(level, "%s %s: %s %s (%s)", request.method, shown(path), error.status, error.code, number)
    headers = dict(getattr(error, "headers", {}))
    if page:
        answer = web.Response(
            status=error.status, text=refusal_page(error, home), headers={**PAGE_HEADERS, **headers}
        )
    else:
        body: dict[str, Any]
        if error.status in _SENTENCES and is_dask_client(request.headers):
            body = {"error": error.message}
        else:
            body = {"error": {"code": error.code, "message": error.message, "request_id": number}}
        answer = web.Response(
            status=error.status,
            reason=reason_phrase(error),
            body=json.dumps(body).encode(),
            content_type="application/json",
            headers={**API_ANSWER, **headers},
        )
    if getattr(error, "close", False):
        answer.force_close()
    return answer


def reason_phrase(error: PublicError) -> str:
    """Return the sentence of `error` for a status line: printable ASCII, 200 characters at most."""
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in error.message[:200])
    return text or HTTPStatus(error.status).phrase
