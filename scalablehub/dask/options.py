"""What a user may ask of a Dask cluster, from the same decision as the spawn page.

This runs inside dask-gateway's server: https://gateway.dask.org/cluster-options.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from dask_gateway_server.options import Field, Integer, Options, Select
from dask_gateway_server.options import Mapping as MappingField

from scalablehub.dask.owners import ServerImage
from scalablehub.decisions import (
    Decision,
    ImageChoice,
    Refusal,
    SizeChoice,
    User,
    choose_image,
    decide,
    usual_worker,
)
from scalablehub.description import Description
from scalablehub.description.units import format_bytes, format_cores
from scalablehub.errors import shown
from scalablehub.storage.access import Asking, data_environment, needs_keys, without_conflicts

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MOST_ENVIRONMENT_BYTES = 65_536

LINGER = "linger"
"""The option that says how many seconds a cluster goes on without its server."""

Commands = Callable[[Decision, SizeChoice, ImageChoice], dict[str, Any]]
_NOTHING: Mapping[str, str] = {}


class Environment(MappingField):  # type: ignore[misc]
    """Variables by name. What no process could get is refused here, where the user is still told."""

    def validate(self, x: object) -> dict[str, str]:
        """Return the variables.

        Raises:
            TypeError, ValueError: they are not names with texts, or too much.
        """
        variables: dict[str, str] = super().validate(x)
        for name, value in variables.items():
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                raise ValueError(f"{shown(name)} is not the name of an environment variable")
            if not isinstance(value, str) or "\0" in value:
                raise TypeError(f"{name} must be a text, such as {str(value)[:20]!r}, not {shown(value)}")
        if sum(len(name) + len(value) for name, value in variables.items()) > _MOST_ENVIRONMENT_BYTES:
            raise ValueError(f"{self.field} is too long; {_MOST_ENVIRONMENT_BYTES} characters are the most")
        return variables


def _said(size: SizeChoice) -> str:
    gpus = f", {size.gpus} GPU{'s' if size.gpus > 1 else ''}" if size.gpus else ""
    spot = ", on spot nodes" if size.spot else ""
    return f"{size.name} is {format_cores(size.cores)} and {format_bytes(size.memory)}{gpus}{spot}"


def _as_on_server(decision: Decision, server_image: ServerImage) -> dict[str, ImageChoice]:
    """Return the server's image by its name, if the user may still have it, as it really runs."""
    try:
        image = choose_image(decision, server_image.name)
    except Refusal:
        return {}
    return {image.name: replace(image, image=server_image.reference or image.image)}


def decide_for(description: Description, user: Any, lacks: Mapping[str, str]) -> Decision:
    """Return the decision for dask-gateway's user model, which has the hub's name and groups."""
    return decide(description, User(user.name, frozenset(user.groups), bool(user.admin)), lacks)


def cluster_options(
    description: Description,
    *,
    lacks: Mapping[str, str],
    bucket_keys: Mapping[str, Mapping[str, str]],
    commands: Commands,
    environment: Mapping[str, str] = _NOTHING,
    server_image: ServerImage | None = None,
    asking: Asking | None = None,
) -> Callable[[Any], Options]:
    """Return dask-gateway's ``Backend.cluster_options``: a function from a user to their options.

    Args:
        description: the hub's description, resolved.
        lacks: what cannot be had where the hub runs.
        bucket_keys: static keys by endpoint.
        commands: from a decision, a size and an image to the configuration that runs them here.
        environment: variables that the admin configured for every cluster.
        server_image: what the server runs from which they are asked for; a cluster of that image runs the
            same bits, and one that its user named themselves is theirs here too.
        asking: where schedulers and workers ask for keys; None where each cluster has a place of its own.
    """

    def options_of(user: Any) -> Options:
        decision = decide_for(description, user, lacks)
        sizes = {size.name: size for size in decision.dask.workers}
        images = {image.name: image for image in decision.images if image.is_open}
        if server_image is not None:
            images |= _as_on_server(decision, server_image)
        if not decision.dask.is_open:
            raise web.HTTPForbidden(reason=f"You may not have Dask clusters: {decision.dask.why}.")
        if not sizes or not images:
            raise web.HTTPForbidden(reason="There is no worker size and environment that you may have.")

        configured = dict(environment)
        if needs_keys(description.credentials, decision):
            configured = without_conflicts(configured)

        def configuration(options: Any) -> dict[str, Any]:
            size, image = sizes[options.worker_size], images[options.image]
            return {
                "worker_cores": max(int(size.cores), 1),
                "worker_memory": size.memory,
                "cluster_max_workers": decision.dask.max_workers,
                "idle_timeout": options.idle_timeout,
                # The hub's own variables come last: a user's cannot take the data away by accident.
                "environment": dict(options.environment)
                | configured
                | data_environment(description, decision, bucket_keys, asking),
                **commands(decision, size, image),
            }

        fields: list[Field] = [
            Select(
                "worker_size",
                [(name, name) for name in sizes],
                usual_worker(description, decision),
                label="Worker size: " + ", ".join(_said(size) for size in sizes.values()),
            ),
            Select("image", list(images), label="Environment"),
            Environment("environment", {}, label="Environment variables"),
            Integer(
                "idle_timeout",
                decision.dask.idle_timeout_seconds,
                # Where the admin has clusters end that do nothing, nobody may keep one for ever.
                min=1 if decision.dask.idle_timeout_seconds else 0,
                max=decision.dask.idle_timeout_seconds or None,
                label="Seconds without work until it ends",
            ),
        ]
        if decision.dask.max_linger_seconds:
            fields.append(
                Integer(
                    LINGER,
                    decision.dask.linger_seconds,
                    min=0,
                    max=decision.dask.max_linger_seconds,
                    label="Seconds that it goes on after your server has stopped",
                )
            )
        return Options(*fields, handler=configuration)

    return options_of
