"""Which requests are those of an S3 client on this machine, and not of a page or a proxy that found the port.

A page in a browser can make requests to loopback, through a name that it rebinds or not; a server's own proxy
(jupyter-server-proxy) offers the port to who can open the server. Both add headers that no SDK does.
"""

from __future__ import annotations

from collections.abc import Collection

from multidict import CIMultiDictProxy

from scalablehub.errors import PublicError

FOREIGN = ("origin", "referer", "cookie", "forwarded", "via", "x-real-ip", "x-scheme", "x-proxycontextpath")
FOREIGN_BEGINNINGS = ("x-forwarded-", "sec-", "proxy-")


def hosts_of(port: int) -> frozenset[str]:
    """Return the Host headers that name this port on loopback, as SDKs write them."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def check_request(headers: CIMultiDictProxy[str], query: str, hosts: Collection[str] | None) -> None:
    """Raise PublicError (403, or 400 for a query) unless a request can be one of an SDK on this machine.

    Args:
        headers: of the request.
        query: of its address.
        hosts: names that it may have called this machine by; None where only forwarders come.
    """
    named = headers.getall("Host", [])
    if hosts is not None and (len(named) != 1 or named[0].lower() not in hosts):
        raise PublicError(
            "host-refused", "Credentials are given on loopback only, under a name of loopback.", 403
        )
    for name in headers:
        low = name.lower()
        if low in FOREIGN or low.startswith(FOREIGN_BEGINNINGS):
            raise PublicError(
                "not-a-client",
                "This request came from a page or through a proxy; clients on the server itself get "
                "credentials.",
                403,
            )
    if query:
        raise PublicError("query-refused", "Nothing can be asked for here: leave the query out.", 400)


def bearer_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the token of a request, which SDKs send as it is; raises PublicError, status 401."""
    lines = headers.getall("Authorization", [])
    if len(lines) != 1 or not lines[0] or " " in lines[0] or "\t" in lines[0]:
        raise PublicError(
            "token-missing",
            "Send the token of your server, as AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE has it, in the header "
            "Authorization.",
            401,
        )
    return lines[0]
