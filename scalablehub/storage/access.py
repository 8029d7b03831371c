"""From a decision to what a user's processes need to open their buckets, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scalablehub.decisions import Decision
from scalablehub.description import Credentials, Description, GoogleCredentials, S3Credentials
from scalablehub.storage.buckets import BucketAccess
from scalablehub.storage.credentials import (
    CONFLICTING,
    GOOGLE_CONFLICTING,
    credential_environment,
    google_environment,
)
from scalablehub.storage.environment import bucket_environment
from scalablehub.storage.places import is_google, is_in_s3

Keys = Mapping[str, Mapping[str, str]]
"""Static keys by endpoint, each with ``access_key`` and ``secret_key``."""


@dataclass(frozen=True)
class Asking:
    """Where processes ask for keys.

    Attributes:
        url: of the credential service or of a forwarder, on loopback.
        token_file: file with the token to ask with; it has no line break at its end.
        metadata_host: host, port and path at which Google's clients ask, without a scheme.
    """

    url: str
    token_file: Path
    metadata_host: str


def asking_here(service_url: str, token_file: Path) -> Asking:
    """Return where processes ask that are on the machine of the service.

    Google's clients send no token, so theirs is in the address; it is read from the file, if that is there.

    Args:
        service_url: of the service, with its prefix and without a slash at its end.
        token_file: as in `Asking`.
    """
    try:
        token = token_file.read_text()
    except OSError:
        token = ""
    return Asking(service_url, token_file, f"{service_url.partition('://')[2]}/gce/{token}")


def data_environment(
    description: Description, decision: Decision, keys: Keys, asking: Asking | None
) -> dict[str, str]:
    """Return the variables with which a user's processes open their buckets.

    It is the one place that makes them, for servers, schedulers and workers.

    Args:
        description: of the hub.
        decision: what the user may have.
        keys: static keys, for the stores whose keys the credential service does not make.
        asking: where the processes ask for keys; None leaves out what belongs to that.

    Raises:
        PublicError: as `bucket_environment`.
    """
    credentials = description.credentials
    if credentials is not None and credentials.s3 is not None:
        keys = {endpoint: key for endpoint, key in keys.items() if endpoint != credentials.s3.endpoint}
    environment = bucket_environment(bucket_access(decision, keys), decision.user.name, description.region)
    if asking is not None:
        environment |= asking_environment(credentials, decision, asking)
    return environment


def asking_environment(credentials: Credentials | None, decision: Decision, asking: Asking) -> dict[str, str]:
    """Return the variables with which processes ask for keys, of each kind that their user has buckets of.

    Args:
        credentials: of the hub's description.
        decision: what the user may have.
        asking: where the processes ask.
    """
    environment: dict[str, str] = {}
    s3, google = _asked_for(credentials, decision)
    if s3 is not None:
        environment |= credential_environment(asking.url, asking.token_file)
    # Who has no bucket there keeps what they have of Google's: these variables would take it away.
    if google is not None:
        environment |= google_environment(asking.metadata_host, google.project)
    return environment


def needs_keys(credentials: Credentials | None, decision: Decision) -> bool:
    """Tell whether the user may open a bucket whose keys the credential service makes.

    Args:
        credentials: of the hub's description.
        decision: what the user may have.
    """
    return any(kind is not None for kind in _asked_for(credentials, decision))


def without_conflicts(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an admin's variables without those that clients would prefer to keys that they ask for."""
    conflicting = {*CONFLICTING, *GOOGLE_CONFLICTING}
    return {name: value for name, value in environment.items() if name not in conflicting}


def bucket_access(decision: Decision, keys: Keys) -> list[BucketAccess]:
    """Return what the user may open.

    Args:
        decision: what the user may have.
        keys: static keys.
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
            requester_pays=bucket.requester_pays,
            account=bucket.account,
            anonymous=bucket.anonymous,
        )
        for bucket in decision.buckets
        if bucket.is_open
    ]


def _asked_for(
    credentials: Credentials | None, decision: Decision
) -> tuple[S3Credentials | None, GoogleCredentials | None]:
    """Return of the kinds of keys that the service makes those that the user has buckets for."""
    if credentials is None:
        return None, None
    s3, google = credentials.s3, credentials.google
    buckets = [bucket for bucket in decision.buckets if bucket.is_open]
    return (
        s3 if s3 is not None and any(is_in_s3(bucket, s3.endpoint) for bucket in buckets) else None,
        google if any(is_google(bucket) for bucket in buckets) else None,
    )
