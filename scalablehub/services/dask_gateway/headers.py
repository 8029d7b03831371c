"""Which headers pass, both ways: named ones only, so that what nobody thought of does not.

Pure functions over header mappings; nothing here knows a connection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from multidict import CIMultiDict, istr

from scalablehub.services.dask_gateway.refusals import headers_too_large, sign_in_needed

SCHEMES = frozenset({"jupyterhub", "token", "bearer"})
TOKEN_CHARACTERS = 4096


def _names(*names: str) -> dict[str, istr]:
    return {spelling: istr(name) for name in names for spelling in (name, name.lower())}


# No Cookie, Authorization, Forwarded or X-…: dask-gateway and the user's own scheduler need none of them.
REQUEST_NAMES = _names(
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Cache-Control",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Pragma",
    "Range",
    "User-Agent",
    "X-Requested-With",
    "Bokeh-Session-Id",
)

# No Set-Cookie, Clear-Site-Data, Service-Worker-Allowed, Access-Control-…, Strict-Transport-Security: a
# dashboard is written by a user and must not speak for the hub's origin.
RESPONSE_NAMES = _names(
    "Accept-Ranges",
    "Age",
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Expires",
    "Last-Modified",
    "Location",
    "Pragma",
    "Retry-After",
    "Vary",
)

API_ANSWER = {
    istr("X-Content-Type-Options"): "nosniff",
    istr("Cache-Control"): "no-store",
    istr("Server"): "scalablehub",
}
DASHBOARD_ANSWER = {
    istr("X-Content-Type-Options"): "nosniff",
    istr("Content-Security-Policy"): "frame-ancestors 'self'",
    istr("Referrer-Policy"): "same-origin",
    istr("Server"): "scalablehub",
}
CONTENT_LENGTH = istr("Content-Length")
BODY_NAMES = (CONTENT_LENGTH, istr("Content-Type"), istr("Content-Encoding"))


def authorization_token(values: Sequence[str]) -> str:
    """Return the token in a request's Authorization headers.

    Exactly one header, one of our schemes in any case, one space, one token of printable ASCII. Raises the
    401 refusal otherwise, and the 431 one for a token longer than any of the hub's.
    """
    if len(values) != 1:
        raise sign_in_needed()
    scheme, _, token = values[0].partition(" ")
    if len(token) > TOKEN_CHARACTERS:
        raise headers_too_large()
    if scheme.lower() in SCHEMES and token and token.isascii() and token.isprintable() and " " not in token:
        return token
    raise sign_in_needed()


def passed_on(headers: Mapping[str, str], names: Mapping[str, istr]) -> CIMultiDict[str]:
    """Return the `headers` that are among `names`, in order."""
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        known = names.get(name) or names.get(name.lower())
        if known is not None:
            kept.add(known, value)
    return kept


def cookie_values(header: str, name: str) -> list[str]:
    """Return every value that a Cookie header has for `name`, unquoted: there should be one at most."""
    values = []
    for chunk in header.split(";"):
        key, equals, value = chunk.partition("=")
        if equals and key.strip() == name:
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            values.append(value)
    return values


def is_same_origin(origin: str, host: str) -> bool:
    """Tell whether an Origin header names the host that the browser sent the request to (its Host header)."""
    try:
        parts = urlsplit(origin)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.path
            or parts.username is not None
        ):
            return False
        own = urlsplit(f"{parts.scheme}://{host}")
        default = 443 if parts.scheme == "https" else 80
        return (parts.hostname, parts.port or default) == (own.hostname, own.port or default)
    except ValueError:
        return False


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Tell whether a person's browser is opening a page, as opposed to a script or a program asking.

    Browsers say so in Sec-Fetch-Mode, except to plain-http hosts: there the wish for HTML decides.
    """
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in headers.get("Accept", "")


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Tell whether another site's page (or a service worker's registration) made this browser request.

    A link followed from elsewhere is not foreign: it shows the page, and its site learns nothing.
    """
    if "Service-Worker" in headers:
        return True
    site = headers.get("Sec-Fetch-Site")
    return (
        site is not None
        and site not in ("same-origin", "none")
        and headers.get("Sec-Fetch-Mode") != "navigate"
    )
