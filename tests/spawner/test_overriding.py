from __future__ import annotations

from typing import Any

import pytest
from kubespawner import KubeSpawner

from scalablehub.description import Description
from scalablehub.spawner.overriding import DECIDED, DECIDED_WITHIN, added, is_of_things, merged
from scalablehub.spawner.overriding import misplaced_overrides as misplaced
from tests.descriptions import described, written

OPTIONS = KubeSpawner.class_traits(config=True)

HOME = {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}
SHM = {"name": "shm", "emptyDir": {"medium": "Memory"}}
AT_HOME = {"name": "home", "mountPath": "/home/jovyan"}


@pytest.mark.parametrize(
    ("present", "value", "expected"),
    [
        (None, 1000, 1000),
        (1000, None, None),
        ("a", "b", "b"),
        (["a"], ["b"], ["b"]),
        ({}, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1", "b": "2"}, {"a": None}, {"b": "2"}),
        ({}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
        (None, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, "x", "x"),
    ],
    ids=repr,
)
def test_mappings_are_merged_and_all_else_is_replaced(present: Any, value: Any, expected: Any) -> None:
    assert merged(present, value) == expected


@pytest.mark.parametrize(
    ("present", "value", "expected"),
    [
        ([HOME], [SHM], [HOME, SHM]),
        ({"10-home": HOME}, {"20-shm": SHM}, {"10-home": HOME, "20-shm": SHM}),
        ([HOME], {"20-shm": SHM}, [HOME, SHM]),
        ({"20-shm": SHM, "10-home": HOME}, [], [HOME, SHM]),
        ({"10-home": HOME}, [SHM], [HOME, SHM]),
        ([HOME], [HOME | {"emptyDir": {}}], [HOME | {"emptyDir": {}}]),
        ([HOME, SHM], [HOME], [SHM, HOME]),
        ([], [SHM], [SHM]),
        (None, [SHM], [SHM]),
        ([AT_HOME], [AT_HOME | {"mountPath": "/data"}], [AT_HOME, AT_HOME | {"mountPath": "/data"}]),
        ([AT_HOME], [AT_HOME | {"readOnly": True}], [AT_HOME | {"readOnly": True}]),
        ([{"key": "a"}], [{"key": "a"}, {"key": "b"}], [{"key": "a"}, {"key": "b"}]),
    ],
    ids=[
        "two lists",
        "two dicts",
        "a dict to a list",
        "nothing to a dict",
        "a list to a dict",
        "one of that name",
        "the same again",
        "to an empty one",
        "to nothing",
        "a mount elsewhere",
        "a mount at the same path",
        "tolerations",
    ],
)
def test_a_list_or_dict_of_things_gets_more_of_them(present: Any, value: Any, expected: Any) -> None:
    assert added(present, value) == expected


def test_what_an_override_brings_is_not_shared_with_the_description() -> None:
    value = {"volumes": [dict(SHM)]}
    for result in (merged({}, value)["volumes"], added([], value["volumes"])):
        result[0]["name"] = "changed"
    assert value == {"volumes": [SHM]}


def test_the_options_that_take_things_are_these() -> None:
    assert {name for name, option in OPTIONS.items() if is_of_things(option)} == {
        "extra_containers",
        "init_containers",
        "node_affinity_preferred",
        "node_affinity_required",
        "pod_affinity_preferred",
        "pod_affinity_required",
        "pod_anti_affinity_preferred",
        "pod_anti_affinity_required",
        "profile_list",
        "tolerations",
        "volume_mounts",
        "volumes",
    }


def overridden(**override: Any) -> Description:
    pool = written()["nodes"]["gpu"] | {"kubespawner_override": override}
    return described(nodes=written()["nodes"] | {"gpu": pool})


@pytest.mark.parametrize(
    "override",
    [
        {},
        {"extra_resource_limits": {"nvidia.com/gpu": 1}},
        {"extra_resource_limits": {"cpu": 4}},
        {"cpu_limit": 4},
        {"cpu_limit": None},
        {"volumes": {"shm": SHM}, "volume_mounts": [{"name": "shm", "mountPath": "/dev/shm"}]},
        {"volumes": [SHM]},
        {"extra_pod_config": {"runtimeClassName": "nvidia"}},
        {"extra_container_config": {"envFrom": []}},
        {"environment": {"A": "1"}},
        {"uid": 1000},
        {"service_account": "data"},
        {"cmd": ["start.sh"]},
        {"start_timeout": 900},
    ],
    ids=str,
)
def test_an_option_of_kubespawner_may_be_overridden(override: dict[str, Any]) -> None:
    assert list(misplaced(overridden(**override), OPTIONS)) == []


DECIDES = "is decided by the description; say it there, and leave it out here"
UNKNOWN = "is not an option of KubeSpawner; see its reference for their names"
UNDOES = "would undo what is decided; say it in the description, or by an option of its own"


@pytest.mark.parametrize(
    ("override", "place", "sentence"),
    [
        ({"image": "x"}, "image", DECIDES),
        ({"mem_limit": "1T"}, "mem_limit", DECIDES),
        ({"profile_list": []}, "profile_list", DECIDES),
        ({"memory_limit": "1T"}, "memory_limit", UNKNOWN),
        ({"user": "root"}, "user", UNKNOWN),
        ({"description": {}}, "description", UNKNOWN),
        ({"restricted": False}, "restricted", UNKNOWN),
        ({"bucket_keys": {}}, "bucket_keys", UNKNOWN),
        ({"uid": "root"}, "uid", "'root' is not what KubeSpawner takes here; see its reference"),
        ({"volumes": 3}, "volumes", "3 is not what KubeSpawner takes here; see its reference"),
        (
            {"node_selector": ["a"]},
            "node_selector",
            "['a'] is not what KubeSpawner takes here; see its reference",
        ),
        ({"extra_pod_config": {"nodeSelector": {}}}, "extra_pod_config.nodeSelector", UNDOES),
        ({"extra_pod_config": {"tolerations": []}}, "extra_pod_config.tolerations", UNDOES),
        (
            {"extra_pod_config": {"automountServiceAccountToken": True}},
            "extra_pod_config.automountServiceAccountToken",
            UNDOES,
        ),
        ({"extra_container_config": {"resources": {}}}, "extra_container_config.resources", UNDOES),
        ({"extra_resource_limits": {"memory": "1T"}}, "extra_resource_limits.memory", UNDOES),
        ({"extra_resource_guarantees": {"cpu": 0}}, "extra_resource_guarantees.cpu", UNDOES),
    ],
    ids=str,
)
def test_an_override_that_cannot_be_is_told_with_its_place(
    override: dict[str, Any], place: str, sentence: str
) -> None:
    assert list(misplaced(overridden(**override), OPTIONS)) == [
        (f"nodes.gpu.kubespawner_override.{place}", sentence)
    ]


@pytest.mark.parametrize("section", ["nodes", "images", "interfaces"])
def test_overrides_of_every_section_are_looked_at(section: str) -> None:
    entries = written()[section]
    first = next(iter(entries))
    entries[first]["kubespawner_override"] = {"nonsense": 1}
    assert list(misplaced(described(**{section: entries}), OPTIONS)) == [
        (f"{section}.{first}.kubespawner_override.nonsense", UNKNOWN)
    ]


def test_what_is_decided_is_known_to_kubespawner_or_to_jupyterhub() -> None:
    assert (DECIDED | DECIDED_WITHIN.keys()) - OPTIONS.keys() <= {"apply_user_options"}
