from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from scalablehub.dask.commands import command_in_prefix
from scalablehub.local.configuring import configure_gateway, configure_hub
from scalablehub.local.plan import Plan
from tests.descriptions import written
from tests.local.plans import SECRETS, planned

ALICE = SimpleNamespace(name="alice", groups=["research"], admin=False)


def hub_of(plan: Plan) -> Config:
    c = Config()
    configure_hub(c, plan)
    return c


def gateway_of(plan: Plan) -> Config:
    c = Config()
    configure_gateway(c, plan)
    return c


def services_of(c: Config) -> dict[str, dict[str, Any]]:
    return {service["name"]: service for service in c.JupyterHub.services}


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("JupyterHub", "bind_url", "http://127.0.0.1:8000/"),
        ("JupyterHub", "hub_bind_url", "http://127.0.0.1:8002"),
        ("ConfigurableHTTPProxy", "api_url", "http://127.0.0.1:8001"),
        ("ScalableLocalSpawner", "ip", "127.0.0.1"),
        ("ScalableLocalSpawner", "gateway_address", "http://127.0.0.1:8000/services/dask-gateway"),
        ("ScalableLocalSpawner", "gateway_public_address", "http://127.0.0.1:8000/services/dask-gateway"),
        ("ScalableLocalSpawner", "gateway_scheduler_address", "gateway://127.0.0.1:8005"),
    ],
)
def test_hub_is_on_loopback(tmp_path: Path, section: str, name: str, value: str) -> None:
    assert hub_of(planned(tmp_path))[section][name] == value


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("DaskGateway", "address", "127.0.0.1:0"),
        ("Proxy", "address", "127.0.0.1:8004"),
        ("Proxy", "tcp_address", "127.0.0.1:8005"),
        ("JupyterHubAuthenticator", "jupyterhub_api_url", "http://127.0.0.1:8002/hub/api"),
    ],
)
def test_gateway_is_on_loopback(tmp_path: Path, section: str, name: str, value: str) -> None:
    assert gateway_of(planned(tmp_path))[section][name] == value


@pytest.mark.parametrize("made", [hub_of, gateway_of])
def test_no_address_is_beyond_loopback(tmp_path: Path, made: Any) -> None:
    found = re.findall(r"(?:http|gateway)s?://([^:/']*)|'([0-9.]+):\d+'", str(made(planned(tmp_path))))
    assert {host or address for host, address in found} == {"127.0.0.1"}


def test_service_is_kept_to_loopback(tmp_path: Path) -> None:
    service = services_of(hub_of(planned(tmp_path)))["dask-gateway"]
    assert service["url"] == "http://127.0.0.1:8003"
    assert service["environment"] == {
        "SCALABLEHUB_GATEWAY_URL": "http://127.0.0.1:8004",
        "SCALABLEHUB_LOOPBACK_ONLY": "1",
    }


def test_users_of_the_file_can_sign_in_and_nobody_else(tmp_path: Path) -> None:
    c = hub_of(planned(tmp_path))
    assert c.Authenticator.allowed_users == {"alice", "bob", "root"}
    assert "allow_all" not in c.Authenticator


def test_admins_are_those_of_the_file(tmp_path: Path) -> None:
    assert hub_of(planned(tmp_path)).Authenticator.admin_users == {"root"}


def test_groups_have_their_members(tmp_path: Path) -> None:
    assert hub_of(planned(tmp_path)).JupyterHub.load_groups == {
        "research": {"users": ["alice", "root"]},
        "staff": {"users": ["root"]},
    }


def test_passwords_are_those_of_the_plan(tmp_path: Path) -> None:
    assert hub_of(planned(tmp_path)).SharedPasswordAuthenticator == {
        "user_password": "the-users",
        "admin_password": "the-admins",
    }


@pytest.mark.parametrize(
    ("cull_after", "timeout", "every"),
    [("1h", "3600", "300"), ("60s", "60", "30"), (1, "1", "1")],
    ids=str,
)
def test_culler_looks_more_often_than_it_culls(
    tmp_path: Path, cull_after: object, timeout: str, every: str
) -> None:
    culler = services_of(hub_of(planned(tmp_path, cull_after=cull_after)))["idle-culler"]
    assert culler["command"][-2:] == [f"--timeout={timeout}", f"--cull-every={every}"]


def test_culler_may_list_and_stop_servers_and_nothing_else(tmp_path: Path) -> None:
    (role,) = [
        role for role in hub_of(planned(tmp_path)).JupyterHub.load_roles if role["name"] == "idle-culler"
    ]
    assert role["services"] == ["idle-culler"]
    assert role["scopes"] == ["list:users", "read:users:activity", "read:servers", "delete:servers"]


def test_culler_is_left_out_at_0(tmp_path: Path) -> None:
    assert services_of(hub_of(planned(tmp_path, cull_after=0))).keys() == {"dask-gateway"}


def test_hub_without_dask_and_culler_has_no_services(tmp_path: Path) -> None:
    assert services_of(hub_of(planned(tmp_path, cull_after=0, sections={"dask": None}))) == {}


@pytest.mark.parametrize("name", ["idle-culler", "dask-gateway"])
def test_service_is_started_without_a_secret(tmp_path: Path, name: str) -> None:
    """Every user of the machine sees commands; a service's environment has what it needs."""
    service = services_of(hub_of(planned(tmp_path)))[name]
    shown = json.dumps([service["command"], service.get("environment", {})])
    assert [secret for secret in asdict(SECRETS).values() if secret in shown] == []


def test_proxy_is_the_supervisors_and_keeps_its_routes(tmp_path: Path) -> None:
    proxy = hub_of(planned(tmp_path)).ConfigurableHTTPProxy
    assert (proxy.should_start, proxy.auth_token) == (False, "the-proxy-token")


def test_spawner_is_ours_and_knows_what_is_not_here(tmp_path: Path) -> None:
    c = hub_of(planned(tmp_path))
    assert c.JupyterHub.spawner_class == "scalablehub.spawner.local.ScalableLocalSpawner"
    assert c.ChoosingSpawner.lacks == {"interfaces.rstudio": "Not on this machine: rserver is not installed."}
    assert c.ScalableLocalSpawner.not_enforced == "Memory is not limited here."


def test_what_is_kept_is_in_the_data_folder(tmp_path: Path) -> None:
    c = hub_of(planned(tmp_path))
    assert c.JupyterHub.db_url == f"sqlite:///{tmp_path}/hub/jupyterhub.sqlite"
    assert c.JupyterHub.cookie_secret_file == f"{tmp_path}/hub/cookie_secret"
    assert c.ScalableLocalSpawner.homes == f"{tmp_path}/homes"
    assert c.ScalableLocalSpawner.logs == f"{tmp_path}/logs/servers"


@pytest.mark.parametrize(("verbose", "level"), [(False, "INFO"), (True, "DEBUG")], ids=["plain", "verbose"])
def test_verbose_writes_more_to_the_logs(tmp_path: Path, verbose: bool, level: str) -> None:
    plan = planned(tmp_path, verbose=verbose)
    assert hub_of(plan).JupyterHub.log_level == level
    assert gateway_of(plan).DaskGateway.log_level == level


def test_gateway_knows_users_by_the_hub_and_remembers_no_answer(tmp_path: Path) -> None:
    c = gateway_of(planned(tmp_path))
    assert c.DaskGateway.authenticator_class == "scalablehub.dask.authenticator.ScalableHubAuthenticator"
    assert c.JupyterHubAuthenticator.jupyterhub_service_name == "dask-gateway"
    assert c.JupyterHubAuthenticator.jupyterhub_api_token == "the-service-token"


def test_gateway_has_its_own_secrets_and_not_the_hubs(tmp_path: Path) -> None:
    c = gateway_of(planned(tmp_path))
    assert c.Proxy.api_token == "the-gateway-token"
    assert c.ScalableLocalBackend.db_encrypt_keys == ["the-database-key"]
    assert [word for word in ("the-users", "the-admins", "the-proxy-token") if word in str(c)] == []


def test_gateway_forgets_clusters_with_the_hub_and_keeps_their_logs(tmp_path: Path) -> None:
    backend = gateway_of(planned(tmp_path)).ScalableLocalBackend
    assert backend.clusters_directory == f"{tmp_path}/run/clusters"
    assert backend.db_url == f"sqlite:///{tmp_path}/run/gateway.sqlite"
    assert backend.logs_directory == f"{tmp_path}/logs/clusters"


def test_gateway_decides_with_the_description_and_what_is_not_here(tmp_path: Path) -> None:
    plan = planned(tmp_path, sections={"dask": written()["dask"] | {"max_clusters": 3}})
    backend = gateway_of(plan).ScalableLocalBackend
    assert backend.description == plan.description
    assert backend.lacks == {"interfaces.rstudio": "Not on this machine: rserver is not installed."}


def test_cluster_runs_in_the_environment_that_was_chosen(tmp_path: Path) -> None:
    options = gateway_of(planned(tmp_path)).Backend.cluster_options(ALICE)
    made = options.get_configuration(options.parse_options({"image": "geo"}), ALICE)
    assert made["scheduler_cmd"] == command_in_prefix("scheduler", Path("/opt/geo"))
    assert made["worker_cmd"] == command_in_prefix("worker", Path("/opt/geo"))
