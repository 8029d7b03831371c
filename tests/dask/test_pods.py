from __future__ import annotations

from typing import Any

import pytest
from dask_gateway_server.backends.kubernetes.backend import KubeClusterConfig
from dask_gateway_server.backends.kubernetes.controller import KubeController
from dask_gateway_server.utils import FrozenAttrDict
from traitlets.config import Config

from scalablehub.dask.pods import laid_over, pod_config
from scalablehub.decisions import User, decide, scheduler_node
from scalablehub.description import resolve
from scalablehub.pods import weaknesses
from tests.descriptions import described, written

POOL = written()["nodes"]["standard"] | {
    "selector": {"hub.example.org/pool": "standard"},
    "tolerations": [{"key": "dedicated", "value": "user", "effect": "NoSchedule"}],
}
NAMES = ["alice", "jane.doe@ex.org", "Grüße 图", "x" * 300, "-", "a/../b", '{"a": "{0}"}', "service:bot"]


def config(
    user: str = "alice",
    *,
    size: str = "small",
    image: str = "geo",
    server: str | None = None,
    admin: Config | None = None,
    asks_for_keys: bool = False,
    **sections: Any,
) -> dict[str, Any]:
    description = resolve(described(**{"nodes": written()["nodes"] | {"standard": POOL}, **sections}))
    decision = decide(description, User(user, frozenset({"research"})))
    (size_choice,) = (found for found in decision.sizes if found.name == size)
    (image_choice,) = (found for found in decision.images if found.name == image)
    configured = KubeClusterConfig(config=admin or Config()).to_dict()
    return pod_config(
        description,
        size_choice,
        image_choice,
        asks_for_keys=asks_for_keys,
        scheduler_node=scheduler_node(description, decision, size_choice),
        user=user,
        server=server,
        configured=configured,
    )


def pod(made: dict[str, Any], *, worker: bool, admin: Config | None = None) -> dict[str, Any]:
    """Return the pod that dask-gateway's controller makes of a cluster that has the configuration."""
    controller = KubeController(gateway_instance="gw", api_url="http://api:8000/api")
    whole = KubeClusterConfig(config=admin or Config(), scheduler_cmd=["s"], worker_cmd=["w"], **made)
    found: dict[str, Any] = controller.make_pod(
        "users", "0" * 32, FrozenAttrDict(whole.to_dict()), is_worker=worker
    )
    return found


def test_a_worker_has_the_cores_and_memory_of_its_size() -> None:
    (container,) = pod(config(size="small"), worker=True)["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "0.875", "memory": str(15 * 2**28)},
        "limits": {"cpu": "1.000", "memory": str(15 * 2**28)},
    }
    assert container["args"][-4:] == ["--nthreads", "1", "--memory-limit", str(15 * 2**28)]


@pytest.mark.parametrize("worker", [False, True], ids=["scheduler", "worker"])
def test_image_is_the_container_image_of_the_description(worker: bool) -> None:
    (container,) = pod(config(image="geo"), worker=worker)["spec"]["containers"]
    assert container["image"] == "quay.io/hub/geo:1"


def test_image_that_says_none_leaves_the_chart_its_own() -> None:
    assert "image" not in config(image="base", images={"base": {"prefix": "/opt/base"}})


@pytest.mark.parametrize("worker", [False, True], ids=["scheduler", "worker"])
def test_pod_goes_to_the_node_pool_of_the_size(worker: bool) -> None:
    spec = pod(config(), worker=worker)["spec"]
    assert spec["nodeSelector"] == {"hub.example.org/pool": "standard"}
    assert spec["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize("worker", [False, True], ids=["scheduler", "worker"])
def test_pod_is_fit_for_restricted_pod_security(worker: bool) -> None:
    made = pod(config(), worker=worker)
    assert list(weaknesses(made)) == []
    assert made["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("worker", [False, True], ids=["scheduler", "worker"])
def test_labels_and_annotations_say_whose_and_what_it_is(worker: bool) -> None:
    made = pod(config("jane.doe@ex.org", server="my-server", labels={"cost-center": "geo"}), worker=worker)[
        "metadata"
    ]
    assert made["annotations"] == {
        "hub.jupyter.org/username": "jane.doe@ex.org",
        "hub.jupyter.org/servername": "my-server",
    }
    gateways = ("gateway.dask.org/", "app.kubernetes.io/")
    assert {name: label for name, label in made["labels"].items() if not name.startswith(gateways)} == {
        "cost-center": "geo",
        "hub.jupyter.org/servername": "my-server",
        "hub.jupyter.org/username": "jane-doe-ex-org---d5488386",
        "scalablehub/image": "geo",
        "scalablehub/node-pool": "standard",
        "scalablehub/size": "small",
    }


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:12])
def test_every_user_name_gives_valid_labels_and_stays_as_it_is_in_an_annotation(name: str) -> None:
    made = config(name, server=name)
    for part in ("scheduler", "worker"):
        for value in made[f"{part}_extra_pod_labels"].values():
            assert len(value) <= 63
            assert value.replace("-", "").replace(".", "").isalnum()
            assert value.isascii()
        assert made[f"{part}_extra_pod_annotations"]["hub.jupyter.org/username"] == name


def test_labels_of_users_differ_where_the_users_do() -> None:
    slugs = {config(name)["worker_extra_pod_labels"]["hub.jupyter.org/username"] for name in NAMES}
    assert len(slugs) == len(NAMES)


def test_labels_of_the_description_cannot_hide_a_pod_from_the_controller() -> None:
    labels = {"gateway.dask.org/cluster": "other", "app.kubernetes.io/component": "mine", "team": "geo"}
    made = pod(config(labels=labels), worker=True)["metadata"]["labels"]
    assert made["gateway.dask.org/cluster"] == "0" * 32
    assert made["app.kubernetes.io/component"] == "dask-worker"
    assert made["team"] == "geo"


def test_admins_extra_configuration_is_laid_over_ours() -> None:
    c = Config()
    c.KubeClusterConfig.worker_extra_pod_config = {
        "securityContext": {"runAsUser": 1001},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "nodeSelector": {"zone": "b"},
    }
    c.KubeClusterConfig.worker_extra_container_config = {"securityContext": {"runAsGroup": 7}}
    c.KubeClusterConfig.worker_extra_pod_labels = {"team": "geo", "hub.jupyter.org/username": "mallory"}
    c.KubeClusterConfig.worker_extra_pod_annotations = {"note": "x"}
    made = pod(config(admin=c), worker=True, admin=c)
    spec = made["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 1001,
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsGroup": 7,
    }
    assert spec["nodeSelector"] == {"hub.example.org/pool": "standard", "zone": "b"}
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["dedicated", "spot"]
    assert (made["metadata"]["labels"]["team"], made["metadata"]["annotations"]["note"]) == ("geo", "x")
    assert made["metadata"]["labels"]["hub.jupyter.org/username"] == "alice"


def test_schedulers_keep_what_the_chart_gives_them() -> None:
    c = Config()
    c.KubeClusterConfig.update({"scheduler_cores": 0.25, "scheduler_memory": "512 M"})
    (container,) = pod(config(admin=c), worker=False, admin=c)["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "0.250", "memory": str(512 * 2**20)}


def test_workers_of_a_pool_with_gpus_get_them_and_schedulers_none() -> None:
    gpu = POOL | {"kubespawner_override": {"extra_resource_limits": {"nvidia.com/gpu": 1}}}
    made = config(nodes=written()["nodes"] | {"standard": gpu})
    (worker,) = pod(made, worker=True)["spec"]["containers"]
    (scheduler,) = pod(made, worker=False)["spec"]["containers"]
    assert worker["resources"]["limits"] == {
        "cpu": "1.000",
        "memory": str(15 * 2**28),
        "nvidia.com/gpu": "1",
    }
    assert scheduler["resources"]["limits"].keys() == {"cpu", "memory"}


def test_a_worker_has_the_gpus_of_its_size_and_the_scheduler_none() -> None:
    gpu = POOL | {"gpus": 4, "gpu_resource": "amd.com/gpu"}
    made = config(nodes=written()["nodes"] | {"standard": gpu})
    (worker,) = pod(made, worker=True)["spec"]["containers"]
    (scheduler,) = pod(made, worker=False)["spec"]["containers"]
    assert worker["resources"]["limits"]["amd.com/gpu"] == "1"
    assert worker["resources"]["requests"]["amd.com/gpu"] == "1"
    assert scheduler["resources"]["limits"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": [1]}, {"a": None}, {"a": None}),
        ({}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, {}, {"a": 1}),
    ],
    ids=str,
)
def test_laid_over(ours: Any, theirs: Any, merged: Any) -> None:
    before = repr((ours, theirs))
    assert laid_over(ours, theirs) == merged
    assert repr((ours, theirs)) == before
