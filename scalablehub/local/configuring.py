"""From the plan to the configuration of JupyterHub and of dask-gateway's server on one machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from traitlets.config import Config

from scalablehub.dask.commands import command_in_prefix
from scalablehub.dask.options import cluster_options
from scalablehub.decisions import Decision, ImageChoice, SizeChoice
from scalablehub.hub import CREDENTIALS, LOCAL_SPAWNER, SERVICE, configure
from scalablehub.local.plan import HOST, Plan, read_plan

_HERE = Path(__file__).parent
CULLER = "idle-culler"


def configure_hub(c: Config, plan: Plan | None = None) -> None:
    """Set up JupyterHub: loopback only, shared passwords, our spawner and services."""
    plan = plan or read_plan()
    ports, layout = plan.ports, plan.layout
    c.JupyterHub.bind_url = plan.url
    c.JupyterHub.hub_bind_url = f"http://{HOST}:{ports.hub}"
    c.JupyterHub.db_url = f"sqlite:///{layout.hub / 'jupyterhub.sqlite'}"
    c.JupyterHub.cookie_secret_file = str(layout.hub / "cookie_secret")
    c.JupyterHub.log_level = "DEBUG" if plan.verbose else "INFO"
    c.JupyterHub.allow_named_servers = True
    c.Application.log_level = c.JupyterHub.log_level

    # The supervisor runs the proxy, so that it keeps its routes while the hub restarts.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = f"http://{HOST}:{ports.proxy_api}"
    c.ConfigurableHTTPProxy.auth_token = plan.secrets.proxy_token
    # How soon a proxy that was started again has its routes: the hub adds them when it asks for activity.
    c.JupyterHub.last_activity_interval = 15
    c.JupyterHub.service_check_interval = 5

    _configure_users(c, plan)
    _configure_culler(c, plan)

    c.JupyterHub.spawner_class = LOCAL_SPAWNER
    c.ScalableLocalSpawner.update(
        {
            "homes": str(layout.homes),
            "logs": str(layout.server_logs),
            "skeleton": str(_HERE / "content"),
            "labconfig": str(_HERE / "labconfig"),
            "not_enforced": plan.not_enforced,
            "gateway_address": plan.service_address,
            "gateway_public_address": plan.service_address,
            "gateway_scheduler_address": plan.scheduler_address,
            "bucket_keys": plan.bucket_keys,
            "tokens": str(layout.run / "tokens"),
            "ip": HOST,
            "poll_interval": 5,
        }
    )
    description = plan.description.model_dump()
    if description["dask"] is not None:
        description["dask"] |= {
            "gateway_url": plan.gateway_url,
            "service_url": f"http://{HOST}:{ports.service}",
        }
    if description["credentials"] is not None:
        description["credentials"] |= {"service_url": plan.credentials_address}
        token = {"name": CREDENTIALS, "api_token": plan.secrets.credentials_token}
        c.JupyterHub.services = [*c.JupyterHub.services, token]
    c.ScalableHub.update(description)
    c.ChoosingSpawner.lacks = dict(plan.lacks)
    configure(c)
    for service in c.JupyterHub.services:
        if service["name"] == SERVICE:
            service["environment"]["SCALABLEHUB_LOOPBACK_ONLY"] = "1"
            service["api_token"] = plan.secrets.service_token


def configure_gateway(c: Config, plan: Plan | None = None) -> None:
    """Set up dask-gateway's server: loopback only, the hub's users, our backend and options."""
    plan = plan or read_plan()
    ports, layout = plan.ports, plan.layout
    c.DaskGateway.backend_class = "scalablehub.dask.local.ScalableLocalBackend"
    c.DaskGateway.authenticator_class = "scalablehub.dask.authenticator.ScalableHubAuthenticator"
    c.DaskGateway.address = f"{HOST}:0"
    c.DaskGateway.log_level = "DEBUG" if plan.verbose else "INFO"
    c.JupyterHubAuthenticator.jupyterhub_api_url = f"http://{HOST}:{ports.hub}/hub/api"
    c.JupyterHubAuthenticator.jupyterhub_api_token = plan.secrets.service_token
    c.JupyterHubAuthenticator.jupyterhub_service_name = SERVICE
    c.Proxy.address = f"{HOST}:{ports.gateway}"
    c.Proxy.tcp_address = f"{HOST}:{ports.schedulers}"
    c.Proxy.api_token = plan.secrets.gateway_proxy_token
    c.ScalableLocalBackend.clusters_directory = str(layout.run / "clusters")
    c.ScalableLocalBackend.logs_directory = str(layout.cluster_logs)
    # It outlives the gateway but not the hub: after a restart users learn what became of their clusters.
    c.ScalableLocalBackend.db_url = f"sqlite:///{layout.run / 'gateway.sqlite'}"
    c.ScalableLocalBackend.db_encrypt_keys = [plan.secrets.gateway_db_key]
    c.ScalableLocalBackend.sigint_timeout = 3
    # Looking at processes of this machine is cheap: who waits for one that failed hears of it soon.
    c.ScalableLocalBackend.cluster_status_period = 3
    c.ScalableLocalBackend.worker_status_period = 3
    c.ScalableLocalBackend.keep_period = 3
    if plan.description.credentials is not None:
        c.ScalableLocalBackend.credentials_url = f"{plan.credentials_address}/services/{CREDENTIALS}"
        c.ScalableLocalBackend.credentials_token = plan.secrets.credentials_token
    c.ScalableLocalBackend.description = plan.description
    c.ScalableLocalBackend.lacks = plan.lacks
    c.Backend.cluster_options = cluster_options(
        plan.description, lacks=plan.lacks, bucket_keys=plan.bucket_keys, commands=_dask_commands
    )


def _dask_commands(_decision: Decision, _size: SizeChoice, image: ImageChoice) -> dict[str, Any]:
    """Return how an environment of this machine runs Dask."""
    prefix = Path(image.prefix or sys.prefix)
    return {
        "scheduler_cmd": command_in_prefix("scheduler", prefix),
        "worker_cmd": command_in_prefix("worker", prefix),
    }


def _configure_users(c: Config, plan: Plan) -> None:
    users = plan.local.users
    c.JupyterHub.authenticator_class = "scalablehub.local.people.LocalAuthenticator"
    c.LocalAuthenticator.groups_of = {name: list(user.groups) for name, user in users.items()}
    c.SharedPasswordAuthenticator.user_password = plan.secrets.user_password
    c.SharedPasswordAuthenticator.admin_password = plan.secrets.admin_password
    c.Authenticator.allowed_users = set(users)
    c.Authenticator.admin_users = {name for name, user in users.items() if user.admin}
    groups: dict[str, dict[str, list[str]]] = {}
    for name, user in users.items():
        for group in user.groups:
            groups.setdefault(group, {"users": []})["users"].append(name)
    c.JupyterHub.load_groups = groups


def _configure_culler(c: Config, plan: Plan) -> None:
    # A list that nobody set yet is a lazy one, which cannot be read.
    c.JupyterHub.services = []
    if not plan.local.cull_after:
        return
    c.JupyterHub.services = [
        {
            "name": CULLER,
            "display": False,
            "command": [
                *(sys.executable, "-m", "scalablehub.local.tied"),
                *(sys.executable, "-m", "jupyterhub_idle_culler"),
                f"--timeout={plan.local.cull_after}",
                f"--cull-every={max(min(plan.local.cull_after // 2, 300), 1)}",
            ],
        }
    ]
    c.JupyterHub.load_roles = [
        {
            "name": CULLER,
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": [CULLER],
        }
    ]
