"""From the description to the desks that are asked for its buckets' keys."""

from __future__ import annotations

from scalablehub.decisions import BucketChoice, Decision
from scalablehub.description import GoogleCredentials, S3Credentials
from scalablehub.services.credentials.backends import Backend
from scalablehub.services.credentials.desk import Desk
from scalablehub.services.credentials.vending import Limits
from scalablehub.services.running import SettingsError
from scalablehub.storage.boundary import boundary_text
from scalablehub.storage.places import is_google, is_in_s3
from scalablehub.storage.policy import policy_text


def s3_desk(
    backend: Backend, endpoint: str | None, limits: Limits | None = None, *, lists_buckets: bool = False
) -> Desk:
    """Return the desk for the S3 buckets at an endpoint; None is Amazon's own.

    Args:
        backend: where keys come from.
        endpoint: as buckets have it.
        limits: times.
        lists_buckets: as `policy_of`.
    """

    def policy(decision: Decision, limit: int) -> str:
        return policy_text(decision, endpoint, limit, lists_buckets=lists_buckets)

    def covers(bucket: BucketChoice) -> bool:
        return is_in_s3(bucket, endpoint)

    return Desk(backend, policy, covers, limits)


def google_desk(backend: Backend, limits: Limits | None = None) -> Desk:
    """Return the desk for Google's buckets."""
    return Desk(backend, boundary_text, is_google, limits)


def google_backend(tokens: GoogleCredentials) -> Backend:
    """Return the backend; raises SettingsError when what it needs is not installed."""
    try:
        from scalablehub.services.credentials.backends.google import STS, Google  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "google-auth is not installed; run: pip install 'scalablehub[credentials]'"
        ) from None
    return Google(endpoint=tokens.endpoint or STS)


def s3_backend(keys: S3Credentials, static_keys: tuple[str, str] = ("", "")) -> Backend:
    """Return the backend; raises SettingsError when what it needs is not installed or not there."""
    if keys.backend == "static":
        from scalablehub.services.credentials.backends.static import Static  # noqa: PLC0415

        for name, value in zip(("ACCESS", "SECRET"), static_keys, strict=True):
            if not value:
                raise SettingsError(
                    f"SCALABLEHUB_STATIC_{name}_KEY is not set: the static backend hands this key out."
                )
        return Static(*static_keys)
    try:
        # Only these need Amazon's SDK.
        from scalablehub.services.credentials.backends.sts import Sts  # noqa: PLC0415
        from scalablehub.services.credentials.backends.versity import Versity  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "aiobotocore is not installed; run: pip install 'scalablehub[credentials]'"
        ) from None
    if keys.backend == "sts":
        return Sts(keys.role or "", keys.region, keys.iam_endpoint)
    return Versity(keys.iam_endpoint or "", keys.region)
