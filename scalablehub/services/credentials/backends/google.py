"""Google: a token of the service's own account, narrowed to a user's buckets by a Credential Access Boundary.

The account is that of the environment ("Application Default Credentials"), such as the one that GKE binds
to the service's account of Kubernetes. A narrowed token cannot be ended before its time, and ends with the
one that it was made of, so that one is renewed early. Source: "Credential Access Boundaries" in Google
Cloud's documentation.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from datetime import UTC
from typing import Any, Protocol

import google.auth
import requests
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2.sts import Client

from scalablehub.services.credentials.backends.interface import Keys, StoreError, Wanted
from scalablehub.storage.boundary import MOST_RULES

log = logging.getLogger(__name__)
STS = "https://sts.googleapis.com/v1/token"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_EARLY_SECONDS = 1800
_TIMEOUT_SECONDS = 1.5
# What a call ends with when Google is away, refuses, or answers something else.
_FAILURES = (GoogleAuthError, requests.RequestException, OSError, ValueError, KeyError, TypeError)


class Source(Protocol):
    """Credentials of google-auth."""

    token: str | None
    expiry: Any

    def refresh(self, request: Any) -> None:
        """Have a new token; raises GoogleAuthError."""


class Google:
    """Tokens that are narrowed at Google's STS.

    Args:
        source: the account's own credentials; None is what the environment has.
        endpoint: of the exchange; another than Google's is for tests.
    """

    limit = MOST_RULES

    def __init__(self, source: Source | None = None, endpoint: str = STS) -> None:
        self._source = source
        self._client: Any = Client(endpoint)  # type: ignore[no-untyped-call]
        self._session = requests.Session()
        self._request: Any = functools.partial(Request(self._session), timeout=_TIMEOUT_SECONDS)
        self._turn = threading.Lock()

    async def start(self) -> None:
        """Find the account; one that is not there is found out when somebody asks."""

    async def issue(self, wanted: Wanted) -> Keys:
        """Return a token for a boundary; raises StoreError."""
        # google-auth is for threads.
        return await asyncio.to_thread(self._issue, wanted)

    def _issue(self, wanted: Wanted) -> Keys:
        try:
            token, ends = self._own()
            answer = self._client.exchange_token(
                self._request,
                grant_type=_EXCHANGE,
                subject_token=token,
                subject_token_type=_ACCESS_TOKEN,
                requested_token_type=_ACCESS_TOKEN,
                additional_options=json.loads(wanted.policy),
            )
            expires = min(int(time.time()) + int(answer.get("expires_in", wanted.lifetime_seconds)), ends)
            return Keys("", "", str(answer["access_token"]), min(expires, wanted.expires))
        except _FAILURES as error:
            log.warning("Google gave no token: %s", type(error).__name__)
            raise StoreError from None

    def _own(self) -> tuple[str, int]:
        """Return the account's own token, and when it ends in seconds since the epoch."""
        with self._turn:
            if self._source is None:
                found, _ = google.auth.default(scopes=[_SCOPE], request=self._request)
                self._source = found
            if self._left() < _EARLY_SECONDS:
                self._source.refresh(self._request)
            if not self._source.token:
                raise ValueError("no token")
            return self._source.token, int(time.time() + self._left())

    def _left(self) -> float:
        """Return for how many seconds the account's own token is good."""
        if self._source is None or not self._source.token or self._source.expiry is None:
            return 0
        ends: float = self._source.expiry.replace(tzinfo=UTC).timestamp()
        return ends - time.time()

    async def end(self, keys: Keys) -> bool:
        """Say that it cannot be ended."""
        return False

    async def sweep(self, now: float) -> int:
        """Find nothing to end: tokens end by themselves."""
        return 0

    async def close(self) -> None:
        """Close connections."""
        self._session.close()
