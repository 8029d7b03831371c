"""The one place that says which environment variables make a user's buckets work.

Servers, schedulers and workers all get what `bucket_environment` returns, so what opens in a notebook opens
on a worker. With it, `xarray.open_zarr("s3://…")`, s3fs, obstore and botocore need no other configuration.
The variables are those that botocore (`AWS_ENDPOINT_URL`, checksums: SDK guide "Service-specific endpoints"
and "Data integrity protections"), the Rust object_store crate (`AWS_ALLOW_HTTP`), GDAL (`AWS_S3_ENDPOINT`:
"Network based file systems", /vsis3/) and fsspec (`FSSPEC_…`: "Configuration") document, and for Azure adlfs
and obstore (`AZURE_STORAGE_ACCOUNT_NAME`).
"""

from __future__ import annotations

from collections.abc import Iterable

from scalablehub.errors import PublicError, shown
from scalablehub.storage.buckets import BucketAccess
from scalablehub.storage.remotes import remotes

# S3-compatible stores want some region in the signature; this is the one that they expect.
_COMPATIBLE_REGION = "us-east-1"
# Libraries of the Pangeo world look for the scratch bucket under the second name.
_SCRATCH, _ALSO_SCRATCH = "SCRATCH_BUCKET", "PANGEO_SCRATCH"


# What all S3 buckets of one environment have to share, and how an error calls it.
_SHARED = {"endpoint": "endpoint", "region": "region", "access_key": "key", "secret_key": "key"}


def bucket_environment(
    buckets: Iterable[BucketAccess], username: str, hub_region: str | None = None
) -> dict[str, str]:
    """Return the environment variables with which the user's processes reach these buckets.

    Of Amazon's buckets in several regions the hub's is the one that clients are told; botocore is led on to
    another by Amazon itself, and other clients have to be told.

    Args:
        buckets: that the user may open.
        username: for what is said of a refusal.
        hub_region: where the hub is, as far as it is said.

    Raises PublicError, status 500, when one environment cannot express them: clients read one endpoint and
    one key from it, so buckets that differ in these need separate servers; a variable can have one value; a
    key has two halves. What is read without keys may be anywhere, beside others.
    """
    buckets = tuple(buckets)
    in_s3 = [bucket for bucket in buckets if bucket.url.startswith("s3://")]
    in_store = [bucket for bucket in in_s3 if not bucket.anonymous] or in_s3
    region = _region_of_clients(in_store, hub_region)
    return (
        _locations(buckets, username)
        | _azure_account(buckets, username)
        | _store(in_store, region, username)
        | remotes(buckets, region)
    )


def _region_of_clients(in_store: list[BucketAccess], hub_region: str | None) -> str | None:
    regions = [bucket.region for bucket in in_store if bucket.region]
    told = hub_region if hub_region in regions else next(iter(regions), None)
    if told is None and in_store and in_store[0].endpoint:
        return _COMPATIBLE_REGION
    return told


def _store(in_store: list[BucketAccess], region: str | None, username: str) -> dict[str, str]:
    if not in_store:
        return {}
    first = in_store[0]
    for other in in_store[1:]:
        if not other.anonymous:
            _require_same_store(first, other, username)
    environment: dict[str, str] = {}
    if (first.access_key is None) != (first.secret_key is None):
        raise PublicError(
            "bucket-key-incomplete",
            f"The key of bucket {shown(first.name)} is incomplete; give both the access key and the secret.",
            500,
        )
    if first.access_key is not None and first.secret_key is not None:
        environment |= {"AWS_ACCESS_KEY_ID": first.access_key, "AWS_SECRET_ACCESS_KEY": first.secret_key}
    if region is not None:
        # botocore reads the second, the other SDKs and object_store the first.
        environment |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if first.endpoint is not None:
        environment |= _compatible_store(first.endpoint)
    if any(bucket.requester_pays for bucket in in_store):
        # For s3fs, obstore and GDAL; buckets that nobody pays for take no notice.
        environment |= {"FSSPEC_S3_REQUESTER_PAYS": "true", "AWS_REQUEST_PAYER": "requester"}
    return environment


def _locations(buckets: tuple[BucketAccess, ...], username: str) -> dict[str, str]:
    found: dict[str, BucketAccess] = {}
    for bucket in buckets:
        if bucket.variable is None:
            continue
        if bucket.variable in found:
            raise PublicError(
                "bucket-variable-taken",
                f"For {shown(username)}, buckets {shown(found[bucket.variable].name)} and "
                f"{shown(bucket.name)} both set {shown(bucket.variable)}; give each a variable of its own.",
                500,
            )
        found[bucket.variable] = bucket
    locations = {variable: bucket.url for variable, bucket in found.items()}
    if _SCRATCH in locations:
        locations.setdefault(_ALSO_SCRATCH, locations[_SCRATCH])
    return locations


def _require_same_store(first: BucketAccess, other: BucketAccess, username: str) -> None:
    differing = {word for field, word in _SHARED.items() if getattr(first, field) != getattr(other, field)}
    if first.endpoint is other.endpoint is None:
        differing -= {"region"}
    if differing:
        raise PublicError(
            "bucket-stores-differ",
            f"For {shown(username)}, buckets {shown(first.name)} and {shown(other.name)} differ in "
            f"{' and '.join(sorted(differing))}. This version gives a user all their S3 buckets at one "
            "endpoint, in one region and with one key: S3 clients read only one of each from the "
            "environment. Move the buckets to one store, allow one of them to another group, or write "
            "'anonymous: true' for one that anybody may read.",
            500,
        )


def _azure_account(buckets: tuple[BucketAccess, ...], username: str) -> dict[str, str]:
    named = [bucket for bucket in buckets if bucket.account is not None and not bucket.anonymous]
    if not named:
        return {}
    first = named[0]
    for other in named[1:]:
        if other.account != first.account:
            raise PublicError(
                "bucket-stores-differ",
                f"For {shown(username)}, buckets {shown(first.name)} and {shown(other.name)} are in two "
                "storage accounts, and Azure's clients read one from the environment. Leave out 'account' "
                "of one of them, or allow it to another group.",
                500,
            )
    # adlfs and obstore read the first, GDAL and Azure's own command the second.
    return dict.fromkeys(("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"), str(first.account))


def _compatible_store(endpoint: str) -> dict[str, str]:
    scheme, _, place = endpoint.partition("://")
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        # Wins over AWS_ENDPOINT_URL in every client, so that an image's own setting cannot redirect us.
        "AWS_ENDPOINT_URL_S3": endpoint,
        # Stores that are not Amazon's repeat an upload's checksum on reads of a part, which botocore's
        # default then takes for damage (seen with rclone 1.75: FlexibleChecksumError).
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        # GDAL takes an endpoint in parts, and a bucket's name for a host's unless it is told.
        "AWS_S3_ENDPOINT": place.rstrip("/"),
        "AWS_HTTPS": "NO" if scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
    if scheme == "http":
        environment["AWS_ALLOW_HTTP"] = "true"
    return environment
