"""What dask-gateway's chart calls: two lines of ``gateway.extraConfig`` make its server follow the hub.

::

    from scalablehub.dask.gateway import configure
    configure(c)
"""

from __future__ import annotations

from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue
from traitlets.utils.importstring import import_item

from scalablehub.dask.commands import Part, command_in_image
from scalablehub.errors import PublicError, shown

BACKEND = "scalablehub.dask.kubernetes.ScalableKubeBackend"
AUTHENTICATOR = "scalablehub.dask.authenticator.ScalableHubAuthenticator"
_STOCK_BACKENDS = (
    "dask_gateway_server.backends.kubernetes.KubeBackend",
    "dask_gateway_server.backends.kubernetes.backend.KubeBackend",
)
_STOCK_AUTHENTICATORS = ("dask_gateway_server.auth.JupyterHubAuthenticator",)


def configure(c: Config) -> None:
    """Have dask-gateway's server decide with the hub's description; what the chart set before stays.

    Called twice it changes nothing more.

    Raises:
        PublicError: the server has a backend or an authenticator of its own that ours cannot replace.
    """
    _replace(
        c, "backend_class", _STOCK_BACKENDS, BACKEND, "Use it in Kubernetes, as dask-gateway's chart does"
    )
    _replace(
        c,
        "authenticator_class",
        _STOCK_AUTHENTICATORS,
        AUTHENTICATOR,
        "Set gateway.auth.type to 'jupyterhub' in the chart's values",
    )
    # dask-gateway's own defaults are commands that Dask has no longer.
    parts: tuple[Part, ...] = ("scheduler", "worker")
    for part in parts:
        if not any(_is_set(c, section, f"{part}_cmd") for section in ("ClusterConfig", "KubeClusterConfig")):
            c.KubeClusterConfig[f"{part}_cmd"] = command_in_image(part)


def _replace(c: Config, trait: str, stock: tuple[str, ...], ours: str, remedy: str) -> None:
    configured = c.DaskGateway.get(trait) if _is_set(c, "DaskGateway", trait) else None
    ancestry = _ancestry(configured)
    if ours in ancestry:
        return
    if ancestry[:1] and ancestry[0] in stock:
        c.DaskGateway[trait] = ours
        return
    name = shown(ancestry[0]) if ancestry else "not set"
    raise PublicError(
        "gateway-foreign",
        f"DaskGateway.{trait} is {name}, which scalablehub cannot replace. {remedy}, or make it a subclass "
        f"of {ours}.",
        500,
    )


def _ancestry(configured: Any) -> list[str]:
    """Return the full names of a class and of its bases, itself first; only the name if it is not there."""
    if configured is None:
        return []
    if isinstance(configured, str):
        if configured in (*_STOCK_BACKENDS, *_STOCK_AUTHENTICATORS, BACKEND, AUTHENTICATOR):
            return [configured]
        try:
            configured = import_item(configured)
        except ImportError:
            return [configured]
    return [f"{base.__module__}.{base.__qualname__}" for base in getattr(configured, "__mro__", ())]


def _is_set(c: Config, section: str, key: str) -> bool:
    """Return whether somebody set it; traitlets makes a lazy value of every key that is only looked at."""
    value = c.get(section, {}).get(key)
    return value is not None and not isinstance(value, LazyConfigValue)
