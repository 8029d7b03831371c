"""What the drop-ins call: each function adds one part of scalablehub to a hub's configuration ``c``.

They only append and merge, by name where the thing has one, and leave what an admin configured as it is;
loaded twice they change nothing more. They work in zero-to-jupyterhub's loader and in plain JupyterHub.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue
from traitlets.utils.importstring import import_item

from scalablehub.configured import values_of
from scalablehub.description import (
    Credentials,
    Description,
    DescriptionError,
    Problem,
    check_complete,
    load_description,
    resolve,
)
from scalablehub.description.models import Dask
from scalablehub.errors import PublicError, shown
from scalablehub.spawner.fitting import too_much_data, unfit_for_pods
from scalablehub.spawner.loopback import require_loopback

SERVICE = "dask-gateway"
ACCESS_SCOPE = f"access:services!service={SERVICE}"
DASK_ROLE = "scalablehub-dask"
DESCRIPTION_ROLE = "scalablehub-description"
CREDENTIALS = "credentials"
CREDENTIALS_ROLE = "scalablehub-credentials"
LOCAL_SPAWNER = "scalablehub.spawner.local.ScalableLocalSpawner"
KUBE_SPAWNER = "scalablehub.spawner.kubernetes.ScalableKubeSpawner"
PAGES = Path(__file__).parent / "spawner" / "pages"
"""JupyterHub's pages about starting a server, in our words."""
_LOCAL_SPAWNER_ENTRY_POINT = "scalablehub-local"
# What the clouds' SDKs find the credential service's own account by, and its own settings.
_CLOUD_VARIABLES = ("AWS_", "GOOGLE_APPLICATION_CREDENTIALS", "HOME", "SCALABLEHUB_KEY_SECONDS")
_OPENER_POLICY = "Cross-Origin-Opener-Policy"
_STOCK_KUBE_SPAWNERS = ("kubespawner.KubeSpawner", "kubespawner.spawner.KubeSpawner")


def read_description(c: Config) -> Description:
    """Return the description in ``c.ScalableHub``; one that is not enabled is not looked at.

    Raises:
        DescriptionError: it cannot be used; the error names each place.
    """
    written = values_of(c.ScalableHub)
    if written.get("enabled") is False:
        return Description(enabled=False)
    return load_description(written)


def _refused_in_words(configure: Callable[[Config], None]) -> Callable[[Config], None]:
    """Let a hub that cannot be configured end with the sentence that says why, instead of a traceback."""

    @functools.wraps(configure)
    def configuring(c: Config) -> None:
        try:
            configure(c)
        except PublicError as error:
            raise SystemExit(f"scalablehub: {error.message}") from error

    return configuring


@_refused_in_words
def configure_authenticator(c: Config) -> None:
    """Have the identity provider's groups become the hub's, if the description has a table for them.

    Raises:
        SystemExit: the hub's authenticator brings no groups, they would be lost at once, or the hub keeps
            groups of its own.
    """
    description = read_description(c)
    if not description.enabled or description.groups is None:
        return
    from scalablehub.signing_in import provider_class  # noqa: PLC0415 (oauthenticator may not be installed)

    hub = values_of(c.JupyterHub)
    authenticator = provider_class(hub.get("authenticator_class"))
    if hub.get("load_groups"):
        raise PublicError(
            "groups-twice",
            "JupyterHub.load_groups cannot be used where the identity provider has the groups. Remove it, or "
            "remove ScalableHub.groups.",
            500,
        )
    if not os.environ.get("JUPYTERHUB_CRYPT_KEY") and not values_of(c.CryptKeeper).get("keys"):
        raise PublicError(
            "no-crypt-key",
            "ScalableHub.groups needs a key to keep what the identity provider says: set the environment "
            "variable JUPYTERHUB_CRYPT_KEY to what `openssl rand -hex 32` prints.",
            500,
        )
    c.JupyterHub.authenticator_class = authenticator
    c.GroupsFromProvider.grouping = description.groups
    settings = {"manage_groups": True, "enable_auth_state": True, "refresh_pre_spawn": True}
    if authenticator.class_traits().get("auth_refresh_strict") is not None:  # new in JupyterHub 6
        # A start over REST does not keep groups that the provider has taken back either.
        settings["auth_refresh_strict"] = True
    _fill_unset(c.Authenticator, settings)


@_refused_in_words
def configure_spawner(c: Config) -> None:
    """Make servers follow the description.

    Raises:
        SystemExit: nobody could start a server with the description, or the hub has a spawner of its own that
            ours cannot replace. The sentences are its code, the error with its places its cause.
    """
    description = read_description(c)
    if not description.enabled:
        return
    if not c.ScalableHub:
        raise DescriptionError(
            [
                Problem(
                    "ScalableHub",
                    "is empty here; write the description first. What `load_subconfig` loads does not see "
                    "it: call `scalablehub.hub.configure(c)`",
                )
            ]
        )
    spawner = _our_spawner(c)
    problems = [*check_complete(description), *too_much_data(description)]
    if LOCAL_SPAWNER in _ancestry(spawner):
        _keep_to_loopback(c)
    else:
        problems += unfit_for_pods(description)
        _require_registry_credentials(c)
    if problems:
        raise DescriptionError(Problem(f"ScalableHub.{where}", sentence) for where, sentence in problems)
    c.JupyterHub.spawner_class = spawner
    c.ChoosingSpawner.description = resolve(description)
    _add_pages(c)
    _add_choice_pages(c)
    if description.own_image is not None and LOCAL_SPAWNER in _ancestry(spawner):
        _add_keys(c.ChoosingSpawner, "lacks", {"own_image": "Container images need a hub in Kubernetes."})
    _append(c.Spawner, "server_token_scopes", ["users:activity!user", "access:servers!server"])
    if description.dask is not None:
        _append(c.Spawner, "server_token_scopes", [ACCESS_SCOPE])
        if LOCAL_SPAWNER not in _ancestry(spawner):
            _lead_to_clusters(c, description.dask)


@_refused_in_words
def configure_dask_gateway(c: Config) -> None:
    """Add the dask-gateway service, and the right to use it for those whom the description allows.

    A service of that name with a ``url`` but no ``command`` is one that the admin runs elsewhere.

    Raises:
        SystemExit: the description has Dask but does not say where dask-gateway's server is.
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
    # It is the hub's own: a page that asks whether to trust it would only puzzle people.
    service: dict[str, Any] = {"name": SERVICE, "oauth_no_confirm": True}
    present = _named(c.JupyterHub, "services", SERVICE)
    if present is None or "url" not in present or "command" in present:
        service |= {
            "url": dask.service_url,
            "command": [sys.executable, "-m", "scalablehub.services.dask_gateway"],
            "environment": {"SCALABLEHUB_GATEWAY_URL": dask.gateway_url},
        }
    _merge_named(c.JupyterHub, "services", service)
    _grant(c, dask)
    _serve_description(c)
    _let_gateway_read(c)
    _keep_pages_from_openers(c)


@_refused_in_words
def configure_credentials(c: Config) -> None:
    """Add the credential service, which gives each user short-lived keys for their buckets.

    On one machine the hub runs it, with the hub's own variables for its cloud; in Kubernetes it runs beside
    the hub, with an account of its own.

    Raises:
        SystemExit: the service has no token of the hub, servers have no folder for theirs, or a static key is
            not given.
    """
    from scalablehub import handlers  # noqa: PLC0415 (a hub has it loaded)

    description = read_description(c)
    credentials = description.credentials
    if not description.enabled or credentials is None:
        return
    present = _named(c.JupyterHub, "services", CREDENTIALS) or {}
    if not (token := present.get("api_token")):
        raise PublicError(
            "credentials-token",
            f"The service {CREDENTIALS!r} has no token of the hub. Set hub.services.{CREDENTIALS}.apiToken "
            "in the chart's values, or 'api_token' of that service in JupyterHub.services, to what "
            "`openssl rand -hex 32` prints.",
            500,
        )
    service: dict[str, Any] = {"name": CREDENTIALS, "display": False}
    if LOCAL_SPAWNER in _ancestry(_our_spawner(c)):
        service |= {
            "url": credentials.service_url,
            "command": [sys.executable, "-m", "scalablehub.services.credentials"],
            "environment": _of_cloud(os.environ) | _static_key(c, credentials),
        }
        if not values_of(c.ScalableLocalSpawner).get("tokens"):
            raise PublicError(
                "tokens-folder",
                "ScalableLocalSpawner.tokens is not set: write the folder for the tokens with which servers "
                "ask for keys, which nobody but the hub can read.",
                500,
            )
        _fill_unset(c.ScalableLocalSpawner, {"credentials_token": token})
    _merge_named(c.JupyterHub, "services", service)
    _serve_description(c)
    role = {
        "name": CREDENTIALS_ROLE,
        "description": "May read the hub's description, users' groups, and which servers run",
        "scopes": ["read:users:name", "read:users:groups", "read:servers", handlers.SCOPE],
        "services": [CREDENTIALS],
    }
    _merge_named(c.JupyterHub, "load_roles", role)


DROP_INS: tuple[Callable[[Config], None], ...] = (
    configure_authenticator,
    configure_spawner,
    configure_dask_gateway,
    configure_credentials,
)
"""What ``jupyterhub_config.d`` calls, in its order: for hubs that do not read that folder."""


def configure(c: Config) -> None:
    """Add everything, as the drop-ins do one by one."""
    for drop_in in DROP_INS:
        drop_in(c)


def _our_spawner(c: Config) -> Any:
    configured = values_of(c.JupyterHub).get("spawner_class")
    if configured is None:
        return LOCAL_SPAWNER
    name = configured if isinstance(configured, str) else f"{configured.__module__}.{configured.__qualname__}"
    if name in _STOCK_KUBE_SPAWNERS:
        return KUBE_SPAWNER
    if {LOCAL_SPAWNER, KUBE_SPAWNER} & _ancestry(configured):
        return configured
    raise PublicError(
        "spawner-foreign",
        f"JupyterHub.spawner_class is {shown(name)}, which scalablehub cannot replace. Make it a subclass of "
        f"{KUBE_SPAWNER}, or set ScalableHub.enabled to False.",
        500,
    )


def _require_registry_credentials(c: Config) -> None:
    """Refuse a file of credentials that cannot be read: no start and no page could say so later."""
    if path := values_of(c.ScalableKubeSpawner).get("registry_credentials"):
        from scalablehub.registry import read_docker_config  # noqa: PLC0415 (needs aiohttp)

        read_docker_config(Path(path))


def _lead_to_clusters(c: Config, dask: Dask) -> None:
    """Tell servers in Kubernetes where the dask-gateway service and the schedulers are."""
    hub = values_of(c.JupyterHub)
    base = "/" + str(hub.get("base_url") or urlsplit(str(hub.get("bind_url", ""))).path).strip("/")
    service = f"{base.rstrip('/')}/services/{SERVICE}"
    _fill(
        c.ChoosingSpawner,
        {
            "gateway_address": dask.address or f"http://proxy-public{service}",
            "gateway_scheduler_address": dask.scheduler_address or "",
            "gateway_public_address": _public_origin(hub) + service,
        },
    )


def _public_origin(hub: Mapping[str, Any]) -> str:
    """Return where browsers find the hub, as far as it is said and its services are there too; else ""."""
    public_url = str(hub.get("public_url") or "")
    if not public_url or hub.get("subdomain_host"):
        return ""
    split = urlsplit(public_url if "://" in public_url else f"https://{public_url}")
    return f"{split.scheme}://{split.netloc}"


def _ancestry(spawner: object) -> set[str]:
    """Return the full names of a spawner class and of its bases; the bare name if it is not installed."""
    if spawner == _LOCAL_SPAWNER_ENTRY_POINT:
        return {LOCAL_SPAWNER}
    if isinstance(spawner, str):
        try:
            spawner = import_item(spawner)
        except ImportError:
            return {str(spawner)}
    return {f"{base.__module__}.{base.__qualname__}" for base in getattr(spawner, "__mro__", ())}


def _keep_to_loopback(c: Config) -> None:
    """Refuse a hub that others can reach while its servers have no isolation from each other."""
    hub = values_of(c.JupyterHub)
    if "bind_url" not in hub and "ip" not in hub:
        c.JupyterHub.ip = "127.0.0.1"
    addresses = {"JupyterHub.bind_url": urlsplit(hub["bind_url"]).hostname} if "bind_url" in hub else {}
    for section in ("JupyterHub", "Spawner", "LocalProcessSpawner", "ScalableLocalSpawner"):
        if "ip" in (written := values_of(c.get(section, {}))):
            addresses[f"{section}.ip"] = written["ip"]
    for place, address in addresses.items():
        require_loopback(place, address)


def _grant(c: Config, dask: Dask) -> None:
    """Give the access scope to the groups that may have clusters; a role `user` is everybody's."""
    if dask.allowed_groups is not None:
        role = {
            "name": DASK_ROLE,
            "description": "May have Dask clusters",
            "scopes": [ACCESS_SCOPE],
            "groups": list(dask.allowed_groups),
        }
        _merge_named(c.JupyterHub, "load_roles", role)
        return
    everybody = _named(c.JupyterHub, "load_roles", "user")
    if everybody is None:
        # A role that is defined anew loses what it had: 'self' is JupyterHub's own.
        _append(c.JupyterHub, "load_roles", [{"name": "user", "scopes": ["self", ACCESS_SCOPE]}])
    elif ACCESS_SCOPE not in (scopes := everybody.get("scopes", [])):
        everybody["scopes"] = [*scopes, ACCESS_SCOPE]


def _of_cloud(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a cloud's SDK reads; JupyterHub gives its services little else than the PATH."""
    return {name: value for name, value in environ.items() if name.startswith(_CLOUD_VARIABLES)}


def _static_key(c: Config, credentials: Credentials) -> dict[str, str]:
    """Return the variables with the one key that the backend 'static' hands out."""
    if credentials.s3 is None or credentials.s3.backend != "static":
        return {}
    keys = {
        endpoint: key
        for section in ("ChoosingSpawner", "ScalableLocalSpawner")
        for endpoint, key in values_of(c.get(section, {})).get("bucket_keys", {}).items()
    }
    key = keys.get(credentials.s3.endpoint or "")
    if key is None:
        raise PublicError(
            "static-key",
            "ScalableHub.credentials.s3.backend is 'static', and there is no key to hand out: write that of "
            "its endpoint into ChoosingSpawner.bucket_keys.",
            500,
        )
    return {
        "SCALABLEHUB_STATIC_ACCESS_KEY": key["access_key"],
        "SCALABLEHUB_STATIC_SECRET_KEY": key["secret_key"],
    }


def _serve_description(c: Config) -> None:
    """Have the hub serve what its services decide with, to tokens with our scopes."""
    from scalablehub import handlers  # noqa: PLC0415 (a hub has it loaded)

    ours = [
        (handlers.PATH, handlers.DescriptionHandler),
        (handlers.OWNERS_PATH, handlers.OwnersHandler),
    ]
    _append(c.JupyterHub, "extra_handlers", ours)
    scopes = {
        handlers.SCOPE: {"description": "Read what the hub's admin described."},
        handlers.OWNERS_SCOPE: {"description": "Read who the owners of clusters are, and what they run."},
    }
    _add_keys(c.JupyterHub, "custom_scopes", scopes)


def _let_gateway_read(c: Config) -> None:
    """Let dask-gateway's server, which has its service's token, read the description and who owners are."""
    from scalablehub import handlers  # noqa: PLC0415 (a hub has it loaded)

    role = {
        "name": DESCRIPTION_ROLE,
        "description": "May read the hub's description, and who the owners of clusters are",
        "scopes": [handlers.SCOPE, handlers.OWNERS_SCOPE],
        "services": [SERVICE],
    }
    _merge_named(c.JupyterHub, "load_roles", role)


def _keep_pages_from_openers(c: Config) -> None:
    """Keep a page of somebody's own code, such as a dashboard, from reading a hub's page that it opens.

    All have one origin, unless the hub gives them domains of their own. JupyterHub refuses frames and
    requests; a window is cut off from its opener by the header.
    """
    settings = values_of(c.JupyterHub).get("tornado_settings") or {}
    headers = dict(settings.get("headers") or {})
    if _OPENER_POLICY.lower() not in map(str.lower, headers):
        changed = {"headers": headers | {_OPENER_POLICY: "same-origin"}}
        if isinstance(c.JupyterHub.get("tornado_settings"), dict):
            c.JupyterHub.tornado_settings = settings | changed
        else:
            c.JupyterHub.tornado_settings.update(changed)


def _add_choice_pages(c: Config) -> None:
    """Let admins see what somebody may choose."""
    from scalablehub import seeing  # noqa: PLC0415 (a hub has JupyterHub loaded)

    _append(c.JupyterHub, "extra_handlers", [(seeing.PATH, seeing.SeeAsHandler)])


def _add_pages(c: Config) -> None:
    """Put our pages before JupyterHub's own, and behind those of the admin."""
    paths = c.JupyterHub.get("template_paths")
    if str(PAGES) in _items(c.JupyterHub, "template_paths"):
        return
    if isinstance(paths, list):
        c.JupyterHub.template_paths = [*paths, str(PAGES)]
    else:
        c.JupyterHub.template_paths.prepend([str(PAGES)])


def _items(section: Config, key: str) -> list[Any]:
    value = section.get(key)
    if isinstance(value, LazyConfigValue):
        changes = value.to_dict()
        inserted = [item for _, item in changes.get("inserts", ())]
        return [*changes.get("prepend", ()), *inserted, *changes.get("extend", ())]
    return list(value or [])


def _named(section: Config, key: str, name: str) -> dict[str, Any] | None:
    return next((item for item in _items(section, key) if item.get("name") == name), None)


def _merge_named(section: Config, key: str, item: dict[str, Any]) -> None:
    """Add the item to a list of named things; where the name is there already, only fill its gaps."""
    present = _named(section, key, item["name"])
    if present is None:
        _append(section, key, [item])
    else:
        _fill(present, item)


def _add_keys(section: Config, key: str, items: dict[str, Any]) -> None:
    """Add the keys that a dict does not have yet."""
    value = section.get(key)
    if isinstance(value, dict):
        section[key] = items | value
        return
    present = value.to_dict().get("update", {}) if isinstance(value, LazyConfigValue) else {}
    section[key].update({name: item for name, item in items.items() if name not in present})


def _fill(present: dict[str, Any], gaps: Mapping[str, Any]) -> None:
    for name, value in gaps.items():
        if isinstance(value, dict) and isinstance(present.get(name), dict):
            _fill(present[name], value)
        else:
            present.setdefault(name, value)


def _fill_unset(section: Config, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in values_of(section):
            section[name] = value


def _append(section: Config, key: str, items: list[Any]) -> None:
    """Add the items that a list does not have yet; a callable is the admin's own and stays."""
    value = section.get(key)
    if callable(value):
        return
    missing = [item for item in items if item not in _items(section, key)]
    if value is None or isinstance(value, LazyConfigValue):
        section[key].extend(missing)
    else:
        section[key] = [*value, *missing]
