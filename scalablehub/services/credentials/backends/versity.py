"""VersityGW's IAM: for each set of keys a user of the store's own, with the policy, deleted at its end.

Its keys have neither an end nor a session token, so the end is in the user's name: whoever starts this
service again knows what to delete, and nothing that is still in use goes with it. With the gateway's
`--iam-cache-disable` deletion works at once; otherwise within its `--iam-cache-ttl` (120 s).
"""

from __future__ import annotations

import logging
import secrets

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from scalablehub.services.credentials.backends.clients import FAILURES, Client
from scalablehub.services.credentials.backends.interface import Keys, StoreError, Wanted, code_of
from scalablehub.storage.policy import SESSION_POLICY_CHARACTERS

log = logging.getLogger(__name__)
PATH = "/scalablehub/"
_POLICY = "decided"


class Versity:
    """Users of VersityGW's IAM that live as long as one set of keys."""

    limit = SESSION_POLICY_CHARACTERS

    def __init__(self, endpoint: str, region: str = "us-east-1", keys: tuple[str, str] | None = None) -> None:
        self._client = Client("iam", region, endpoint, keys)

    async def start(self) -> None:
        """Connect."""
        await self._client.start()

    async def issue(self, wanted: Wanted) -> Keys:
        """Make a user with the policy, and a key of it; raises StoreError."""
        iam = self._client.calls
        name = f"{wanted.expires}.{secrets.token_hex(6)}.{wanted.session}"[:64]
        try:
            await iam.create_user(UserName=name, Path=PATH)
            # Before there is a key: never a moment in which one is without its policy.
            await iam.put_user_policy(UserName=name, PolicyName=_POLICY, PolicyDocument=wanted.policy)
            key = (await iam.create_access_key(UserName=name))["AccessKey"]
        except FAILURES as error:
            log.warning("VersityGW made no user: %s", code_of(error))
            # What is left of it has its end in its name; the sweep finds it.
            raise StoreError from None
        return Keys(key["AccessKeyId"], key["SecretAccessKey"], "", wanted.expires, name)

    async def end(self, keys: Keys) -> bool:
        """Delete the keys' user."""
        try:
            await self._delete(keys.handle)
        except FAILURES as error:
            log.warning("VersityGW did not delete a user: %s", code_of(error))
            raise StoreError from None
        return True

    async def sweep(self, now: float) -> int:
        """Delete the users whose end has passed."""
        ended = 0
        try:
            pages = self._client.calls.get_paginator("list_users").paginate(PathPrefix=PATH)
            names = [user["UserName"] async for page in pages for user in page["Users"]]
            for name in names:
                expires = name.partition(".")[0]
                if expires.isdecimal() and int(expires) <= now:
                    await self._delete(name)
                    ended += 1
        except FAILURES as error:
            log.warning("VersityGW could not be swept: %s", code_of(error))
            raise StoreError from None
        return ended

    async def _delete(self, name: str) -> None:
        iam = self._client.calls
        try:
            keys = (await iam.list_access_keys(UserName=name))["AccessKeyMetadata"]
            for key in keys:
                await iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
            for policy in (await iam.list_user_policies(UserName=name))["PolicyNames"]:
                await iam.delete_user_policy(UserName=name, PolicyName=policy)
            await iam.delete_user(UserName=name)
        except ClientError as error:
            if code_of(error) != "NoSuchEntity":
                raise

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()
