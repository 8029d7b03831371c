"""A bucket as one user has it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BucketAccess:
    """A bucket that a user may open: where it is, how it is read, and with which static key, if any.

    Attributes:
        name: name of the bucket in the description.
        variable: environment variable that gets `url`, if any.
        url: the user's own, such as ``s3://scratch/alice``.
        endpoint: address of an S3-compatible store; None is the cloud's own.
        region: region of the bucket; None leaves it to the client.
        writable: whether the user may write there; the store enforces it, no variable depends on it.
        access_key: public half of the key; None leaves identity to the machine or pod.
        secret_key: secret half of the key; never shown.
        requester_pays: whether clients have to say that their user pays.
        account: Azure's storage account that it is in; None leaves it to the client.
        anonymous: whether it is read without keys, and may be in another store than the others.
    """

    name: str
    variable: str | None
    url: str
    endpoint: str | None
    region: str | None
    writable: bool
    access_key: str | None
    secret_key: str | None = field(repr=False)
    requester_pays: bool = False
    account: str | None = None
    anonymous: bool = False
