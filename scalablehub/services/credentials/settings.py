"""What the service is told by its environment, checked once, at start; the description says the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scalablehub.services.credentials.vending import Limits
from scalablehub.services.running import SettingsError, is_loopback


@dataclass(frozen=True)
class Namespaces:
    """Namespaces of Kubernetes: of servers, and of Dask clusters."""

    servers: str
    clusters: str


@dataclass(frozen=True)
class Settings:
    """One service's place.

    Attributes:
        host: an address of loopback; in Kubernetes any.
        prefix: of all addresses; begins and ends with a slash.
        api_url: of the hub, without a slash at its end.
        api_token: the service's own; needs `read:users:name`, `read:users:groups`, `read:servers` and the
            scope of the description.
        namespaces: None outside Kubernetes.
        static_keys: access key and secret for the backend `static`; empty if there are none.
        key_seconds: how long keys live. With less than 15 minutes left clients ask for each request.
    """

    host: str
    port: int
    prefix: str
    api_url: str
    api_token: str = field(repr=False)
    namespaces: Namespaces | None = None
    static_keys: tuple[str, str] = field(default=("", ""), repr=False)
    key_seconds: int = Limits.lifetime_seconds


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raise SettingsError with the name of the variable that is wrong."""

    def needed(name: str, why: str) -> str:
        if not (value := environ.get(name, "")):
            raise SettingsError(f"{name} is not set: {why}.")
        return value

    namespaces = None
    if servers := environ.get("SCALABLEHUB_SERVERS_NAMESPACE", ""):
        why = "write the namespace of Dask clusters, or that of servers where there are none"
        namespaces = Namespaces(servers, needed("SCALABLEHUB_CLUSTERS_NAMESPACE", why))
    by_hub = (
        "its manifest sets it"
        if namespaces
        else "JupyterHub sets it when it starts this as a managed service"
    )
    bind = urlsplit(needed("JUPYTERHUB_SERVICE_URL", by_hub))
    try:
        port = bind.port
    except ValueError:
        port = None
    if bind.scheme != "http" or not bind.hostname or port is None:
        raise SettingsError("JUPYTERHUB_SERVICE_URL must have a port, such as http://127.0.0.1:10102.")
    if namespaces is None and not is_loopback(bind.hostname):
        raise SettingsError(
            "JUPYTERHUB_SERVICE_URL must be on loopback, such as http://127.0.0.1:10102; in Kubernetes set "
            "SCALABLEHUB_SERVERS_NAMESPACE too."
        )
    try:
        key_seconds = int(environ.get("SCALABLEHUB_KEY_SECONDS") or Limits.lifetime_seconds)
    except ValueError:
        key_seconds = 0
    if not 6 <= key_seconds <= 43200:
        raise SettingsError("SCALABLEHUB_KEY_SECONDS must be whole seconds, from 6 to 43200; 3600 is usual.")
    access_key = environ.get("SCALABLEHUB_STATIC_ACCESS_KEY", "")
    secret_key = environ.get("SCALABLEHUB_STATIC_SECRET_KEY", "")
    return Settings(
        host=bind.hostname,
        port=port,
        prefix="/" + f"{environ.get('JUPYTERHUB_SERVICE_PREFIX', '/').strip('/')}/".lstrip("/"),
        api_url=needed("JUPYTERHUB_API_URL", by_hub).rstrip("/"),
        api_token=needed("JUPYTERHUB_API_TOKEN", by_hub),
        namespaces=namespaces,
        static_keys=(access_key, secret_key),
        key_seconds=key_seconds,
    )
