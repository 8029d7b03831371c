from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner
from tornado import web

from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from tests.spawner.stubs import around, config


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the Kubernetes client an address to know, which nothing here asks."""
    known = {
        "current-context": "none",
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "none", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(known))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))


def make(name: str = "alice", *groups: str, options: Any = None, **sections: Any) -> ScalableKubeSpawner:
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
    return ScalableKubeSpawner(_mock=True, config=c, **around(name, *groups, options=options))


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
    assert make().options_from_form(fields) == options


async def test_options_are_applied_at_the_start_alone() -> None:
    spawner = make(options={"size": "small"})
    await spawner._run_apply_user_options({"size": "small", "image": "evil/x:1"})
    assert spawner.selection is None
