"""What the service asks of a store, and what it gets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from scalablehub.errors import PublicError


@dataclass(frozen=True)
class Wanted:
    """Keys that are to be made.

    Attributes:
        user: the hub's name for who gets them.
        policy: the document that says what they open, as JSON text.
        expires: when they end, in seconds since the epoch.
        lifetime_seconds: from now until then.
    """

    user: str
    policy: str
    expires: int
    lifetime_seconds: int

    @property
    def session(self) -> str:
        """The user as stores take names of sessions (2 to 64 of letters, digits and '+=,.@-'), distinct."""
        safe = re.sub(r"[^A-Za-z0-9+=,.@-]", "-", self.user)
        if safe == self.user and 2 <= len(safe) <= 48:
            return safe
        return f"{safe[:48]}={sha256(self.user.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Keys:
    """Credentials of S3; `expires` is in seconds since the epoch, `handle` what the backend ends them by."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expires: int
    handle: str = ""


class StoreError(PublicError):
    """The store did not give keys: the words are ours, those of the store may hold what is secret."""

    def __init__(self, why: str = "did not answer", status: int = 503) -> None:
        super().__init__(
            "store-unavailable", f"The store of your buckets {why}; try again in a few seconds.", status
        )


class Backend(Protocol):
    """A store or a cloud."""

    limit: int
    """Characters that a policy may have."""

    async def start(self) -> None:
        """Connect."""

    async def issue(self, wanted: Wanted) -> Keys:
        """Return new keys; raises StoreError."""

    async def end(self, keys: Keys) -> bool:
        """End keys now; False where the store cannot. Raises StoreError."""

    async def sweep(self, now: float) -> int:
        """End what has expired, also of an earlier run, and return how many. Raises StoreError."""

    async def close(self) -> None:
        """Disconnect."""


def code_of(error: Any) -> str:
    """Return the code in a store's answer, such as ``AccessDenied``: short, and never with a secret in it."""
    # botocore's errors of connections have an attribute of that name too: None.
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", type(error).__name__))
    return re.sub(r"[^A-Za-z0-9.]", "", code)[:60]
