"""Pods as the old hub and ours would ask Kubernetes for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kubespawner import KubeSpawner
from tornado import web
from traitlets.config import Config

from scalablehub.decisions import Selection, User
from scalablehub.errors import PublicError
from scalablehub.hub import configure_spawner
from scalablehub.moving.profiles import Way
from scalablehub.moving.settings import base_of
from scalablehub.moving.values import OldHub, mapping
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.unstarted import make_pod, no_way_to_kubernetes

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
    with no_way_to_kubernetes():
        try:
            return asyncio.run(make_pod(spawner_class, c, user, options))
        except web.HTTPError as error:
            words = error.log_message or "The server is refused."
            raise PublicError("server-refused", words) from None
