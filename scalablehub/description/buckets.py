"""Shared data as an admin declares it: where it is, for whom, and who may write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from scalablehub.description.datasets import Dataset, DatasetName
from scalablehub.description.entry import THIS_MACHINE, Entry, Groups
from scalablehub.errors import shown

REGION = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"
"""How a region is written: ``eu-west-1`` (Amazon), ``europe-west1`` (Google), ``westeurope`` (Azure)."""

_SCHEMES = ("s3", "gs", "az")
# Amazon's and Google's rules for names of buckets, and Azure's for containers, taken together. A dot would
# make two labels of it in a host name; Amazon and Google allow that.
_BUCKET = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
# Of what keys may hold, that which no client, policy or shell reads as anything else.
_PREFIX = re.compile(r"[A-Za-z0-9_=@+.-]+")


# What clients, Python, the hub and the system read themselves.
_TAKEN = re.compile(
    r"(AWS|AZURE|GCE|GCSFS|GOOGLE|FSSPEC|RCLONE|DASK|JUPYTER[A-Z]*|PYTHON[A-Z]*|LD|HUB_CATALOG)(_.*)?"
    r"|PATH|HOME|SHELL|USER|TMPDIR|LANG|TERM"
)


def _variable(value: str) -> str:
    if _TAKEN.fullmatch(value):
        raise ValueError(f"{shown(value)} configures something else; choose a name such as 'CLIMATE_BUCKET'")
    return value


def _bucket_url(value: str) -> str:
    url = value.rstrip("/")
    scheme, _, rest = url.partition("://")
    name, *prefix = rest.split("/")
    if scheme not in _SCHEMES or not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{shown(value)} is not a bucket; write 's3://name' or 's3://name/prefix', or gs:// or az://"
        )
    if not all(_PREFIX.fullmatch(part) and part not in {".", ".."} for part in prefix):
        raise ValueError(
            f"{shown(value)} has a prefix that stores and policies could read in two ways; use letters, "
            "digits and '_=@+.-' between single '/'"
        )
    return url


def endpoint_url(value: str) -> str:
    """Return an endpoint without a slash at its end; raise ValueError if it is none."""
    parts = urlsplit(value)
    if value != THIS_MACHINE and (parts.scheme not in {"http", "https"} or not parts.netloc):
        raise ValueError(f"{shown(value)} is not an endpoint; write 'https://host' or {THIS_MACHINE!r}")
    return value.rstrip("/")


class Bucket(Entry):
    """Shared data: a bucket or a prefix of one, for everybody, for groups, or a prefix for each user.

    Who may read is `allowed_groups`; who may also write is `access`, or `write_groups`.
    """

    url: Annotated[str, AfterValidator(_bucket_url)] = Field(
        description="Such as 's3://scratch', 's3://data/climate', 'gs://data' or 'az://container'."
    )
    endpoint: Annotated[str, AfterValidator(endpoint_url)] | None = Field(
        None,
        description="Address of an S3-compatible store; "
        "'this-machine' is the one that `scalablehub up` runs.",
    )
    region: Annotated[str, StringConstraints(pattern=REGION)] | None = Field(
        None,
        description="Region of the bucket. Clients are told one, the hub's if a bucket has it; in another of "
        "Amazon's, boto3, s3fs and rclone find a bucket by themselves, and obstore and GDAL have to be told.",
    )
    account: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")] | None = Field(
        None, description="Storage account of a container of Azure's, such as 'icedata'."
    )
    access: Literal["read", "write"] = Field(
        "read", description="What everybody who has it may do; 'write' includes reading."
    )
    write_groups: Groups = Field(
        None,
        description="Groups who may write where the others only read. They have to be among "
        "`allowed_groups`, if there are any.",
    )
    per_user: bool = Field(False, description="Whether each user has a prefix of their own, by user name.")
    anonymous: bool = Field(
        False,
        description="Whether the store lets anybody read without keys, such as open data of Amazon's. It may "
        "be another store than that of the other buckets, which all of a user's share.",
    )
    requester_pays: bool = Field(
        False, description="Whether the one who reads pays; clients then have to say that they agree."
    )
    expire_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        None,
        description="After how many days the store deletes what is in it. People are told; the rule itself "
        "has to be set at the store (a lifecycle rule): the hub deletes nothing.",
    )
    variable: (
        Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$"), AfterValidator(_variable)] | None
    ) = Field(
        None, description="Environment variable with its URL on servers and workers, such as SCRATCH_BUCKET."
    )

    datasets: dict[DatasetName, Dataset] = Field(
        default_factory=dict, description="What is in it, by the names of the hub's catalogue."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Bucket:
        if self.endpoint is not None and not self.url.startswith("s3://"):
            raise ValueError("an endpoint is that of an S3-compatible store; write the url with 's3://'")
        if self.account is not None and not self.url.startswith("az://"):
            raise ValueError("a storage account is Azure's; write the url with 'az://'")
        if self.anonymous and (self.access == "write" or self.write_groups or self.per_user):
            raise ValueError("who has no key can only read; leave out 'anonymous', or what lets people write")
        if self.anonymous and self.requester_pays:
            raise ValueError("who pays has to say who they are; leave out 'anonymous' or 'requester_pays'")
        if self.per_user and self.datasets:
            raise ValueError("each user has a prefix of their own here, so 'datasets' would be nobody's")
        if self.write_groups is not None and self.access == "write":
            raise ValueError("everybody may write already; leave 'write_groups' out or write 'access: read'")
        if self.write_groups and self.allowed_groups is not None:
            strangers = sorted(set(self.write_groups) - set(self.allowed_groups))
            if strangers:
                raise ValueError(
                    f"group {shown(strangers[0])} may write but not read; add it to 'allowed_groups'"
                )
        return self


def egress_warnings(region: str | None, buckets: Mapping[str, Bucket]) -> Iterator[tuple[str, str]]:
    """Yield (place, sentence) for each bucket of a cloud that is in another region than the hub.

    Args:
        region: the hub's; None is unknown, and then nothing can be said.
        buckets: by name. A store with an endpoint of its own has no cloud's region.
    """
    for name, bucket in buckets.items():
        if region and bucket.region and bucket.endpoint is None and bucket.region != region:
            yield (
                f"buckets.{name}.region",
                f"is {bucket.region} and the hub is in {region}: reading across regions is slower, and each "
                "byte costs; use a copy in the hub's region",
            )
