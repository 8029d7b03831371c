"""Each bucket as a remote of rclone, by its name in the description: ``rclone ls scratch:``.

Source: rclone's documentation, "Environment variables" and "Connection strings".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scalablehub.storage.buckets import BucketAccess
from scalablehub.storage.places import stated_endpoint


def remotes(buckets: Iterable[BucketAccess], region: str | None) -> dict[str, str]:
    """Return the variables that make remotes of buckets in S3 and in accounts of Azure's.

    Args:
        buckets: that the user may open.
        region: of those in S3 that have none of their own.
    """
    environment: dict[str, str] = {}
    for bucket in buckets:
        if bucket.url.startswith("s3://"):
            environment |= _remote(bucket, "s3", _in_s3(bucket, region))
        elif bucket.account is not None:
            environment |= _remote(bucket, "azureblob", {"account": bucket.account} | _signing(bucket))
    return environment


def _in_s3(bucket: BucketAccess, region: str | None) -> dict[str, str]:
    options = {"provider": "Other" if bucket.endpoint else "AWS"} | _signing(bucket)
    stated = stated_endpoint(bucket.endpoint, bucket.region)
    if endpoint := stated if bucket.anonymous else bucket.endpoint:
        options["endpoint"] = endpoint
    # The region of the other buckets says nothing of a store elsewhere.
    if told := bucket.region or (None if bucket.anonymous else region):
        options["region"] = told
    if bucket.requester_pays:
        options["requester_pays"] = "true"
    return options


def _signing(bucket: BucketAccess) -> dict[str, str]:
    return {} if bucket.anonymous else {"env_auth": "true"}


def _remote(bucket: BucketAccess, kind: str, options: dict[str, str]) -> dict[str, str]:
    told = ",".join(f'{name}="{value}"' for name, value in options.items())
    name = re.sub(r"[^A-Z0-9]", "_", bucket.name.upper())
    return {
        f"RCLONE_CONFIG_{name}_TYPE": "alias",
        f"RCLONE_CONFIG_{name}_REMOTE": f":{kind},{told}:{bucket.url.partition('://')[2]}",
    }
