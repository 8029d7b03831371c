"""Pods as the hub would ask Kubernetes for them, made by the real spawners; nothing is started or asked.

The one stand-in is JupyterHub around a spawner: a user, and the hub's address.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from jupyterhub import orm
from jupyterhub.objects import Hub
from kubespawner import spawner as kubespawner_module
from traitlets import TraitError
from traitlets.config import Config

from scalablehub.decisions import User
from scalablehub.errors import PublicError, shown
from scalablehub.spawner.ledger import Ledger


async def make_pod(
    spawner_class: Any, config: Config, user: User, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the pod of the user's server; call it within `no_way_to_kubernetes`.

    Args:
        spawner_class: KubeSpawner, or a subclass.
        config: of the spawner.
        user: whose server it would be.
        options: what they choose.

    Raises:
        tornado.web.HTTPError: the spawner refuses to make it.
        PublicError: it cannot be made of this configuration.
    """
    try:
        spawner = spawner_class(_mock=True, config=config, **_around(user, options))
        spawner.ledger = Ledger()  # what is only looked at takes nothing of anybody's cap
        await spawner.load_user_options()
        pod = await spawner.get_pod_manifest()
    except (TraitError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PublicError(
            "values-refused", f"KubeSpawner cannot make a pod of these values: {shown(str(error), 200)}."
        ) from None
    manifest: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(pod)
    return manifest


@contextmanager
def no_way_to_kubernetes() -> Iterator[None]:
    """Keep KubeSpawner from looking for a Kubernetes cluster, and from its log."""
    load_config, level = kubespawner_module.load_config, logging.root.manager.disable
    kubespawner_module.load_config = lambda **_: None
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        kubespawner_module.load_config = load_config
        logging.disable(level)


def _around(user: User, options: Mapping[str, Any]) -> dict[str, Any]:
    name = quote(user.name)
    owner = SimpleNamespace(
        id=1,
        name=user.name,
        escaped_name=name,
        admin=user.admin,
        groups=[SimpleNamespace(name=group) for group in user.groups],
        url=f"/user/{name}/",
        base_url=f"/user/{name}/",
        server=None,
    )
    return {
        "user": owner,
        "user_options": dict(options),
        "hub": Hub(ip="127.0.0.1", port=8081, base_url="/hub/"),
        "orm_spawner": orm.Spawner(name="", user_options=dict(options)),
        "db": SimpleNamespace(commit=lambda: None),
        "api_token": "-",  # no server ever gets it
    }
