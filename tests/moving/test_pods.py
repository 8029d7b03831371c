from __future__ import annotations

from typing import Any

import pytest

from scalablehub.decisions import User
from scalablehub.description import load_description, resolve
from scalablehub.errors import PublicError
from scalablehub.moving import OldHub, describe, locate
from scalablehub.moving.comparing import Pair, compare, old_ways
from scalablehub.moving.pods import new_pod, old_pod
from tests.moving.old_hubs import profile, values_of, with_profiles

ANN = User("ann", frozenset({"example-org:gpu"}))


def pairs(values: Any) -> tuple[OldHub, dict[str, Any], tuple[Pair, ...]]:
    hub = locate(values)
    made = describe(hub).description
    return hub, made, compare(old_ways(hub), resolve(load_description(made)), ANN).pairs


def container(pod: Any) -> Any:
    (found,) = pod["spec"]["containers"]
    return found


def test_a_pod_keeps_what_the_chart_and_the_profile_gave_it() -> None:
    hub, made, found = pairs(values_of("research"))
    gpu = found[-1]
    old, new = old_pod(hub, gpu.way, ANN), new_pod(hub, made, gpu.selection, ANN)
    for pod in (old, new):
        environment = {one["name"]: one.get("value") for one in container(pod)["env"]}
        assert environment["SCRATCH_BUCKET"] == "s3://example-scratch/$(JUPYTERHUB_USER)"
        assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
        assert container(pod)["image"] == "pangeo/pytorch-notebook:2026.10.1"
        assert container(pod)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert container(pod)["resources"]["requests"]["memory"] == 14 * 2**30
        assert pod["spec"]["nodeSelector"] == {
            "hub.jupyter.org/node-purpose": "user",
            "node.kubernetes.io/instance-type": "g4dn.xlarge",
        }
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["spec"][
            "tolerations"
        ]
    assert old["metadata"]["name"] == new["metadata"]["name"]


def test_profiles_do_not_leave_anything_behind_for_the_next_pod() -> None:
    values = with_profiles(profile("One", environment={"A": "1"}), profile("Two", environment={"B": "2"}))
    hub = locate(values)
    ways = [way for way, _ in old_ways(hub)]
    first, second, again = (old_pod(hub, way, ANN) for way in (ways[0], ways[1], ways[0]))
    assert first == again
    assert "A" not in {one["name"] for one in container(second)["env"]}


@pytest.mark.parametrize(
    ("singleuser", "words"),
    [
        ({"uid": 0}, "ask for rights that this hub does not give"),
        ({"extraPodConfig": {"hostNetwork": True}}, "ask for rights that this hub does not give"),
    ],
)
def test_a_pod_that_our_hub_would_refuse_is_refused_here(singleuser: Any, words: str) -> None:
    hub, made, (pair,) = pairs(with_profiles(**singleuser))
    assert old_pod(hub, pair.way, ANN)
    with pytest.raises(PublicError, match=words):
        new_pod(hub, made, pair.selection, ANN)
