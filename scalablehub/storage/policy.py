"""From a decision to one policy document in Amazon's language: what stores enforce is what was decided.

* Objects are granted below a prefix that ends in ``/``; ``team-a/`` is no part of ``team-ab/``.
* Names below a prefix are listed only with ``s3:prefix`` below it. Neither ``alice`` nor nothing is below
  ``alice/``: both would also tell who else is there.
* Nothing that the language reads as a wildcard or a variable comes from a name or a URL.
* What is not granted is denied; there is nothing but grants.

Source: "IAM JSON policy elements" and "Actions, resources, and condition keys for Amazon S3" in Amazon's
documentation.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from scalablehub.decisions import Decision
from scalablehub.errors import PublicError, shown
from scalablehub.storage.places import is_in_s3, nothing_to_open, place_of

SESSION_POLICY_CHARACTERS = 2048
"""The most that STS takes as an inline session policy, and VersityGW as the policy of one user."""

READ = ("s3:GetObject",)
WRITE = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:PutObject")
LIST = ("s3:ListBucket",)

_Grants = defaultdict[tuple[str, ...], set[str]]


def policy_of(
    decision: Decision, endpoint: str | None = None, *, lists_buckets: bool = False
) -> dict[str, Any]:
    """Return the policy with which a user reads and writes what they may of one store, and nothing else.

    Args:
        decision: what the user may have.
        endpoint: the store; None is Amazon's own. Buckets elsewhere are not in the policy.
        lists_buckets: whether all names in a bucket may be listed, others' too.

    Raises:
        PublicError: the user may have no bucket of this store (status 403, a policy without a statement is
            none), or the URL of one cannot stand in a policy (status 500).
    """
    objects: _Grants = defaultdict(set)
    listed: _Grants = defaultdict(set)
    writable: dict[str, bool] = defaultdict(bool)
    for bucket in decision.buckets:
        if bucket.is_open and is_in_s3(bucket, endpoint):
            name, prefix = place_of(bucket, "a policy")
            arn = f"arn:aws:s3:::{name}"
            writable[f"{arn}/{prefix}*"] |= bucket.writable
            # Buckets with one prefix share a statement; two prefixes never do, or each would open the other.
            listed[(f"{prefix}*",) if prefix and not lists_buckets else ()].add(arn)
    if not writable:
        raise nothing_to_open()
    for resource, may_write in writable.items():
        objects[(*READ, *WRITE) if may_write else READ].add(resource)
    statements: list[dict[str, Any]] = [
        _allow(actions, resources) for actions, resources in sorted(objects.items())
    ]
    for prefixes, resources in sorted(listed.items()):
        condition = {"Condition": {"StringLike": {"s3:prefix": list(prefixes)}}} if prefixes else {}
        statements.append(_allow(LIST, resources) | condition)
    return {"Version": "2012-10-17", "Statement": statements}


def policy_text(
    decision: Decision,
    endpoint: str | None = None,
    limit: int = SESSION_POLICY_CHARACTERS,
    *,
    lists_buckets: bool = False,
) -> str:
    """Return the policy as the shortest canonical JSON.

    Raises:
        PublicError: as `policy_of`; or it is longer than `limit`, status 500: a policy that does not
            fit is refused as a whole and never shortened, since what is shorter is wider or wrong.
    """
    text = json.dumps(
        policy_of(decision, endpoint, lists_buckets=lists_buckets), separators=(",", ":"), sort_keys=True
    )
    if len(text) > limit:
        count = sum(bucket.is_open and is_in_s3(bucket, endpoint) for bucket in decision.buckets)
        raise PublicError(
            "policy-too-large",
            f"The {count} buckets of {shown(decision.user.name)} need a policy of {len(text)} "
            f"characters, and the store takes {limit}. Put data that goes to the same people below one "
            "prefix, or give this person fewer buckets.",
            500,
        )
    return text


def _allow(actions: tuple[str, ...], resources: set[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": sorted(resources)}
