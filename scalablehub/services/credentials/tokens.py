"""The tokens by which the service knows a server or a Dask cluster: written by the hub, read here.

There is one algorithm, HMAC with SHA-256, and no header that could name another. A token has one audience,
one server, and the moment at which that server was started: the next start of the same server has another.
It says who asks, never what they may have.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scalablehub.errors import PublicError
from scalablehub.storage.credentials import AUDIENCE

LIFETIME_SECONDS = 30 * 24 * 3600
_MARK = "shc1"
_MOST_CHARACTERS = 4096


@dataclass(frozen=True)
class Claims:
    """What a token says.

    Attributes:
        user: the hub's name of the owner.
        server: name of the server; empty is the default one, None is none: of a cluster that has none.
        started: when that server was started, as the hub's API writes it; empty is any start, for a cluster.
        expires: seconds since the epoch.
        cluster: name of the Dask cluster that the token was made for; empty is the server itself.
    """

    user: str
    server: str | None
    started: str
    expires: int
    cluster: str = ""


def signing_key(service_token: str) -> bytes:
    """Return the key of the tokens: made from the service's own hub token, which only it and the hub have."""
    if not service_token:
        raise ValueError("the credential service needs a hub token")
    return hmac.digest(service_token.encode(), b"scalablehub credentials: tokens, 1", "sha256")


def sign(claims: Claims, key: bytes, audience: str = AUDIENCE) -> str:
    """Return the token: printable ASCII without spaces or a line break."""
    body = {
        "aud": audience,
        "sub": claims.user,
        "srv": claims.server,
        "sta": claims.started,
        "exp": claims.expires,
        "clu": claims.cluster,
    }
    payload = _encode(json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
    return f"{_MARK}.{payload}.{_encode(_mac(payload, key))}"


def read(token: str, key: bytes, now: float) -> Claims:
    """Return what a token says if it is ours and of now.

    Raises PublicError, status 401, with one sentence for everything that is not: which part was wrong is
    of use only to somebody who tries.
    """
    refusal = PublicError(
        "token-refused",
        "This is not a token of a running server of this hub. If it is your own server's, restart it.",
        401,
    )
    mark, _, rest = token.partition(".")
    payload, _, mac = rest.partition(".")
    if len(token) > _MOST_CHARACTERS or not token.isascii() or mark != _MARK:
        raise refusal
    # The text is compared, not what it decodes to: base64 can write the same bytes in several ways.
    if not hmac.compare_digest(mac, _encode(_mac(payload, key))):
        raise refusal
    try:
        body = json.loads(decoded(payload))
        audience = body["aud"]
        claims = Claims(body["sub"], body["srv"], body["sta"], body["exp"], body["clu"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise refusal from None
    if audience != AUDIENCE or not claims.user or claims.expires <= now:
        raise refusal
    return claims


def same_start(one: str, other: str) -> bool:
    """Whether two moments are one start of a server: some databases round them to seconds."""
    try:
        first, second = (datetime.fromisoformat(text) for text in (one, other))
        return abs((first - second).total_seconds()) <= 1
    except (ValueError, TypeError):
        return False


def issue_token(
    file: Path, service_token: str, user: str, server: str | None, *, started: str = "", cluster: str = ""
) -> None:
    """Write the token of a server or of a cluster, as `write_token` does.

    Args:
        file: gets it.
        service_token: the hub token of the credential service.
        user: as in `Claims`, and so the others.
        server: of the user.
        started: when the server was.
        cluster: that it is for.
    """
    claims = Claims(user, server, started, int(time.time()) + LIFETIME_SECONDS, cluster)
    write_token(file, sign(claims, signing_key(service_token)))


def write_token(file: Path, token: str) -> None:
    """Write a token where only its owner reads it (mode 0400), whole or not at all, without a line break.

    A line break at its end makes botocore and Amazon's Go SDK refuse it, and obstore panic.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(token)
    beside.replace(file)


def decoded(text: str) -> bytes:
    """Return what base64 for addresses says, without the padding that tokens leave out."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _mac(payload: str, key: bytes) -> bytes:
    return hmac.new(key, f"{_MARK}.{payload}".encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
