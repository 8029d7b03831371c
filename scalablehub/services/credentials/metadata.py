"""The metadata server's protocol, in which Google's clients ask who they are and for a token.

It has no place for a token of ours. In Kubernetes the forwarder adds it; on one machine it is a part of the
address, which is never logged. Source: "VM metadata" in Google Cloud's documentation, and the clients' code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDictProxy

from scalablehub.errors import PublicError

PREFIX = "gce"
FLAVOR = {"Metadata-Flavor": "Google"}
_ROOT = "computeMetadata/v1/"
_ACCOUNTS = "instance/service-accounts/"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        token: the one in the address, or empty.
        path: what is below ``computeMetadata/v1/``; None asks only whether this is a metadata server.
    """

    token: str
    path: str | None


def question_of(path: str) -> Question:
    """Return what an address below ``gce`` asks; raises PublicError, status 404."""
    first, _, rest = path.partition("/")
    token, asked = ("", path) if first in ("", "computeMetadata") else (first, rest)
    if not asked:
        return Question(token, None)
    if not asked.startswith(_ROOT):
        raise _nothing()
    return Question(token, asked.removeprefix(_ROOT))


def check_flavor(headers: CIMultiDictProxy[str]) -> None:
    """Raise PublicError, status 403, unless a request has the header that pages cannot send."""
    if headers.getall("Metadata-Flavor", []) != ["Google"]:
        raise PublicError("flavor-missing", "Send the header 'Metadata-Flavor: Google'.", 403)


def asks_for_token(path: str) -> bool:
    """Tell whether a path asks for a token."""
    return path.startswith(_ACCOUNTS) and path.endswith("/token")


def token_body(token: str, seconds: int) -> dict[str, Any]:
    """Return a token as clients expect it.

    Args:
        token: what Google gave.
        seconds: until it ends.
    """
    return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}


def facts(path: str, project: str) -> tuple[str, str]:
    """Return what is not secret, as (content type, text); raises PublicError, status 404.

    Args:
        path: below ``computeMetadata/v1/``.
        project: as the description names it.
    """
    account = {"aliases": ["default"], "email": _email(project), "scopes": [_SCOPE]}
    fixed = {
        "": "instance/\nproject/\n",
        "project/project-id": project,
        "universe/universe-domain": "googleapis.com",
        "universe/universe_domain": "googleapis.com",
        _ACCOUNTS: "default/\n",
    }
    if path in fixed:
        return "text/plain", fixed[path]
    name, _, about = path.removeprefix(_ACCOUNTS).partition("/")
    if path.startswith(_ACCOUNTS) and name in ("default", account["email"]):
        match about:
            case "":
                return "application/json", json.dumps(account)
            case "email":
                return "text/plain", _email(project)
            case "scopes":
                return "text/plain", f"{_SCOPE}\n"
            case "aliases":
                return "text/plain", "default\n"
    raise _nothing()


def _email(project: str) -> str:
    return f"research-hub@{project}.iam.gserviceaccount.com"


def _nothing() -> PublicError:
    return PublicError("not-found", "The hub's metadata server has tokens for buckets, nothing else.", 404)
