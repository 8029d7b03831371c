"""What the service is told by its environment, checked once, at start."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scalablehub.services.running import SettingsError, is_loopback

ANY = "0.0.0.0"  # noqa: S104 - the hub's pod, whose network policy says who may come in


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds and sizes in bytes that bound what a caller or an upstream can cost us."""

    freshness_seconds: float = 5.0
    hub_timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 4.0
    headers_timeout_seconds: float = 30.0
    body_timeout_seconds: float = 30.0
    recheck_seconds: float = 25.0
    ping_seconds: float = 20.0
    idle_seconds: float = 60.0
    cache_entries: int = 10_000
    api_body_bytes: int = 1024 * 1024
    message_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """One service's place: where it listens, which hub it asks and which dask-gateway it fronts.

    `prefix` and `hub_prefix` begin and end with a slash; `api_url` and `gateway_url` end without one.
    """

    host: str
    port: int
    prefix: str
    service_name: str
    api_url: str
    api_token: str = field(repr=False)
    client_id: str
    gateway_url: str
    hub_prefix: str = "/hub/"
    hub_host: str = ""
    callback_url: str = ""
    access_scopes: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raise SettingsError with the name of the variable that is wrong."""

    def needed(name: str, why: str) -> str:
        value = environ.get(name, "")
        if not value:
            raise SettingsError(f"{name} is not set: {why}.")
        return value

    by_hub = "JupyterHub sets it when it starts this as a managed service"
    bind = urlsplit(needed("JUPYTERHUB_SERVICE_URL", by_hub))
    try:
        port = bind.port
    except ValueError:
        port = None
    if bind.scheme != "http" or not bind.hostname or port is None:
        raise SettingsError(
            "JUPYTERHUB_SERVICE_URL must look like http://127.0.0.1:10101: set the service's url."
        )
    if environ.get("SCALABLEHUB_LOOPBACK_ONLY") == "1" and not is_loopback(bind.hostname):
        raise SettingsError(
            "JUPYTERHUB_SERVICE_URL is not on loopback, and SCALABLEHUB_LOOPBACK_ONLY=1 forbids others."
        )
    gateway_url = needed(
        "SCALABLEHUB_GATEWAY_URL", "give the address of dask-gateway, such as http://127.0.0.1:9001"
    ).rstrip("/")
    upstream = urlsplit(gateway_url)
    if (
        upstream.scheme not in ("http", "https")
        or not upstream.hostname
        or upstream.query
        or upstream.fragment
    ):
        raise SettingsError("SCALABLEHUB_GATEWAY_URL must look like http://127.0.0.1:9001.")
    name = needed("JUPYTERHUB_SERVICE_NAME", by_hub)
    prefix = "/" + needed("JUPYTERHUB_SERVICE_PREFIX", by_hub).strip("/") + "/"
    base = "/" + environ.get("JUPYTERHUB_BASE_URL", "/").strip("/")
    try:
        scopes = json.loads(environ.get("JUPYTERHUB_OAUTH_ACCESS_SCOPES") or "[]")
    except ValueError:
        raise SettingsError("JUPYTERHUB_OAUTH_ACCESS_SCOPES is not JSON.") from None
    return Settings(
        # A name is that of a Service in front of this pod, whose address is not its own.
        host=bind.hostname if is_loopback(bind.hostname) or _is_address(bind.hostname) else ANY,
        port=port,
        prefix=prefix,
        service_name=name,
        api_url=needed("JUPYTERHUB_API_URL", by_hub).rstrip("/"),
        api_token=needed("JUPYTERHUB_API_TOKEN", by_hub),
        client_id=needed("JUPYTERHUB_CLIENT_ID", by_hub),
        gateway_url=gateway_url,
        hub_prefix=f"{base.rstrip('/')}/hub/",
        hub_host=environ.get("JUPYTERHUB_HOST", ""),
        callback_url=environ.get("JUPYTERHUB_OAUTH_CALLBACK_URL", "") or f"{prefix}oauth_callback",
        access_scopes=frozenset(scopes) or frozenset({f"access:services!service={name}"}),
    )
