"""Pods as the old hub and ours would ask Kubernetes for them, made by the real spawners; no cluster is asked.

The one stand-in is JupyterHub around them: a user, and the hub's address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from jupyterhub import orm
from jupyterhub.objects import Hub
from kubespawner import KubeSpawner
from kubespawner import spawner as kubespawner_module
from tornado import web
from traitlets import TraitError
from traitlets.config import Config

from scalablehub.decisions import Selection, User
from scalablehub.errors import PublicError, shown
from scalablehub.hub import configure_spawner
from scalablehub.moving.profiles import Way
from scalablehub.moving.settings import base_of
from scalablehub.moving.values import OldHub, mapping
from scalablehub.spawner.kubernetes import ScalableKubeSpawner

_FROM_CHART = {
    "allowPrivilegeEscalation": "allow_privilege_escalation",
    "cmd": "cmd",
    "extraAnnotations": "extra_annotations",
    "extraEnv": "environment",
    "extraLabels": "extra_labels",
    "extraPodConfig": "extra_pod_config",
    "extraTolerations": "tolerations",
    "fsGid": "fs_gid",
    "nodeSelector": "node_selector",
    "serviceAccountName": "service_account",
    "uid": "uid",
}
"""Of what the chart hands to KubeSpawner, that which a profile or a description can come over."""

Manifest = dict[str, Any]


def old_pod(hub: OldHub, way: Way, user: User) -> Manifest:
    """Return the pod that stock KubeSpawner makes for one way to start a server.

    Raises:
        PublicError: KubeSpawner refuses the values.
    """
    c = _config(hub)
    # As KubeSpawner puts them over each other; they are looked up already, with those of their groups.
    c.KubeSpawner.profile_list = [
        {
            "display_name": "way",
            "slug": "way",
            "kubespawner_override": {},
            "profile_options": {
                str(number): {"choices": {"this": {"kubespawner_override": dict(layer.override)}}}
                for number, layer in enumerate(way.layers)
            },
        }
    ]
    return _made(KubeSpawner, c, user, {"profile": "way"})


def new_pod(hub: OldHub, description: Mapping[str, Any], selection: Selection, user: User) -> Manifest:
    """Return the pod that our spawner makes for a selection, with the same values of the chart.

    Args:
        hub: the old hub, whose values stay.
        description: as an admin wrote it.
        selection: of the user.
        user: whose pod it is.

    Raises:
        PublicError: the hub would not start with the description, or the server would be refused.
    """
    c = _config(hub)
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    # No registry is asked here either.
    c.ScalableHub.update({**description, "registries": {"check": False, "pin": False}})
    try:
        configure_spawner(c)
    except SystemExit as refusal:
        raise PublicError("hub-refuses", str(refusal).removeprefix("scalablehub: ")) from None
    options = {
        "size": selection.size.name,
        "image": selection.image.name,
        "interface": selection.interface.name,
    }
    return _made(ScalableKubeSpawner, c, user, options)


def _config(hub: OldHub) -> Config:
    c = Config()
    for name, value in base_of(hub).override.items():
        if value not in (None, {}):
            c.KubeSpawner[name] = value
    singleuser = mapping(hub.at("singleuser"))
    for name, option in _FROM_CHART.items():
        if singleuser.get(name) not in (None, {}, []):
            c.KubeSpawner[option] = singleuser[name]
    for section in ("Spawner", "KubeSpawner"):
        for option, value in mapping(hub.at("hub", "config", section)).items():
            if option != "profile_list":
                c[section][option] = value
    return c


def _made(spawner_class: Any, c: Config, user: User, options: Mapping[str, Any]) -> Manifest:
    with _quiet():
        try:
            return asyncio.run(_make(spawner_class, c, user, options))
        except web.HTTPError as error:
            words = error.log_message or "The server is refused."
            raise PublicError("server-refused", words) from None
        except (TraitError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise PublicError(
                "values-refused",
                f"KubeSpawner cannot make a pod of these values: {shown(str(error), 200)}.",
            ) from None


async def _make(spawner_class: Any, c: Config, user: User, options: Mapping[str, Any]) -> Manifest:
    owner = SimpleNamespace(
        id=1,
        name=user.name,
        escaped_name=quote(user.name),
        admin=user.admin,
        groups=[SimpleNamespace(name=group) for group in user.groups],
        url=f"/user/{quote(user.name)}/",
        base_url=f"/user/{quote(user.name)}/",
        server=None,
    )
    spawner = spawner_class(
        _mock=True,
        config=c,
        user=owner,
        hub=Hub(ip="127.0.0.1", port=8081, base_url="/hub/"),
        orm_spawner=orm.Spawner(name="", user_options=dict(options)),
        db=SimpleNamespace(commit=lambda: None),
        user_options=dict(options),
        api_token="-",  # noqa: S106 (no server ever gets it)
    )
    await spawner.load_user_options()
    pod = await spawner.get_pod_manifest()
    sent: Manifest = spawner.api.api_client.sanitize_for_serialization(pod)
    return sent


@contextmanager
def _quiet() -> Iterator[None]:
    """Make spawners that neither look for a Kubernetes cluster nor log to the terminal."""
    load_config, level = kubespawner_module.load_config, logging.root.manager.disable
    kubespawner_module.load_config = lambda **_: None
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        kubespawner_module.load_config = load_config
        logging.disable(level)
