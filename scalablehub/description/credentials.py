"""Where the keys for buckets come from, as an admin declares it: one store of S3's kind, Google, or both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from scalablehub.description.buckets import REGION, Bucket, endpoint_url
from scalablehub.description.section import Section
from scalablehub.description.units import Seconds

_ROLE = r"^arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]+$"
Address = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/.*)?$")]


class S3Credentials(Section):
    """Keys for ``s3://``, and who makes them."""

    backend: Literal["sts", "versity", "static"] = Field(
        description="'sts' is Amazon's, 'versity' a VersityGW on premises, 'static' one key for everybody, "
        "which isolates nobody."
    )
    endpoint: Annotated[str, AfterValidator(endpoint_url)] | None = Field(
        None,
        description="The store: the `endpoint` of the buckets that the keys open. Default: Amazon's own. "
        "Buckets elsewhere keep what they have.",
    )
    region: Annotated[str, StringConstraints(pattern=REGION)] = Field(
        "us-east-1", description="Region in which keys are asked for."
    )
    role: Annotated[str, StringConstraints(pattern=_ROLE)] | None = Field(
        None, description="ARN of the role that may open every bucket, for 'sts'."
    )
    iam_endpoint: Address | None = Field(
        None, description="VersityGW's IAM, for 'versity'; for 'sts' another address than Amazon's."
    )
    lists_buckets: bool | None = Field(
        None,
        description="Whether keys may list all names in a bucket, not only those below their own prefix. "
        "Amazon then says of an object that is not there just that, and not that access is denied, "
        "which Zarr with missing chunks needs; but people see the names of others' objects. Default: they "
        "may not, and `scalablehub check` asks you to try it.",
    )

    @model_validator(mode="after")
    def _has_what_its_backend_needs(self) -> S3Credentials:
        if self.backend == "sts" and self.role is None:
            raise ValueError("'sts' needs 'role', the ARN of the role that may open the buckets")
        if self.backend == "versity" and (self.iam_endpoint is None or self.endpoint is None):
            raise ValueError("'versity' needs 'endpoint', its S3, and 'iam_endpoint', its IAM")
        return self


class GoogleCredentials(Section):
    """Tokens for ``gs://``: those of the credential service's own account, narrowed for each user."""

    project: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")] = Field(
        description="The project that clients name, such as 'research-hub'."
    )
    endpoint: Address | None = Field(
        None,
        description="Where Google's STS is reached, such as through Private Service Connect. Default: its "
        "public address, https://sts.googleapis.com/v1/token.",
    )


class Credentials(Section):
    """Short-lived keys for each user's buckets, from the hub's credential service."""

    s3: S3Credentials | None = Field(None, description="Keys for buckets with 's3://'.")
    google: GoogleCredentials | None = Field(None, description="Tokens for buckets with 'gs://'.")
    grace: Seconds = Field(
        300,
        description="How long Dask clusters have keys when the server that they were started from has "
        "stopped, such as '5m'. The server itself has none then.",
    )
    service_url: Annotated[str, StringConstraints(pattern=r"^http://[^/]+:\d+$")] = Field(
        "http://127.0.0.1:10102", description="Where the service listens that the hub on one machine runs."
    )
    address: Address | None = Field(
        None,
        description="In Kubernetes: where the service is that runs beside the hub, such as "
        "'http://credentials.hub:8080'.",
    )
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        10102, description="In Kubernetes: port of loopback in every pod where its clients ask for keys."
    )

    @model_validator(mode="after")
    def _is_for_something(self) -> Credentials:
        if self.s3 is None and self.google is None:
            raise ValueError("write 's3', 'google', or both; leave 'credentials' out for a hub without")
        return self


def _has_prefix(bucket: Bucket) -> bool:
    return bucket.per_user or "/" in bucket.url.partition("://")[2]


def key_warnings(credentials: Credentials | None, buckets: Mapping[str, Bucket]) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for keys that open nothing, that isolate nobody, or that Zarr may not do with.

    Args:
        credentials: of the hub; None has no keys to warn of.
        buckets: by name.
    """
    if credentials is None:
        return
    opened = {name: bucket for name, bucket in buckets.items() if not bucket.anonymous}
    urls = {(bucket.url.partition("://")[0], bucket.endpoint) for bucket in opened.values()}
    if (keys := credentials.s3) is not None:
        if ("s3", keys.endpoint) not in urls:
            where = f"at {keys.endpoint}" if keys.endpoint else "of Amazon's own"
            yield (
                "credentials.s3.endpoint",
                f"has keys for no bucket: there is none {where}; write that of the buckets",
            )
        if keys.backend == "static":
            yield (
                "credentials.s3.backend",
                "is 'static': everybody gets the same key, and can read and write all of the store",
            )
        below = [
            name
            for name, bucket in opened.items()
            if bucket.url.startswith("s3://") and bucket.endpoint is None and _has_prefix(bucket)
        ]
        if keys.backend == "sts" and keys.endpoint is None and keys.lists_buckets is None and below:
            yield (
                "credentials.s3.lists_buckets",
                f"is not written, and people have a prefix of {', '.join(below)}. Of an object that is "
                "missing there Amazon may say that access is denied, and Zarr then opens nothing. Try 'aws "
                "s3api head-object' of a key that is not there; write true if it says 403, and false if 404",
            )
    if credentials.google is not None and ("gs", None) not in urls:
        yield "credentials.google", "has tokens for no bucket: there is none with 'gs://'"
