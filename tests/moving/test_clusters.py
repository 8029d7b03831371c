from __future__ import annotations

from typing import Any

import pytest

from scalablehub.moving import describe, locate
from tests.moving.old_hubs import with_profiles

SCOPE = ["access:services!service=dask-gateway"]


def moved(gateway: Any, **hub: Any) -> Any:
    return describe(
        locate({"jupyterhub": with_profiles() | {"hub": hub}, "dask-gateway": {"gateway": gateway}})
    )


def test_a_hub_without_a_gateway_has_no_clusters() -> None:
    assert "dask" not in describe(locate(with_profiles())).description


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("c.ClusterConfig.cluster_max_workers = 100", {"max_workers": 100}),
        ("c.KubeClusterConfig.idle_timeout = 30 * 60", {"idle_timeout": 1800}),
        (
            "c.X.cluster_max_cores = 40\nc.X.cluster_max_memory = '160 G'",
            {"caps": {"everybody": {"cores": 40, "memory": "160G"}}},
        ),
        ("def f():\n    c.X.cluster_max_workers = 5", {"max_workers": 32}),
        ("c.X.cluster_max_workers = number()", {"max_workers": 32}),
        ("if True: c.X.idle_timeout = 1", {"idle_timeout": 1800}),
        ("not Python at all", {"max_workers": 32}),
    ],
)
def test_limits_that_stand_plainly_in_python_are_read(code: str, limits: dict[str, Any]) -> None:
    found = moved({"extraConfig": {"limits": code}})
    assert {name: found.description["dask"][name] for name in limits} == limits
    assert dict(found.uncarried)["dask-gateway.gateway.extraConfig.limits"].startswith(
        "is Python, which is not run"
    )


@pytest.mark.parametrize(
    ("roles", "groups"),
    [
        ({"dask": {"scopes": SCOPE, "groups": ["lab"]}}, ["lab"]),
        (
            [
                {"name": "dask", "scopes": SCOPE, "groups": ["lab"]},
                {"name": "x", "scopes": SCOPE, "groups": ["b"]},
            ],
            ["b", "lab"],
        ),
        ({"dask": {"scopes": SCOPE, "users": ["ann"]}}, []),
        ({"user": {"scopes": ["self", *SCOPE]}}, None),
        ({"other": {"scopes": ["list:users"], "groups": ["lab"]}}, None),
    ],
)
def test_clusters_are_for_whom_the_hubs_roles_say(roles: Any, groups: list[str] | None) -> None:
    assert moved({}, loadRoles=roles).description["dask"].get("allowed_groups") == groups


def test_what_is_not_said_is_marked() -> None:
    found = moved({})
    assert set(found.remarks) >= {
        ("dask", name)
        for name in ("gateway_url", "scheduler_address", "max_workers", "max_clusters", "idle_timeout")
    }


def test_images_and_sizes_of_workers_are_listed() -> None:
    found = dict(moved({"backend": {"image": {"name": "x"}, "worker": {"cores": {"limit": 2}}}}).uncarried)
    assert "the image of the server" in found["dask-gateway.gateway.backend.image"]
    assert "the sizes of servers" in found["dask-gateway.gateway.backend.worker.cores"]


def test_clusters_that_another_sign_in_kept_are_for_nobody_until_it_is_said() -> None:
    found = moved({"auth": {"type": "simple"}})
    assert found.description["dask"]["allowed_groups"] == []
    assert "dask-gateway.gateway.auth.type" in dict(found.uncarried)
