from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import Config

from scalablehub.decisions import Amount
from scalablehub.description import Description, resolve
from scalablehub.errors import PublicError
from scalablehub.measuring.placing import Combination
from scalablehub.measuring.trying import Trial, chart_settings, combinations, trials
from scalablehub.spawner.choosing import ChoosingSpawner
from scalablehub.spawner.ledger import Holder, Ledger
from tests.descriptions import described, written

MINIMAL = {"singleuser": {"cloudMetadata": {"blockWithIptables": False}}}


async def tried(values: dict[str, Any] | None = None, **sections: Any) -> list[Trial]:
    settings = chart_settings(MINIMAL if values is None else values)
    return await trials(resolve(described(**{"dask": None} | sections)), settings, "servers")


def changed(section: str, name: str, **words: Any) -> dict[str, Any]:
    entries = written()[section]
    return {section: entries | {name: entries[name] | words}}


def test_everything_that_anybody_may_have_is_tried_whatever_their_group() -> None:
    found = combinations(resolve(described(dask=None)))
    assert {one.size for one in found} == {"small", "large", "secret"}
    # The image `base` has JupyterLab alone.
    assert [(one.image, one.interface) for one in found if one.size == "secret"] == [
        ("base", "lab"),
        ("geo", "lab"),
        ("geo", "rstudio"),
    ]


@pytest.mark.parametrize(
    ("sections", "sizes"),
    [
        (changed("sizes", "large", hidden=True), {"small", "secret"}),
        (changed("sizes", "large", allowed_groups=[]), {"small", "secret"}),
        ({"caps": {"all": {"servers": 0}}}, {"small", "large", "secret"}),
    ],
    ids=["hidden", "for nobody", "caps hold people, not pods"],
)
def test_what_nobody_may_have_is_not_tried(sections: dict[str, Any], sizes: set[str]) -> None:
    assert {one.size for one in combinations(resolve(described(dask=None, **sections)))} == sizes


async def test_pods_that_differ_in_what_cannot_matter_are_one() -> None:
    found = {trial.combinations for trial in await tried()}
    both = (Combination("small", "geo", "lab"), Combination("small", "geo", "rstudio"))
    assert both in found
    assert len(found) == 6  # three sizes with two images


async def test_an_interface_that_changes_the_pod_is_tried_by_itself() -> None:
    override = {"extra_resource_limits": {"example.org/display": 1}}
    found = await tried(**changed("interfaces", "rstudio", kubespawner_override=override))
    assert len(found) == 9


async def test_a_pod_is_what_the_hub_makes_with_the_charts_values() -> None:
    pool = {"selector": {"pool": "a"}, "tolerations": [{"key": "ours", "operator": "Exists"}]}
    values = {
        "singleuser": MINIMAL["singleuser"]
        | {
            "nodeSelector": {"for": "users"},
            "extraTolerations": [{"key": "theirs", "operator": "Exists"}],
            "extraContainers": [{"name": "beside", "image": "b:1"}],
            "serviceAccountName": "people",
        }
    }
    found = await tried(values, **changed("nodes", "standard", **pool))
    (manifest,) = [
        trial.manifest for trial in found if trial.combinations[0] == Combination("large", "base", "lab")
    ]
    assert manifest is not None
    spec = manifest["spec"]
    assert manifest["metadata"]["name"] == "jupyter-scalablehub-check"
    assert spec["nodeSelector"] == {"for": "users", "pool": "a"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == [
        "hub.jupyter.org/dedicated",
        "hub.jupyter.org_dedicated",
        "theirs",
        "ours",
    ]
    assert [container["name"] for container in spec["containers"]] == ["notebook", "beside"]
    assert spec["serviceAccountName"] == "people"
    assert spec["containers"][0]["resources"]["requests"] == {"memory": 15 * 2**30, "cpu": 3.5}
    assert spec["securityContext"]["fsGroup"] == 100


async def test_what_the_hub_would_refuse_itself_is_told() -> None:
    found = await tried(**changed("images", "geo", kubespawner_override={"privileged": True}))
    refused = [trial for trial in found if trial.manifest is None]
    assert {one.image for trial in refused for one in trial.combinations} == {"geo"}
    assert all(trial.refusal.startswith("the hub refuses to make it: ") for trial in refused)


async def test_the_charts_container_with_all_rights_is_part_of_every_pod_unless_it_is_turned_off() -> None:
    (found,) = await tried({"singleuser": {}})
    assert found.manifest is None
    assert found.refusal.startswith(
        "the hub refuses to make it: it breaks the restricted Pod Security Standard: "
        "spec.initContainers[block-cloud-metadata].securityContext.runAsUser is 0; "
    )


async def test_nothing_of_it_counts_for_the_caps_of_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())
    await tried()
    assert ChoosingSpawner.ledger.total([1], Holder(1, "another")) == Amount()


async def test_values_that_kubespawner_does_not_take_are_a_sentence() -> None:
    with pytest.raises(PublicError, match="KubeSpawner cannot make a pod of these values: "):
        await tried({"singleuser": {"uid": "root"}})


@pytest.mark.parametrize(
    ("values", "option", "value"),
    [
        ({"singleuser": {"uid": 0}}, "uid", 0),
        ({"singleuser": {"image": {"name": "quay.io/a/b", "tag": "1"}}}, "image", "quay.io/a/b:1"),
        ({"singleuser": {"image": {"pullPolicy": "Always"}}}, "image_pull_policy", "Always"),
        ({"hub": {}, "scheduling": {"userPods": {"tolerations": []}}}, "tolerations", []),
        (
            {"hub": {}, "scheduling": {"userPods": {"nodeAffinity": {"matchNodePurpose": "require"}}}},
            "node_affinity_required",
            [
                {
                    "matchExpressions": [
                        {"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}
                    ]
                }
            ],
        ),
        ({"hub": {"config": {"KubeSpawner": {"fs_gid": 7}}}}, "fs_gid", 7),
    ],
    ids=["uid", "image", "pull policy", "tolerations", "purpose", "hub.config"],
)
def test_settings_of_the_chart_become_the_spawners(values: dict[str, Any], option: str, value: Any) -> None:
    assert chart_settings(values).KubeSpawner[option] == value


@pytest.mark.parametrize("values", [{}, {"ScalableHub": {}}, {"singleuser": None}, {"singleuser": "x"}])
def test_what_are_no_values_of_the_chart_set_nothing(values: dict[str, Any]) -> None:
    assert not chart_settings(values).KubeSpawner


def test_keys_and_passwords_in_values_are_not_taken() -> None:
    config = {
        "ChoosingSpawner": {"bucket_keys": {"s3": {"secret_key": "x"}}},
        "Authenticator": {"password": "x"},
        "ScalableKubeSpawner": {"registry_credentials": "/run/secrets/x", "no_room_patience": 15},
    }
    found = chart_settings({"hub": {"config": config}})
    assert isinstance(found, Config)
    assert set(found) - {"KubeSpawner"} == {"ScalableKubeSpawner"}
    assert found.ScalableKubeSpawner == {"no_room_patience": 15}


def test_the_description_itself_is_not_changed() -> None:
    description: Description = resolve(described(dask=None, caps={"all": {"servers": 0}}))
    combinations(description)
    assert description.caps["all"].servers == 0
