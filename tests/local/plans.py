"""A plan of a hub on one machine, as `scalablehub up` makes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scalablehub.description import resolve
from scalablehub.local.layout import Layout, Secrets
from scalablehub.local.plan import Plan, Ports
from scalablehub.local.settings import LocalHub
from tests.descriptions import described, written

SECRETS = Secrets(
    user_password="the-users",
    admin_password="the-admins",
    access_key="the-access-key",
    secret_key="the-secret-key",
    proxy_token="the-proxy-token",
    gateway_proxy_token="the-gateway-token",
    gateway_db_key="the-database-key",
    service_token="the-service-token",
    credentials_token="the-credentials-token",
)
USERS = {
    "alice": {"groups": ["research"]},
    "bob": {},
    "root": {"admin": True, "groups": ["research", "staff"]},
}


def planned(
    root: Path, *, verbose: bool = False, sections: dict[str, Any] | None = None, **local: Any
) -> Plan:
    """Return a plan with the small description; sections of it, and what only the machine has, can differ."""
    images = {"base": {"prefix": "/opt/base", "interfaces": ["lab"]}, "geo": {"prefix": "/opt/geo"}}
    buckets = written()["buckets"]
    for bucket in buckets.values():
        bucket["endpoint"] = "this-machine"
    everything = {"images": images, "buckets": buckets} | (sections or {})
    return Plan(
        layout=Layout(root),
        ports=Ports(8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007),
        secrets=SECRETS,
        description=resolve(described(**everything), store="http://127.0.0.1:8006"),
        local=LocalHub.model_validate({"users": USERS} | local),
        lacks={"interfaces.rstudio": "Not on this machine: rserver is not installed."},
        not_enforced="Memory is not limited here.",
        proxy_command=("node", "proxy"),
        verbose=verbose,
    )
