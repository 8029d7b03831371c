"""What else stands in an old hub's values and cannot stay as it is; all that is not listed stays."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scalablehub.moving.losses import Losses
from scalablehub.moving.values import OldHub, mapping
from scalablehub.spawner.overriding import DECIDED_WITHIN

_TAKEN_OVER = {
    "profile_list": "the profiles are not used any more; if it keeps some from people, say so with "
    "allowed_groups",
    "options_form": "the spawn page is the description's now",
    "spawner_class": "the spawner has to be a subclass of scalablehub.spawner.kubernetes.ScalableKubeSpawner",
    "pre_spawn_hook": "it still runs, before what is decided is set",
    "modify_pod_hook": "it still runs; caps and the restricted standard hold for what it makes of a pod",
}
_STOCK = frozenset({"kubespawner.KubeSpawner", "kubespawner.spawner.KubeSpawner"})


def list_leftovers(hub: OldHub, losses: Losses) -> None:
    """List what is not for a description, and has to be looked at by a person."""
    _list_scripts(hub, losses)
    for key in mapping(hub.at("custom")):
        losses.add(hub.where("custom", key), "is read by Python in another chart, and not by scalablehub")
    spawner = hub.at("hub", "config", "JupyterHub", "spawner_class")
    if isinstance(spawner, str) and spawner not in _STOCK:
        losses.add(hub.where("hub", "config", "JupyterHub", "spawner_class"), _TAKEN_OVER["spawner_class"])
    if mapping(hub.at("hub", "config", "KubeSpawner", "group_overrides")):
        losses.add(
            hub.where("hub", "config", "KubeSpawner", "group_overrides"),
            "comes before what is decided: memory, cores, image and landing page are the description's. What "
            "a group may have at most is for 'caps', folders of a group are for 'directories'",
        )
    _list_servers(hub, losses)


def _list_scripts(hub: OldHub, losses: Losses) -> None:
    scripts = hub.at("hub", "extraConfig")
    place = hub.where("hub", "extraConfig")
    named: Mapping[str, object] = {"": scripts} if isinstance(scripts, str) else mapping(scripts)
    for name, code in named.items():
        if not isinstance(code, str):
            continue
        found = [
            f"it names {word}: {meaning}"
            for word, meaning in _TAKEN_OVER.items()
            if re.search(rf"\b{word}\b", code)
        ]
        losses.add(
            hub.where("hub", "extraConfig", name) if name else place,
            "is Python, which is not read; it stays in your values and comes after scalablehub"
            + "".join(f"; {words}" for words in found),
        )


def _list_servers(hub: OldHub, losses: Losses) -> None:
    def at(*keys: str) -> object:
        return hub.at("singleuser", *keys)

    if at("cloudMetadata", "blockWithIptables") is not False:
        losses.add(
            hub.where("singleuser", "cloudMetadata", "blockWithIptables"),
            "adds a privileged container to each server, which is then refused; write false, and have the "
            "chart's network policy block the address",
        )
    if at("allowPrivilegeEscalation") is True:
        losses.add(
            hub.where("singleuser", "allowPrivilegeEscalation"),
            "is taken from every server, as they are fit for the restricted standard; if people need it, "
            "such as for sudo, set ScalableKubeSpawner.restricted to false",
        )
    if at("uid") == 0 and at("uid") is not False:
        losses.add(
            hub.where("singleuser", "uid"),
            "root is refused, as servers are fit for the restricted standard; write 1000, or set "
            "ScalableKubeSpawner.restricted to false",
        )
    for key in mapping(at("extraPodConfig")):
        if key in DECIDED_WITHIN["extra_pod_config"]:
            losses.add(
                hub.where("singleuser", "extraPodConfig", key),
                "comes last and replaces what is decided; write it with the chart's own value for that",
            )
