"""Where a bucket is, in the words that policies are made of, and whose it is."""

from __future__ import annotations

import re

from scalablehub.decisions import BucketChoice
from scalablehub.errors import PublicError, shown

# A bucket, then parts of a prefix as the description and `User.slug` write them.
_SAFE = re.compile(r"[a-z0-9]+://([a-z0-9][a-z0-9._-]*)((?:/[A-Za-z0-9_=@+.~%-]+)*)")


def is_in_s3(bucket: BucketChoice, endpoint: str | None) -> bool:
    """Tell whether a bucket is in the S3 store at an endpoint; None is Amazon's own."""
    return bucket.endpoint == endpoint and bucket.url.startswith("s3://")


def is_google(bucket: BucketChoice) -> bool:
    """Tell whether a bucket is Google's."""
    return bucket.url.startswith("gs://")


def stated_endpoint(endpoint: str | None, region: str | None) -> str:
    """Return where a store of S3's kind is, for a client that must not take the environment's.

    Args:
        endpoint: as buckets have it; None is Amazon's own.
        region: of Amazon's, as far as it is said.
    """
    return endpoint or f"https://s3{f'.{region}' if region else ''}.amazonaws.com"


def place_of(bucket: BucketChoice, written_into: str) -> tuple[str, str]:
    """Return a bucket's own name, and the prefix with a slash at its end, or nothing for the whole bucket.

    Args:
        bucket: one of a store.
        written_into: what the two are for, such as "a policy".

    Raises:
        PublicError: its URL could be read there as something else, status 500.
    """
    found = _SAFE.fullmatch(bucket.url)
    if found is None or {".", ".."} & set(found[2].split("/")):
        raise PublicError(
            "bucket-url-unsafe",
            f"The URL of bucket {shown(bucket.name)}, {shown(bucket.url)}, cannot be written into "
            f"{written_into} exactly; use letters, digits and '_=@+.~%-' between single '/'.",
            500,
        )
    prefix = found[2].removeprefix("/")
    return found[1], f"{prefix}/" if prefix else ""


def nothing_to_open() -> PublicError:
    """Return the refusal for a user with no bucket of a store: a policy that grants nothing is none."""
    return PublicError("no-bucket", "You have no bucket here that needs credentials.", 403)
