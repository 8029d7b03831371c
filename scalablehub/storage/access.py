"""From a decision to the buckets that a user's clients open, with the keys for them."""

from __future__ import annotations

from collections.abc import Mapping

from scalablehub.decisions import Decision
from scalablehub.storage.environment import BucketAccess


def bucket_access(decision: Decision, keys: Mapping[str, Mapping[str, str]]) -> list[BucketAccess]:
    """Return what the user may open.

    Args:
        decision: what the user may have.
        keys: static keys by endpoint, each with ``access_key`` and ``secret_key``.
    """
    return [
        BucketAccess(
            name=bucket.name,
            variable=bucket.variable,
            url=bucket.url,
            endpoint=bucket.endpoint,
            region=bucket.region,
            writable=bucket.writable,
            access_key=keys.get(bucket.endpoint or "", {}).get("access_key"),
            secret_key=keys.get(bucket.endpoint or "", {}).get("secret_key"),
        )
        for bucket in decision.buckets
        if bucket.is_open
    ]
