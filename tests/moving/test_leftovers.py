from __future__ import annotations

from typing import Any

import pytest

from scalablehub.moving import describe, locate
from tests.moving.old_hubs import with_profiles


def listed(hub: Any = None, **values: Any) -> dict[str, str]:
    singleuser = values.pop("singleuser", {})
    return dict(describe(locate(with_profiles(**singleuser) | {"hub": hub or {}} | values)).uncarried)


def test_what_stays_in_the_values_is_not_listed() -> None:
    hub = {"allowNamedServers": True, "db": {"type": "postgres"}, "config": {"Authenticator": {}}}
    servers = {"extraEnv": {"A": "1"}, "storage": {"capacity": "10Gi"}, "nodeSelector": {"a": "b"}}
    assert listed(hub, singleuser=servers, cull={"timeout": 3600}) == {}


@pytest.mark.parametrize(
    ("values", "place", "words"),
    [
        (
            {"hub": {"extraConfig": {"10-hook": "c.KubeSpawner.pre_spawn_hook = f"}}},
            "hub.extraConfig.10-hook",
            "it names pre_spawn_hook",
        ),
        ({"hub": {"extraConfig": "x = 1"}}, "hub.extraConfig", "is Python, which is not read"),
        ({"custom": {"banner": 1}}, "custom.banner", "another chart"),
        (
            {"hub": {"config": {"JupyterHub": {"spawner_class": "mine.Spawner"}}}},
            "hub.config.JupyterHub.spawner_class",
            "subclass",
        ),
        (
            {"hub": {"config": {"KubeSpawner": {"group_overrides": {"x": {}}}}}},
            "hub.config.KubeSpawner.group_overrides",
            "'caps'",
        ),
        ({"singleuser": {"cloudMetadata": {}}}, "singleuser.cloudMetadata.blockWithIptables", "write false"),
        (
            {"singleuser": {"allowPrivilegeEscalation": True}},
            "singleuser.allowPrivilegeEscalation",
            "restricted",
        ),
        ({"singleuser": {"uid": 0}}, "singleuser.uid", "root is refused"),
        (
            {"singleuser": {"extraPodConfig": {"tolerations": []}}},
            "singleuser.extraPodConfig.tolerations",
            "comes last",
        ),
    ],
)
def test_what_a_person_has_to_look_at_is_listed(values: Any, place: str, words: str) -> None:
    assert words in listed(**values)[place]
