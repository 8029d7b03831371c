"""The description on its way from the hub to others: canonical bytes, and the hash that they go by.

What has its default is left out, so that a reader that is a little older does not stumble over a section
that nobody uses yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from scalablehub.description.loading import DescriptionError, Problem, load_description
from scalablehub.description.models import Description
from scalablehub.description.resolving import resolve


@dataclass(frozen=True)
class SharedDescription:
    """A description as bytes.

    Attributes:
        body: canonical JSON: the same bytes for the same meaning, whatever the order it was written in.
        hash: SHA-256 of the bytes, in hexadecimal.
    """

    body: bytes
    hash: str


def share(description: Description) -> SharedDescription:
    """Return the description as bytes with their hash; it holds no secret, so neither do they."""
    raw = description.model_dump(mode="json", exclude_defaults=True)
    body = json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return SharedDescription(body, hash_of(body))


def hash_of(body: bytes) -> str:
    """Return what the bytes go by."""
    return sha256(body).hexdigest()


def read_shared(body: bytes) -> Description:
    """Return the description in the bytes, validated with the same models and resolved.

    Raises:
        DescriptionError: the bytes are no description that this version of scalablehub can use.
    """
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise DescriptionError([Problem("ScalableHub", "is not a JSON object")])
    return resolve(load_description(raw))
