"""Amazon's STS: a role that may open every bucket, taken with a session policy that opens a user's own.

What a session may do is what role and session policy both allow. The session has the user's name, so that
CloudTrail tells who did what, and a tag `scalablehub-user`, for policies of buckets. The role's trust policy
has to allow `sts:TagSession` too. Sessions cannot be ended before their time: what is left of an hour.
Source: "AssumeRole" in the STS API reference.
"""

from __future__ import annotations

import logging
import re

from scalablehub.services.credentials.backends.clients import FAILURES, Client
from scalablehub.services.credentials.backends.interface import Keys, StoreError, Wanted, code_of
from scalablehub.storage.policy import SESSION_POLICY_CHARACTERS

log = logging.getLogger(__name__)
LEAST_SECONDS = 900
"""The shortest session that STS gives."""


class Sts:
    """AssumeRole with an inline session policy and a session tag."""

    limit = SESSION_POLICY_CHARACTERS

    def __init__(
        self, role: str, region: str, endpoint: str | None = None, keys: tuple[str, str] | None = None
    ) -> None:
        self._role = role
        self._client = Client("sts", region, endpoint, keys)

    async def start(self) -> None:
        """Connect."""
        await self._client.start()

    async def issue(self, wanted: Wanted) -> Keys:
        """Take the role for one user; raises StoreError."""
        try:
            answer = await self._client.calls.assume_role(
                RoleArn=self._role,
                RoleSessionName=wanted.session,
                Policy=wanted.policy,
                DurationSeconds=max(wanted.lifetime_seconds, LEAST_SECONDS),
                Tags=[{"Key": "scalablehub-user", "Value": wanted.session}],
            )
            found = answer["Credentials"]
            return Keys(
                found["AccessKeyId"],
                found["SecretAccessKey"],
                found["SessionToken"],
                int(found["Expiration"].timestamp()),
            )
        except FAILURES as error:
            code = code_of(error)
            log.warning("STS gave no session: %s", code)
            if code == "PackedPolicyTooLarge":
                raise StoreError("takes no policy as large as that of your buckets", 500) from None
            if re.match("AccessDenied|Malformed|InvalidIdentity|ValidationError", code):
                raise StoreError("refuses the hub", 502) from None
            raise StoreError from None

    async def end(self, keys: Keys) -> bool:
        """Say that it cannot be ended."""
        return False

    async def sweep(self, now: float) -> int:
        """Find nothing to end: sessions end by themselves."""
        return 0

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()
