"""The sentences in which this service says no: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scalablehub.errors import PublicError

ASK_WHOM = "Ask the people who run this hub"


class Refusal(PublicError):
    """A PublicError with the response headers that go with it, and whether the connection must end."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(code, message, status)
        self.headers = dict(headers or {})
        self.close = close


def sign_in_needed() -> Refusal:
    """No usable token came with the request."""
    return Refusal(
        "not-signed-in",
        "Send your hub token as 'Authorization: token <your token>'.",
        401,
        {"WWW-Authenticate": "jupyterhub"},
    )


def token_unknown() -> Refusal:
    """The hub does not know the token (any more)."""
    return Refusal(
        "token-unknown",
        "The hub does not accept this token: it may be revoked or expired. "
        "Restart your server or sign in again.",
        401,
        {"WWW-Authenticate": "jupyterhub"},
    )


def no_access(service: str) -> Refusal:
    """The hub knows the person, who may not use this service."""
    return Refusal(
        "no-access",
        f"You may not use Dask clusters on this hub yet. {ASK_WHOM} for access to the service {service}.",
        403,
    )


def not_found() -> Refusal:
    """There is nothing here, or nothing for this person: the two are told apart to nobody."""
    return Refusal("not-found", "There is no such cluster among yours, or no such address.", 404)


def bad_path() -> Refusal:
    """The address is not one that we could have given out."""
    return Refusal("bad-address", "This address is not written the way this service writes them.", 400)


def path_too_long() -> Refusal:
    """The address is longer than any of ours."""
    return Refusal("address-too-long", "This address is too long.", 414, close=True)


def headers_too_large() -> Refusal:
    """A header is larger than any token or browser header that we expect."""
    return Refusal("headers-too-large", "A request header is too large.", 431, close=True)


def malformed_request() -> Refusal:
    """The bytes are not one unambiguous HTTP request."""
    return Refusal("bad-request", "This is not a request that this service can read.", 400, close=True)


def method_not_allowed(allowed: Iterable[str]) -> Refusal:
    """The address exists, for other methods."""
    names = ", ".join(sorted(allowed))
    return Refusal("method-not-allowed", f"This address takes {names}.", 405, {"Allow": names})


def token_in_url() -> Refusal:
    """A token came in the query string, where logs and history would keep it."""
    return Refusal(
        "token-in-url",
        "Tokens are not accepted in addresses: send it in the Authorization header, and revoke this one.",
        400,
    )


def cross_site() -> Refusal:
    """A cookie came with a request that another site's page made."""
    return Refusal("cross-site", "This request came from another site's page. Open the page itself.", 403)


def hub_unavailable() -> Refusal:
    """The hub did not say who this is; that is not a no."""
    return Refusal(
        "hub-unavailable",
        "The hub cannot be asked who you are just now. Try again in a few seconds.",
        503,
        {"Retry-After": "5"},
    )


def gateway_down() -> Refusal:
    """dask-gateway did not take the connection, or dropped it before answering."""
    return Refusal(
        "gateway-down",
        "dask-gateway is not reachable just now. Try again in a few seconds; running clusters go on.",
        502,
        {"Retry-After": "5"},
    )


def gateway_failed() -> Refusal:
    """dask-gateway answered that it failed."""
    return Refusal(
        "gateway-failed",
        "dask-gateway failed while answering. Try again; if it lasts, tell the people who run this hub.",
        502,
        {"Retry-After": "5"},
    )


def gateway_slow() -> Refusal:
    """dask-gateway took the request and did not answer in time."""
    return Refusal(
        "gateway-slow",
        "dask-gateway did not answer in time. Try again in a few seconds.",
        504,
        {"Retry-After": "5"},
    )


def body_too_large(limit_bytes: int) -> Refusal:
    """The body is larger than any request to dask-gateway's API."""
    return Refusal("body-too-large", f"The body may have {limit_bytes} bytes at most.", 413, close=True)


def body_too_slow() -> Refusal:
    """The body did not arrive in time."""
    return Refusal("body-too-slow", "The body of the request did not arrive in time.", 408, close=True)


def bad_body(message: str) -> Refusal:
    """The body is not what this address takes; `message` says what is."""
    return Refusal("bad-body", message, 422)
