"""The pods that a hub would make, by the class that makes them: one for each choice that somebody has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tornado import web
from traitlets.config import Config

from scalablehub.decisions import User, decide
from scalablehub.description import Description
from scalablehub.measuring.placing import Combination
from scalablehub.pods import restrict, weaknesses
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.unstarted import make_pod, no_way_to_kubernetes

NAME = "scalablehub-check"
"""Whose pods they would be."""
_UNFIT = (
    "it breaks the restricted Pod Security Standard: {}; take that out of the chart's values (for "
    "block-cloud-metadata: singleuser.cloudMetadata.blockWithIptables: false) or of kubespawner_override"
)
_MOST_SAID = 3
_CANNOT_MATTER = frozenset({"scalablehub/interface"})


@dataclass(frozen=True)
class Trial:
    """One pod, and the combinations that would all be this pod.

    Attributes:
        combinations: what somebody chooses.
        manifest: the pod; None if the hub itself refuses to make it.
        refusal: why.
    """

    combinations: tuple[Combination, ...]
    manifest: dict[str, Any] | None
    refusal: str = ""


class TriedSpawner(ScalableKubeSpawner):
    """The hub's spawner, with an admin's words where the hub has a user's."""

    def _restrict(self, pod: Any) -> None:
        try:
            super()._restrict(pod)
        except web.HTTPError:
            manifest = restrict(self.api.api_client.sanitize_for_serialization(pod))
            raise web.HTTPError(
                500, _UNFIT.format("; ".join(list(weaknesses(manifest))[:_MOST_SAID]))
            ) from None


def combinations(description: Description) -> list[Combination]:
    """Return what a member of every group could choose, if there were no caps."""
    everywhere = decide(_for_everybody(description), _member(description))
    open_interfaces = {interface.name for interface in everywhere.interfaces if interface.is_open}
    return [
        Combination(size.name, image.name, interface)
        for size in everywhere.sizes
        if size.is_open
        for image in everywhere.images
        if image.is_open
        for interface in image.interfaces
        if interface in open_interfaces
    ]


async def trials(description: Description, settings: Config, namespace: str) -> list[Trial]:
    """Return the pods of every combination; those that differ only in what cannot matter are one.

    Args:
        description: the hub's description, resolved.
        settings: the spawner's, as far as they are known.
        namespace: of the servers.
    """
    config = deepcopy(settings)
    config.ChoosingSpawner.description = _for_everybody(description)
    config.TriedSpawner.namespace = namespace
    found: dict[str, Trial] = {}
    made: dict[tuple[str, str, str], tuple[dict[str, Any] | None, str]] = {}
    with no_way_to_kubernetes():
        for combination in combinations(description):
            # An interface without options of its own changes the pod's labels and environment alone.
            override = description.interfaces[combination.interface].kubespawner_override
            like = (combination.size, combination.image, json.dumps(override, sort_keys=True))
            if like not in made:
                made[like] = await _made(description, config, combination)
            manifest, refusal = made[like]
            key = _key(manifest) if manifest is not None else refusal
            same = found[key].combinations if key in found else ()
            found[key] = Trial((*same, combination), manifest, refusal)
    return list(found.values())


async def _made(
    description: Description, config: Config, combination: Combination
) -> tuple[dict[str, Any] | None, str]:
    member = _member(description)
    options = {"size": combination.size, "image": combination.image, "interface": combination.interface}
    try:
        return await make_pod(TriedSpawner, config, member, options), ""
    except web.HTTPError as error:
        return None, f"the hub refuses to make it: {error.log_message or error.reason}"


def chart_settings(values: Mapping[str, Any]) -> Config:
    """Return the spawner's settings in zero-to-jupyterhub's values, as its chart gives them to KubeSpawner.

    What decides about admission and placement is there; what code in ``hub.extraConfig`` does is not.

    https://z2jh.jupyter.org/en/stable/resources/reference.html

    Args:
        values: of the chart; those of a hub without it are empty.
    """
    found = Config()
    singleuser = _section(values, "singleuser")
    if any(isinstance(values.get(section), Mapping) for section in ("singleuser", "hub")):
        found.KubeSpawner.update(_of_chart(values, singleuser))
    for section, settings in _section(values, "hub", "config").items():
        if section in {"Spawner", "KubeSpawner", "ScalableKubeSpawner"} and isinstance(settings, Mapping):
            found[section].update(deepcopy(dict(settings)))
    # It names a file of the hub's pod, and no registry is asked.
    found.ScalableKubeSpawner.pop("registry_credentials", None)
    return found


_WORDS = {
    "allow_privilege_escalation": ("allowPrivilegeEscalation",),
    "cmd": ("cmd",),
    "extra_annotations": ("extraAnnotations",),
    "extra_containers": ("extraContainers",),
    "extra_labels": ("extraLabels",),
    "extra_pod_config": ("extraPodConfig",),
    "extra_resource_guarantees": ("extraResource", "guarantees"),
    "extra_resource_limits": ("extraResource", "limits"),
    "fs_gid": ("fsGid",),
    "image_pull_policy": ("image", "pullPolicy"),
    "lifecycle_hooks": ("lifecycleHooks",),
    "node_affinity_required": ("extraNodeAffinity", "required"),
    "node_selector": ("nodeSelector",),
    "pod_affinity_required": ("extraPodAffinity", "required"),
    "service_account": ("serviceAccountName",),
    "uid": ("uid",),
    "volume_mounts": ("storage", "extraVolumeMounts"),
    "volumes": ("storage", "extraVolumes"),
}
_DEDICATED = ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")


def _of_chart(values: Mapping[str, Any], singleuser: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"uid": 1000, "fs_gid": 100, "allow_privilege_escalation": False}
    for option, keys in _WORDS.items():
        if (value := _at(singleuser, *keys)) not in (None, "", {}, []):
            found[option] = deepcopy(value)
    image = _section(singleuser, "image")
    if image.get("name"):
        found["image"] = f"{image['name']}:{image['tag']}" if image.get("tag") else str(image["name"])
    scheduling = _section(values, "scheduling")
    dedicated = [
        {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"} for key in _DEDICATED
    ]
    of_users = _at(scheduling, "userPods", "tolerations")
    more = _at(singleuser, "extraTolerations") or []
    found["tolerations"] = [*(of_users if isinstance(of_users, list) else dedicated), *more]
    if _at(scheduling, "userPods", "nodeAffinity", "matchNodePurpose") == "require":
        purpose = {"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}
        found["node_affinity_required"] = [
            *found.get("node_affinity_required", []),
            {"matchExpressions": [purpose]},
        ]
    before = _at(singleuser, "initContainers") or []
    if _at(singleuser, "cloudMetadata", "blockWithIptables") is not False:
        before = [_BLOCKING, *before]
    if before:
        found["init_containers"] = deepcopy(before)
    return found


_BLOCKING = {
    "name": "block-cloud-metadata",
    "image": "quay.io/jupyterhub/k8s-network-tools",
    "securityContext": {"runAsUser": 0, "privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
}
"""What the chart has run before every server, unless it is told not to."""


def _for_everybody(description: Description) -> Description:
    """Return the description without caps, and without questions to registries."""
    quiet = description.registries.model_copy(update={"check": False, "pin": False})
    return description.model_copy(update={"caps": {}, "registries": quiet})


def _member(description: Description) -> User:
    """Return somebody who is in every group that may have something."""
    entries = [
        entry
        for section in (description.nodes, description.sizes, description.images, description.interfaces)
        for entry in section.values()
    ]
    groups = {group for entry in entries for group in entry.allowed_groups or ()}
    return User(NAME, frozenset(groups))


def _key(manifest: Mapping[str, Any]) -> str:
    """Return text that is the same for pods that differ only in what neither admits nor places them."""
    plain = deepcopy(dict(manifest))
    labels = plain["metadata"].get("labels") or {}
    plain["metadata"]["labels"] = {
        name: value for name, value in labels.items() if name not in _CANNOT_MATTER
    }
    for container in plain["spec"].get("containers") or ():
        container.pop("env", None)
        container.pop("args", None)
    return json.dumps(plain, sort_keys=True, default=str)


def _section(values: Any, *keys: str) -> Mapping[str, Any]:
    found = _at(values, *keys)
    return found if isinstance(found, Mapping) else {}


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
