"""The user, hub and database that a spawner has around it in JupyterHub."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from jupyterhub import orm
from jupyterhub.objects import Hub
from traitlets.config import Config

from scalablehub.description import resolve
from tests.descriptions import described


def around(name: str = "alice", *groups: str, options: object = None, server: str = "") -> dict[str, Any]:
    """Return the keyword arguments with which JupyterHub makes a spawner."""
    user = SimpleNamespace(
        id=1,
        name=name,
        escaped_name=quote(name),
        admin=False,
        groups=[SimpleNamespace(name=group) for group in groups],
        url=f"/user/{name}/",
        base_url=f"/user/{name}/",
        server=None,
    )
    return {
        "user": user,
        "hub": Hub(ip="127.0.0.1", port=8081, base_url="/hubs/a/hub/"),
        "orm_spawner": orm.Spawner(name=server, user_options=options),
        "db": SimpleNamespace(commit=lambda: None),
        "user_options": {} if options is None else options,
    }


def config(**sections: Any) -> Config:
    """Return the configuration of a hub with the small description."""
    c = Config()
    # Most tests have no registry to ask.
    c.ChoosingSpawner.description = resolve(
        described(**{"registries": {"pin": False, "check": False}} | sections)
    )
    c.ChoosingSpawner.gateway_address = "http://proxy/services/dask-gateway"
    c.ChoosingSpawner.bucket_keys = {
        "http://127.0.0.1:9000": {"access_key": "public", "secret_key": "private"}
    }
    return c
