"""What the drop-ins call: each function adds one part of scalablehub to a hub's configuration ``c``.

They only append and merge, by name where the thing has one, and leave what an admin configured as it is;
loaded twice they change nothing more. They work in zero-to-jupyterhub's loader and in plain JupyterHub.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from traitlets import Bool, Dict
from traitlets.config import Config, Configurable
from traitlets.config.loader import LazyConfigValue

from scalablehub.description import Description, DescriptionError, Problem, load_description
from scalablehub.description.models import Dask
from scalablehub.errors import PublicError, shown

SERVICE = "dask-gateway"
ACCESS_SCOPE = f"access:services!service={SERVICE}"
DASK_ROLE = "scalablehub-dask"
LOCAL_SPAWNER = "scalablehub.spawner.local.ScalableLocalSpawner"
KUBE_SPAWNER = "scalablehub.spawner.kubernetes.ScalableKubeSpawner"
_STOCK_KUBE_SPAWNERS = ("kubespawner.KubeSpawner", "kubespawner.spawner.KubeSpawner")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ScalableHub(Configurable):
    """The hub's description: what an admin writes, one trait per section."""

    enabled = Bool(True, help="Whether scalablehub does anything. False leaves the hub as it was.").tag(
        config=True
    )
    nodes = Dict(help="Node pools by name: what servers and workers run on.").tag(config=True)
    sizes = Dict(help="Sizes of servers and Dask workers by name.").tag(config=True)
    images = Dict(help="Environments by name.").tag(config=True)
    interfaces = Dict(help="Interfaces by name: where a user lands.").tag(config=True)
    buckets = Dict(help="Shared data by name.").tag(config=True)
    dask = Dict(None, allow_none=True, help="Dask clusters through the hub; leave it out for none.").tag(
        config=True
    )


def read_description(c: Config) -> Description:
    """Return the description in ``c.ScalableHub``.

    Raises:
        DescriptionError: it cannot be used; the error names each place.
    """
    known = ScalableHub.class_trait_names(config=True)
    unknown = [key for key in c.ScalableHub if key not in known]
    if unknown:
        raise DescriptionError(
            Problem(f"ScalableHub.{key}", f"unknown key; known here: {', '.join(known)}") for key in unknown
        )
    hub = ScalableHub(config=Config({"ScalableHub": c.ScalableHub}))
    return load_description({name: getattr(hub, name) for name in known})


def configure_spawner(c: Config) -> None:
    """Make servers follow the description.

    Raises:
        PublicError: the hub has a spawner of its own that ours cannot replace.
    """
    description = read_description(c)
    if not description.enabled:
        return
    c.JupyterHub.spawner_class = _our_spawner(c)
    c.ChoosingSpawner.description = description
    _append(c.Spawner, "server_token_scopes", ["users:activity!user", "access:servers!server"])
    if description.dask is not None:
        _append(c.Spawner, "server_token_scopes", [ACCESS_SCOPE])


def configure_dask_gateway(c: Config) -> None:
    """Add the dask-gateway service, and the right to use it for those whom the description allows.

    Raises:
        DescriptionError: the description has Dask but does not say where dask-gateway's server is.
    """
    description = read_description(c)
    dask = description.dask
    if not description.enabled or dask is None:
        return
    if dask.gateway_url is None:
        raise DescriptionError(
            [
                Problem(
                    "ScalableHub.dask.gateway_url",
                    "is missing; write where dask-gateway's server is, such as 'http://api-dask-gateway:8000'",
                )
            ]
        )
    service = {
        "name": SERVICE,
        "url": dask.service_url,
        "command": [sys.executable, "-m", "scalablehub.services.dask_gateway"],
        "environment": {"SCALABLEHUB_GATEWAY_URL": dask.gateway_url},
        # It is the hub's own: a page that asks whether to trust it would only puzzle people.
        "oauth_no_confirm": True,
    }
    _merge_named(c.JupyterHub, "services", service)
    _grant(c, dask)


DROP_INS: tuple[Callable[[Config], None], ...] = (configure_spawner, configure_dask_gateway)
"""What ``jupyterhub_config.d`` calls, in its order: for hubs that do not read that folder."""


def configure(c: Config) -> None:
    """Add everything, as the drop-ins do one by one."""
    for drop_in in DROP_INS:
        drop_in(c)


def _our_spawner(c: Config) -> Any:
    configured = c.JupyterHub.get("spawner_class")
    if configured is None or isinstance(configured, LazyConfigValue):
        _refuse_beyond_loopback(c)
        return LOCAL_SPAWNER
    name = configured if isinstance(configured, str) else f"{configured.__module__}.{configured.__name__}"
    if name in _STOCK_KUBE_SPAWNERS:
        return KUBE_SPAWNER
    if name in (LOCAL_SPAWNER, KUBE_SPAWNER, "scalablehub-local") or _is_ours(configured):
        return configured
    raise PublicError(
        "spawner-foreign",
        f"JupyterHub.spawner_class is {shown(name)}, which scalablehub cannot replace. Make it a subclass of "
        f"{KUBE_SPAWNER}, or set ScalableHub.enabled to False.",
        500,
    )


def _is_ours(configured: object) -> bool:
    return isinstance(configured, type) and any(
        base.__name__ == "ChoosingSpawner" for base in configured.__mro__
    )


def _refuse_beyond_loopback(c: Config) -> None:
    """Refuse a hub that others can reach while its servers have no isolation from each other."""
    hosts = {
        "JupyterHub.bind_url": urlsplit(c.JupyterHub.get("bind_url") or "http://127.0.0.1").hostname,
        "JupyterHub.ip": c.JupyterHub.get("ip") or "127.0.0.1",
    }
    if not c.JupyterHub.get("bind_url") and not c.JupyterHub.get("ip"):
        c.JupyterHub.ip = "127.0.0.1"
    for place, host in hosts.items():
        if host not in _LOOPBACK:
            raise PublicError(
                "beyond-loopback",
                f"{place} is {shown(host)}, which others can reach, but servers that are processes of this "
                f"machine are not isolated from each other. Listen on 127.0.0.1, or set "
                f"JupyterHub.spawner_class to {KUBE_SPAWNER}.",
                500,
            )


def _grant(c: Config, dask: Dask) -> None:
    """Give the access scope to the groups that may have clusters; a role `user` is everybody's."""
    if dask.allowed_groups is None:
        role = _named(c.JupyterHub, "load_roles", "user") or {"scopes": ["self"]}
        scopes = [
            *role.get("scopes", []),
            *([] if ACCESS_SCOPE in role.get("scopes", []) else [ACCESS_SCOPE]),
        ]
        _merge_named(c.JupyterHub, "load_roles", {**role, "name": "user", "scopes": scopes}, replace=True)
    else:
        role = {
            "name": DASK_ROLE,
            "description": "May have Dask clusters",
            "scopes": [ACCESS_SCOPE],
            "groups": list(dask.allowed_groups),
        }
        _merge_named(c.JupyterHub, "load_roles", role)


def _items(section: Config, key: str) -> list[Any]:
    value = section.get(key)
    if isinstance(value, LazyConfigValue):
        return [*(value._prepend or []), *(value._extend or [])]
    return list(value or [])


def _named(section: Config, key: str, name: str) -> dict[str, Any] | None:
    for item in _items(section, key):
        if isinstance(item, Mapping) and item.get("name") == name:
            return item  # type: ignore[return-value]
    return None


def _merge_named(section: Config, key: str, item: dict[str, Any], *, replace: bool = False) -> None:
    """Add the item to a list of named things; where the name is there already, only fill its gaps."""
    present = _named(section, key, item["name"])
    if present is None:
        _append(section, key, [item])
    else:
        for name, value in item.items():
            if replace:
                present[name] = value
            else:
                present.setdefault(name, value)


def _append(section: Config, key: str, items: list[Any]) -> None:
    """Add the items that a list does not have yet; a callable is the admin's own and stays."""
    value = section.get(key)
    if callable(value) and not isinstance(value, LazyConfigValue):
        return
    missing = [item for item in items if item not in _items(section, key)]
    if value is None or isinstance(value, LazyConfigValue):
        section[key].extend(missing)
    else:
        section[key] = [*value, *missing]
