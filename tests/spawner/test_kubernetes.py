from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kubespawner import KubeSpawner
from tornado import web

from scalablehub.pods import weaknesses
from scalablehub.spawner.choosing import ChoosingSpawner, options_from_fields
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from tests.descriptions import written
from tests.spawner.stubs import around, config


def make(
    name: str = "alice",
    *groups: str,
    options: Any = None,
    server: str = "",
    admins: Mapping[str, Any] | None = None,
    **sections: Any,
) -> ScalableKubeSpawner:
    c = config(**sections)
    # What an admin may have left from the time before.
    c.KubeSpawner.profile_list = [
        {
            "display_name": "GPU",
            "slug": "gpu",
            "profile_options": {
                "image": {
                    "unlisted_choice": {
                        "enabled": True,
                        "validation_regex": "^ok/.+:.+$",
                        "kubespawner_override": {"image": "{value}"},
                    },
                    "choices": {"evil": {"kubespawner_override": {"image": "evil/x:1"}}},
                }
            },
        }
    ]
    c.KubeSpawner.environment = {"OF_THE_ADMIN": "kept", "SCRATCH_BUCKET": "of the admin"}
    c.KubeSpawner.update(admins or {})
    return ScalableKubeSpawner(_mock=True, config=c, **around(name, *groups, options=options, server=server))


async def manifest(spawner: ScalableKubeSpawner) -> dict[str, Any]:
    """Return the pod as it is sent to Kubernetes."""
    await spawner.load_user_options()
    pod = await spawner.get_pod_manifest()
    sent: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(pod)
    return sent


def changed(section: str, name: str, **words: Any) -> dict[str, Any]:
    """Return a section of the description with words added to one entry."""
    entries = written()[section]
    return {section: entries | {name: entries[name] | words}}


async def container(spawner: ScalableKubeSpawner) -> Any:
    await spawner.load_user_options()
    manifest = await spawner.get_pod_manifest()
    (found,) = manifest.spec.containers
    return found


async def test_a_pod_has_the_memory_and_cores_of_its_size() -> None:
    found = await container(make("alice", "research", options={"size": "large"}))
    assert found.resources.limits == {"memory": 15 * 2**30}
    assert found.resources.requests == {"memory": 15 * 2**30, "cpu": 3.5}


async def test_a_pod_has_the_image_that_was_chosen() -> None:
    assert (await container(make(options={"image": "geo"}))).image == "quay.io/hub/geo:1"


async def test_an_image_that_says_none_leaves_the_chart_its_own() -> None:
    spawner = make(images={"base": {"prefix": "/opt/base"}})
    stock = KubeSpawner(_mock=True, **around())
    assert (await container(spawner)).image == stock.image


async def test_a_user_lands_on_the_interface_that_was_chosen() -> None:
    spawner = make(options={"image": "geo", "interface": "rstudio"})
    await spawner.load_user_options()
    assert spawner.default_url == "/rstudio"


async def test_a_pod_has_the_environment_of_the_admin_and_over_it_what_was_decided() -> None:
    found = await container(make("alice", "research"))
    environment = {variable.name: variable.value for variable in found.env}
    assert environment["OF_THE_ADMIN"] == "kept"
    assert environment["SCRATCH_BUCKET"] == "s3://scratch/alice"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9000"
    assert environment["DASK_GATEWAY__ADDRESS"] == "http://proxy/services/dask-gateway"


async def test_clusters_have_the_image_of_the_server_by_default() -> None:
    found = await container(make("alice", "research", options={"image": "geo"}))
    environment = {variable.name: variable.value for variable in found.env}
    assert environment["DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE"] == '"geo"'


async def test_a_user_without_clusters_gets_no_way_to_them() -> None:
    found = await container(make())
    assert not [variable.name for variable in found.env if variable.name.startswith("DASK")]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"profile": "gpu"}, 400),
        ({"profile": "gpu", "image": "evil"}, 400),
        ({"profile": "gpu", "image--unlisted-choice": "evil/x:1"}, 400),
        ({"image--unlisted-choice": "evil/x:1"}, 400),
        ({"profile": "", "image--unlisted-choice": "evil/x:1"}, 400),
        ({"profile": "gpu", "image--unlisted-choice": "ok/x:1\n"}, 400),
        ({"profile": "gpu", "image--unlisted-choice": "{namespace.__class__.__mro__}"}, 400),
        ({"kubespawner_override": {"image": "evil/x:1"}}, 400),
        ({"mem_limit": "1T"}, 400),
        ({"image": "evil/x:1"}, 400),
        ({"image": "geo\n"}, 400),
        ({"image": ["geo"]}, 400),
        ({"interface": ["lab"]}, 400),
        ({"size": {"memory": "1T"}}, 400),
        ({"size": 1}, 400),
        ({"size": "secret"}, 400),
        ({"size": "large"}, 403),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_stock_kubespawner_lets_through_is_refused(options: dict[str, Any], status: int) -> None:
    spawner = make(options=options)
    with pytest.raises(web.HTTPError) as raised:
        await spawner.load_user_options()
    assert raised.value.status_code == status
    assert raised.value.jupyterhub_message.endswith(".")
    assert spawner.orm_spawner.user_options is None, "what was refused must not be the next default"


async def test_profiles_that_an_admin_left_are_not_applied() -> None:
    assert (await container(make())).image == "quay.io/hub/base:1"


@pytest.mark.parametrize("groups", [(), ("research",)], ids=["nobody", "research"])
async def test_the_form_is_ours(groups: tuple[str, ...]) -> None:
    spawner = make("alice", *groups)
    page = spawner.options_form(spawner)
    assert 'class="sh-form"' in page
    assert "GPU" not in page
    assert ("/hubs/a/services/dask-gateway/sign-in" in page) is bool(groups)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"size": ["small"], "image": ["geo"]}, {"size": "small", "image": "geo"}),
        ({"size": ["small"], "_xsrf": ["2|x"]}, {"size": "small"}),
        ({"size": ["small", "large"]}, {"size": ["small", "large"]}),
        ({"profile": ["gpu"]}, {"profile": "gpu"}),
        ({}, {}),
    ],
    ids=str,
)
async def test_fields_of_the_form_become_options(
    fields: dict[str, list[str]], options: dict[str, Any]
) -> None:
    assert options_from_fields(fields) == options


async def test_options_are_applied_at_the_start_alone() -> None:
    spawner = make(options={"size": "small"})
    await spawner._run_apply_user_options({"size": "small", "image": "evil/x:1"})
    assert spawner.selection is None


async def test_a_pod_goes_to_the_nodes_of_its_pool() -> None:
    pool = {
        "selector": {"cloud.example/pool": "big"},
        "tolerations": [{"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"}],
    }
    spec = (await manifest(make(**changed("nodes", "standard", **pool))))["spec"]
    assert spec["nodeSelector"] == {"cloud.example/pool": "big"}
    assert spec["tolerations"] == [
        {
            "key": "hub.jupyter.org/dedicated",
            "operator": "Equal",
            "value": "user",
            "effect": "NoSchedule",
        }
    ]


async def test_a_pod_of_a_pool_that_says_nothing_goes_anywhere() -> None:
    assert {"nodeSelector", "tolerations"}.isdisjoint((await manifest(make()))["spec"])


async def test_the_pool_decides_where_it_and_the_chart_differ() -> None:
    admins = {"node_selector": {"purpose": "user", "pool": "core"}}
    spawner = make(admins=admins, **changed("nodes", "standard", selector={"pool": "big"}))
    assert (await manifest(spawner))["spec"]["nodeSelector"] == {"purpose": "user", "pool": "big"}


CHARTS = {"key": "charts", "operator": "Exists"}


@pytest.mark.parametrize("charts", [[CHARTS], {"10-charts": CHARTS}], ids=["list", "dict"])
async def test_a_pod_keeps_the_tolerations_of_the_chart(charts: Any) -> None:
    ours = changed("nodes", "standard", tolerations=[{"key": "ours"}])
    spec = (await manifest(make(admins={"tolerations": charts}, **ours)))["spec"]
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["charts", "ours"]


async def test_a_pod_says_what_was_chosen_and_for_whom() -> None:
    options = {"size": "large", "image": "geo", "interface": "rstudio"}
    spawner = make(
        "jane.doe@ex.org", "research", options=options, server="two", labels={"cost-center": "geophysics"}
    )
    metadata = (await manifest(spawner))["metadata"]
    assert metadata["labels"] == {
        "cost-center": "geophysics",
        "scalablehub/size": "large",
        "scalablehub/node-pool": "standard",
        "scalablehub/image": "geo",
        "scalablehub/interface": "rstudio",
        "hub.jupyter.org/username": "jane-doe-ex-org---d5488386",
        "hub.jupyter.org/servername": "two",
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/managed-by": "kubespawner",
        "app.kubernetes.io/component": "singleuser-server",
        "app": "jupyterhub",
        "heritage": "jupyterhub",
        "component": "singleuser-server",
    }
    assert metadata["annotations"]["hub.jupyter.org/username"] == "jane.doe@ex.org"
    assert metadata["annotations"]["hub.jupyter.org/servername"] == "two"


async def test_a_label_of_the_description_does_not_hide_whose_a_pod_is() -> None:
    labels = (await manifest(make(labels={"hub.jupyter.org/username": "bob"})))["metadata"]["labels"]
    assert labels["hub.jupyter.org/username"] == "alice"


async def test_an_admins_labels_stay() -> None:
    labels = (await manifest(make(admins={"extra_labels": {"theirs": "{username}"}})))["metadata"]["labels"]
    assert labels["theirs"] == "alice"


LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
anyone = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70)


@pytest.mark.parametrize(
    ("user", "server", "pod_name"),
    [
        ("jo", "", "jupyter-jo"),
        ("john", "", "jupyter-john"),
        ("jo", "hn", "jupyter-jo--hn"),
        ("jo--hn", "", "jupyter-jo-hn---c1b5b537"),
        ("jane.doe@ex.org", "", "jupyter-jane-doe-ex-org---d5488386"),
        ("żółw", "", "jupyter-w---f36b8110"),
    ],
)
async def test_a_pod_is_named_after_its_user_and_server(user: str, server: str, pod_name: str) -> None:
    assert (await manifest(make(user, server=server)))["metadata"]["name"] == pod_name


@given(st.tuples(anyone, st.just("") | anyone), st.tuples(anyone, st.just("") | anyone))
@example(("jo", "hn"), ("jo--hn", ""))
@example(("a" * 63, ""), ("a" * 64, ""))
@example(("a" * 40, "b" * 40), ("a" * 40, "b" * 41))
@example(("smith", ""), ("\u017fmith", ""))
async def test_the_pods_of_distinct_servers_have_distinct_valid_names(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assume(one != other)
    pods = [await manifest(make(user, server=server)) for user, server in (one, other)]
    names = [pod["metadata"]["name"] for pod in pods]
    assert names[0] != names[1]
    assert all(OBJECT_NAME.fullmatch(name) for name in names)
    assert all(
        LABEL_VALUE.fullmatch(value)
        for pod in pods
        for label, value in pod["metadata"]["labels"].items()
        if label != "hub.jupyter.org/servername"  # KubeSpawner's own, which JupyterHub keeps to safe names
    )


SHARED = {
    "directories": {
        "readme": {"order": 1, "claim": "shared", "mount": "/shared", "folder": "public/data"},
        "lab": {
            "order": 2,
            "claim": "lab",
            "mount": "/home/jovyan/lab",
            "access": "write",
            "allowed_groups": ["research"],
        },
    }
}
HOME = {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}
AT_HOME = {"name": "home", "mountPath": "/home/jovyan"}
HOMES = {"volumes": [HOME], "volume_mounts": [AT_HOME]}


async def test_a_member_has_the_folders_that_they_share() -> None:
    spec = (await manifest(make("alice", "research", admins=HOMES, **SHARED)))["spec"]
    assert spec["volumes"] == [
        {"name": "home", "persistentVolumeClaim": {"claimName": "claim-alice"}},
        {
            "name": "directory-readme",
            "persistentVolumeClaim": {"claimName": "shared", "readOnly": True},
        },
        {"name": "directory-lab", "persistentVolumeClaim": {"claimName": "lab", "readOnly": False}},
    ]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "home", "mountPath": "/home/jovyan"},
        {
            "name": "directory-readme",
            "mountPath": "/shared",
            "readOnly": True,
            "subPath": "public/data",
        },
        {"name": "directory-lab", "mountPath": "/home/jovyan/lab", "readOnly": False},
    ]


async def test_who_is_no_member_has_no_folder_of_the_group() -> None:
    spec = (await manifest(make(admins=HOMES, **SHARED)))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["home", "directory-readme"]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]] == [
        "/home/jovyan",
        "/shared",
    ]


async def test_a_home_that_the_chart_gives_as_a_dict_stays() -> None:
    admins = {"volumes": {"10-home": HOME}, "volume_mounts": {"10-home": AT_HOME}}
    spec = (await manifest(make(admins=admins, **SHARED)))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["home", "directory-readme"]


async def test_folders_of_one_claim_are_one_volume() -> None:
    claim = {"claim": "files", "folder": "a"}
    directories = {
        "all": claim | {"mount": "/a"},
        "own": claim | {"mount": "/b", "access": "write"},
    }
    spec = (await manifest(make(directories=directories)))["spec"]
    assert spec["volumes"] == [
        {"name": "directory-all", "persistentVolumeClaim": {"claimName": "files", "readOnly": False}}
    ]
    assert [(m["name"], m["mountPath"], m["readOnly"]) for m in spec["containers"][0]["volumeMounts"]] == [
        ("directory-all", "/a", True),
        ("directory-all", "/b", False),
    ]


async def test_a_folder_on_the_claim_of_the_homes_uses_their_volume() -> None:
    homes = {
        "volumes": [{"name": "homes", "persistentVolumeClaim": {"claimName": "home-nfs"}}],
        "volume_mounts": [{"name": "homes", "mountPath": "/home/jovyan", "subPath": "{username}"}],
    }
    shared = {"shared": {"claim": "home-nfs", "folder": "_shared", "mount": "/home/jovyan/shared"}}
    spec = (await manifest(make(admins=homes, directories=shared)))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["homes"]
    assert spec["containers"][0]["volumeMounts"][1] == {
        "name": "homes",
        "mountPath": "/home/jovyan/shared",
        "subPath": "_shared",
        "readOnly": True,
    }


async def test_an_override_reaches_the_pod() -> None:
    override = {
        "extra_resource_limits": {"nvidia.com/gpu": 1},
        "environment": {"OF_THE_POOL": "1"},
        "extra_pod_config": {"runtimeClassName": "nvidia"},
        "cpu_limit": 3,
    }
    spec = (await manifest(make(**changed("nodes", "standard", kubespawner_override=override))))["spec"]
    (notebook,) = spec["containers"]
    environment = {variable["name"]: variable["value"] for variable in notebook["env"]}
    assert notebook["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": 15 * 2**28, "cpu": 3.0}
    assert spec["runtimeClassName"] == "nvidia"
    assert (environment["OF_THE_POOL"], environment["OF_THE_ADMIN"]) == ("1", "kept")


async def test_an_override_adds_a_volume_beside_the_home() -> None:
    override = {
        "volumes": {"shm": {"name": "shm", "emptyDir": {"medium": "Memory"}}},
        "volume_mounts": {"shm": {"name": "shm", "mountPath": "/dev/shm"}},
    }
    spawner = make(admins=HOMES, **changed("images", "base", kubespawner_override=override))
    spec = (await manifest(spawner))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["home", "shm"]
    assert [m["mountPath"] for m in spec["containers"][0]["volumeMounts"]] == ["/home/jovyan", "/dev/shm"]


async def test_the_image_overrides_the_pool_and_the_interface_both() -> None:
    def of(section: str, name: str, number: str) -> dict[str, Any]:
        override = {"environment": {"LAST": number, number: "1"}}
        return changed(section, name, kubespawner_override=override)

    sections = (
        of("nodes", "standard", "POOL") | of("images", "base", "IMAGE") | of("interfaces", "lab", "FACE")
    )
    found = await container(make(**sections))
    environment = {variable.name: variable.value for variable in found.env}
    assert environment["LAST"] == "FACE"
    assert {"POOL", "IMAGE", "FACE"} <= environment.keys()


async def test_what_is_decided_comes_after_every_override() -> None:
    override = {
        "mem_limit": "1T",
        "mem_guarantee": 0,
        "cpu_guarantee": 64,
        "image": "evil/x:1",
        "node_selector": {"pool": "other", "theirs": "yes"},
        "extra_labels": {"scalablehub/size": "other", "theirs": "yes"},
        "environment": {"SCRATCH_BUCKET": "s3://other"},
        "automount_service_account_token": True,
    }
    pool = {"selector": {"pool": "big"}, "kubespawner_override": override}
    pod = await manifest(make(**changed("nodes", "standard", **pool)))
    (notebook,) = pod["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for variable in notebook["env"]}
    assert notebook["resources"] == {
        "limits": {"memory": 15 * 2**28},
        "requests": {"memory": 15 * 2**28, "cpu": 0.875},
    }
    assert notebook["image"] == "quay.io/hub/base:1"
    assert pod["spec"]["nodeSelector"] == {"pool": "big", "theirs": "yes"}
    assert pod["metadata"]["labels"]["scalablehub/size"] == "small"
    assert pod["metadata"]["labels"]["theirs"] == "yes"
    assert environment["SCRATCH_BUCKET"] == "s3://scratch/alice"
    assert pod["spec"]["automountServiceAccountToken"] is False


async def test_a_chart_that_limits_cores_leaves_them_to_burst() -> None:
    assert "cpu" not in (await container(make(admins={"cpu_limit": 1}))).resources.limits


@pytest.mark.parametrize("account", [None, "data"])
async def test_a_pod_has_no_token_of_kubernetes(account: str | None) -> None:
    spec = (await manifest(make(admins={"service_account": account})))["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec.get("serviceAccountName") == account


WITHHELD = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(
    "admins",
    [
        {"init_containers": [{"name": "first", "image": "x"}]},
        {"init_containers": {"10-first": {"name": "first", "image": "x"}}},
        {"extra_containers": [{"name": "beside", "image": "x", "securityContext": {}}]},
        {"extra_pod_config": {"initContainers": [{"name": "first", "image": "x"}]}},
        {"container_security_context": {"capabilities": {"drop": ["NET_RAW"]}}},
    ],
    ids=["list", "dict", "beside", "plain", "drops little"],
)
async def test_no_container_has_a_right_that_it_does_not_ask_for(admins: dict[str, Any]) -> None:
    pod = await manifest(make(admins=admins))
    spec = pod["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for found in [*spec["containers"], *spec.get("initContainers", [])]:
        assert found["securityContext"]["allowPrivilegeEscalation"] is False
        assert found["securityContext"]["capabilities"]["drop"][-1] == "ALL"
    assert list(weaknesses(pod)) == []


async def test_what_an_admin_says_of_security_stays() -> None:
    admins = {
        "uid": 1000,
        "fs_gid": 100,
        "pod_security_context": {
            "seLinuxChangePolicy": "MountOption",
            "fsGroupChangePolicy": "OnRootMismatch",
        },
        "container_security_context": {"readOnlyRootFilesystem": True},
    }
    spec = (await manifest(make(admins=admins)))["spec"]
    assert spec["securityContext"] == {
        "fsGroup": 100,
        "seLinuxChangePolicy": "MountOption",
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == WITHHELD | {
        "runAsUser": 1000,
        "readOnlyRootFilesystem": True,
    }


BLOCK_METADATA = {
    "name": "block-cloud-metadata",
    "image": "quay.io/jupyterhub/k8s-network-tools:4.3.0",
    "command": ["iptables"],
    "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
}
NO_RIGHTS = (
    "Servers with size small and environment base ask for rights that this hub does not give. Choose "
    "another, and tell the hub's admin."
)


@pytest.mark.parametrize(
    "admins",
    [
        {"uid": 0},
        {"privileged": True},
        {"allow_privilege_escalation": True},
        {"init_containers": [BLOCK_METADATA]},
        {"init_containers": {"10-block": BLOCK_METADATA}},
        {"extra_pod_config": {"initContainers": [BLOCK_METADATA]}},
        {"extra_pod_config": {"hostNetwork": True}},
        {"extra_pod_config": {"host_pid": True}},
        {"volumes": [{"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}]},
        {"container_security_context": {"seccompProfile": {"type": "Unconfined"}}},
    ],
    ids=lambda admins: next(iter(admins)),
)
async def test_a_pod_with_more_rights_is_refused_in_words(
    admins: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    spawner = make(admins=admins)
    spawner.log.propagate = True
    with pytest.raises(web.HTTPError) as raised:
        await manifest(spawner)
    assert raised.value.status_code == 500
    assert raised.value.jupyterhub_message == NO_RIGHTS
    assert "jupyter-alice breaks the restricted standard: spec." in caplog.text


async def test_an_admin_can_turn_the_standard_off() -> None:
    spawner = make(admins={"init_containers": [BLOCK_METADATA]})
    spawner.restricted = False
    spec = (await manifest(spawner))["spec"]
    assert spec["initContainers"][0]["securityContext"] == BLOCK_METADATA["securityContext"]
    assert "securityContext" not in spec


async def test_one_start_follows_one_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[str] = []
    decision = ChoosingSpawner.decision

    def counted(spawner: ChoosingSpawner) -> Any:
        decided.append(spawner.user.name)
        return decision(spawner)

    monkeypatch.setattr(ChoosingSpawner, "decision", counted)
    await manifest(make("alice", "research", **SHARED))
    assert decided == ["alice"]


async def test_a_group_that_is_left_during_a_start_counts_from_the_next() -> None:
    spawner = make("alice", "research", options={"size": "small"}, **SHARED)
    await spawner.load_user_options()
    spawner.user.groups = []
    assert "DASK_GATEWAY__ADDRESS" in spawner.get_env()
    await spawner.load_user_options()
    assert "DASK_GATEWAY__ADDRESS" not in spawner.get_env()


async def test_who_waits_long_is_told_in_plain_words() -> None:
    words = make().slow_spawn_message.format(seconds=75)
    assert words == "Your server takes longer than most, 75 seconds so far. You need not do anything."


async def test_an_admins_own_words_for_who_waits_long_stay() -> None:
    assert make(admins={"slow_spawn_message": "Patience."}).slow_spawn_message == "Patience."
