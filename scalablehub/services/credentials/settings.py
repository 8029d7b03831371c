"""What the service is told by its environment, checked once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scalablehub.services.credentials.backends import Backend
from scalablehub.services.running import SettingsError, is_loopback

BACKENDS = ("static", "sts", "versity")


@dataclass(frozen=True)
class Settings:
    """One service's place and store.

    Attributes:
        host: an address of loopback.
        prefix: of all addresses; begins and ends with a slash.
        api_url: of the hub, without a slash at its end.
        api_token: the service's own; needs `read:users:name`, `read:users:groups` and `read:servers`.
        backend: one of `BACKENDS`.
        endpoint: the store whose buckets are meant; None is Amazon's own.
        region: of the store.
        role: ARN of the role that STS is to give.
        iam_endpoint: of VersityGW's IAM, or another than Amazon's STS.
        static_keys: access key and secret for `static`.
        grace_seconds: how long Dask workers go on when their server has stopped.
    """

    host: str
    port: int
    prefix: str
    api_url: str
    api_token: str = field(repr=False)
    backend: str
    endpoint: str | None
    region: str
    role: str = ""
    iam_endpoint: str | None = None
    static_keys: tuple[str, str] = field(default=("", ""), repr=False)
    grace_seconds: float = 300


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raise SettingsError with the name of the variable that is wrong."""

    def needed(name: str, why: str) -> str:
        if not (value := environ.get(name, "")):
            raise SettingsError(f"{name} is not set: {why}.")
        return value

    by_hub = "JupyterHub sets it when it starts this as a managed service"
    bind = urlsplit(needed("JUPYTERHUB_SERVICE_URL", by_hub))
    try:
        port = bind.port
    except ValueError:
        port = None
    if bind.scheme != "http" or not bind.hostname or port is None or not is_loopback(bind.hostname):
        raise SettingsError("JUPYTERHUB_SERVICE_URL must be on loopback, such as http://127.0.0.1:10102.")
    backend = needed("SCALABLEHUB_CREDENTIALS_BACKEND", f"write one of {', '.join(BACKENDS)}")
    if backend not in BACKENDS:
        raise SettingsError(f"SCALABLEHUB_CREDENTIALS_BACKEND must be one of {', '.join(BACKENDS)}.")
    role, iam, keys = "", environ.get("SCALABLEHUB_CREDENTIALS_IAM_ENDPOINT") or None, ("", "")
    if backend == "sts":
        role = needed("SCALABLEHUB_CREDENTIALS_ROLE", "give the ARN of the role that may open the buckets")
    if backend == "versity":
        iam = needed("SCALABLEHUB_CREDENTIALS_IAM_ENDPOINT", "give the address of VersityGW's IAM service")
    if backend == "static":
        why = "the static backend hands this key out"
        keys = (needed("SCALABLEHUB_STATIC_ACCESS_KEY", why), needed("SCALABLEHUB_STATIC_SECRET_KEY", why))
    try:
        grace = float(environ.get("SCALABLEHUB_CREDENTIALS_GRACE_SECONDS") or 300)
    except ValueError:
        grace = -1
    if not 0 <= grace <= 24 * 3600:
        raise SettingsError("SCALABLEHUB_CREDENTIALS_GRACE_SECONDS must be seconds, from 0 to 86400.")
    return Settings(
        host=bind.hostname,
        port=port,
        prefix="/" + f"{environ.get('JUPYTERHUB_SERVICE_PREFIX', '/').strip('/')}/".lstrip("/"),
        api_url=needed("JUPYTERHUB_API_URL", by_hub).rstrip("/"),
        api_token=needed("JUPYTERHUB_API_TOKEN", by_hub),
        backend=backend,
        endpoint=(environ.get("SCALABLEHUB_CREDENTIALS_ENDPOINT") or "").rstrip("/") or None,
        region=environ.get("SCALABLEHUB_CREDENTIALS_REGION") or "us-east-1",
        role=role,
        iam_endpoint=iam,
        static_keys=keys,
        grace_seconds=grace,
    )


def new_backend(settings: Settings) -> Backend:
    """Return the backend; raises SettingsError when what it needs is not installed."""
    if settings.backend == "static":
        from scalablehub.services.credentials.backends.static import Static  # noqa: PLC0415

        return Static(*settings.static_keys)
    try:
        # Only these need Amazon's SDK.
        from scalablehub.services.credentials.backends.sts import Sts  # noqa: PLC0415
        from scalablehub.services.credentials.backends.versity import Versity  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "aiobotocore is not installed; run: pip install 'scalablehub[credentials]'"
        ) from None
    if settings.backend == "sts":
        return Sts(settings.role, settings.region, settings.iam_endpoint)
    return Versity(settings.iam_endpoint or "", settings.region)
