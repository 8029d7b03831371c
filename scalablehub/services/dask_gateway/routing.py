"""Which addresses exist, decided once from the path as it came, before anything else happens.

* Known addresses pass; anything else is a 400, 404 or 414, and dask-gateway never hears of it.
* Only the part of a dashboard's address below its cluster may be percent-encoded, and it must decode to a
  path that means the same to everybody: no dot segments, no empty ones, no second layer of encoding.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl, unquote, urlsplit

from scalablehub.services.dask_gateway.refusals import bad_path, not_found, path_too_long, token_in_url

PATH_CHARACTERS = 4096
READS = frozenset({"GET", "HEAD"})

_CLUSTER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9])?")
# JupyterLab's Dask panel shows a cluster's dashboard only where its address looks like one below a server.
_PANEL = re.compile(r"of/(?:[^/]+/)*?user/[^/]+/(?:[^/]+/)?proxy/(?P<dashboard>clusters/.*)")
_PLAIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@%/-]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\;]")


class Kind(Enum):
    """What an address is for, which decides who may use it and how."""

    API = "api"
    DASHBOARD = "dashboard"
    PAGE = "page"
    HEALTH = "health"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Route:
    """One known address: `upstream` is its path at dask-gateway, `body` names what its POST takes.

    Of what has moved, `upstream` is where it is.
    """

    kind: Kind
    upstream: str
    methods: frozenset[str]
    cluster: str = ""
    body: str = ""


_PAGES = {
    "": READS,
    "logs": READS,
    "sign-in": READS,
    "oauth_callback": frozenset({"GET"}),
    "scale": frozenset({"POST"}),
    "stop": frozenset({"POST"}),
}
_FIXED = {
    "api/health": Route(Kind.API, "/api/health", READS),
    "api/version": Route(Kind.API, "/api/version", READS),
    "api/v1/options": Route(Kind.API, "/api/v1/options", READS),
    "api/v1/clusters/": Route(Kind.API, "/api/v1/clusters/", READS | {"POST"}, body="create"),
    "healthz": Route(Kind.HEALTH, "", READS),
}
_DASHBOARD_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


def is_cluster_name(name: str) -> bool:
    """Tell whether `name` could be a cluster's name in any of dask-gateway's backends."""
    return _CLUSTER.fullmatch(name) is not None and ".." not in name


@functools.lru_cache(maxsize=1024)
def find_route(path: str, prefix: str) -> Route:
    """Return the route of a path as it came on the request line, without its query.

    Raises the refusals bad_path (400), not_found (404) and path_too_long (414).
    """
    if len(path) > PATH_CHARACTERS:
        raise path_too_long()
    if _PLAIN.fullmatch(path) is None or "//" in path:
        raise bad_path()
    if not path.startswith(prefix):
        if path + "/" == prefix:
            return Route(Kind.MOVED, prefix, READS)
        raise not_found()
    rest = path[len(prefix) :]
    route = _FIXED.get(rest)
    if route is not None:
        return route
    if rest in _PAGES:
        return Route(Kind.PAGE, "", _PAGES[rest])
    if rest.startswith("clusters/"):
        return _dashboard(rest)
    if (panel := _PANEL.fullmatch(rest)) is not None:
        _dashboard(panel["dashboard"])
        return Route(Kind.MOVED, prefix + panel["dashboard"], READS)
    _refuse_dots_and_escapes(rest)
    if rest.startswith("api/v1/clusters/"):
        return _cluster_api(rest)
    raise not_found()


def _refuse_dots_and_escapes(rest: str) -> None:
    if "%" in rest or not {".", ".."}.isdisjoint(rest.split("/")):
        raise bad_path()


def _cluster_api(rest: str) -> Route:
    name, slash, action = rest.removeprefix("api/v1/clusters/").partition("/")
    if not is_cluster_name(name):
        raise not_found()
    if not slash:
        return Route(Kind.API, f"/{rest}", READS | {"DELETE"}, name)
    if action in ("scale", "adapt"):
        return Route(Kind.API, f"/{rest}", frozenset({"POST"}), name, action)
    # Heartbeats come from schedulers, straight to dask-gateway.
    raise not_found()


def _dashboard(rest: str) -> Route:
    name, slash, below = rest.removeprefix("clusters/").partition("/")
    _refuse_dots_and_escapes(name)
    if "%" in below:
        if _BAD_ESCAPE.search(below):
            raise bad_path()
        # Dask escapes a worker's address into one segment, so an encoded slash is legitimate down here.
        try:
            decoded = unquote(below, errors="strict")
        except UnicodeDecodeError:
            raise bad_path() from None
        if _ESCAPE.search(decoded) or _CONTROL.search(decoded):
            raise bad_path()
    else:
        decoded = below
    if not {".", ".."}.isdisjoint(decoded.split("/")):
        raise bad_path()
    if not is_cluster_name(name):
        raise not_found()
    return Route(Kind.DASHBOARD, f"/{rest}" if slash else f"/{rest}/", _DASHBOARD_METHODS, name)


def checked_query(query: str) -> str:
    """Return a query string that may go on; raise when it carries a token or cannot stand in an address."""
    if not query:
        return query
    if not query.isascii() or not query.isprintable() or " " in query or "#" in query:
        raise bad_path()
    if ("token" in query.lower() or "%" in query) and any(
        key.lower() == "token" for key, _ in parse_qsl(query, keep_blank_values=True)
    ):
        raise token_in_url()
    return query


def api_query(query: str) -> str:
    """Return the part of a query string that dask-gateway's API knows: `wait` and `status`."""
    if not query:
        return query
    pairs = parse_qsl(checked_query(query), keep_blank_values=True)
    known = [
        f"{key}={value}"
        for key, value in pairs
        if key in ("wait", "status") and _QUERY_VALUE.fullmatch(value)
    ]
    return "&".join(known)


_QUERY_VALUE = re.compile(r"[A-Za-z0-9,]{0,80}")


def safe_next(target: str, prefix: str) -> str | None:
    """Return `target` if a browser that is sent there stays below our prefix, else None.

    Takes a path with an optional query: no scheme, host, backslash, control character or dot segment that a
    browser would read in its own way.
    """
    if len(target) > PATH_CHARACTERS or not target.isascii() or not target.isprintable():
        return None
    path, _, query = target.partition("?")
    if " " in target or "\\" in target or "#" in target or ";" in path or "//" in path:
        return None
    if not path.startswith(prefix) or urlsplit(target).netloc:
        return None
    decoded = unquote(path)
    if _ESCAPE.search(decoded) or _CONTROL.search(decoded):
        return None
    if not {".", ".."}.isdisjoint(decoded.split("/")):
        return None
    return path + (f"?{query}" if query else "")
