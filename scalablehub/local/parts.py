"""The processes of a hub on one machine: object store, proxy, dask-gateway, JupyterHub."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from scalablehub.errors import PublicError
from scalablehub.local.plan import HOST, VARIABLE, Plan
from scalablehub.local.store import Store, make_buckets, store_command, store_environment, wait_until_ready
from scalablehub.local.supervising import Part

_HERE = Path(__file__).parent
_PAUSE_SECONDS = 0.1


def make_parts(plan: Plan) -> list[Part]:
    """Return the parts in the order in which they start."""
    store = local_store(plan)
    logs, ports = plan.layout.logs, plan.ports
    base = dict(os.environ)
    ours = base | {VARIABLE: str(plan.layout.plan)}
    parts = [
        Part(
            "the proxy",
            [
                *plan.proxy_command,
                f"--ip={HOST}",
                f"--port={ports.public}",
                f"--api-ip={HOST}",
                f"--api-port={ports.proxy_api}",
                f"--default-target=http://{HOST}:{ports.hub}",
                f"--error-target=http://{HOST}:{ports.hub}/hub/error",
                "--log-level=warn",
            ],
            base | {"CONFIGPROXY_AUTH_TOKEN": plan.secrets.proxy_token},
            logs / "proxy.log",
            _answers("the proxy", f"http://{HOST}:{ports.proxy_api}/api/routes", logs / "proxy.log"),
        ),
    ]
    if buckets := _buckets_here(plan):
        make_buckets(store, buckets)
        parts.append(
            Part(
                "the object store",
                store_command(store),
                store_environment(store, base),
                logs / "store.log",
                lambda exited: wait_until_ready(store, 30, exited),
            )
        )
    if plan.description.dask is not None:
        parts.append(
            Part(
                "dask-gateway",
                [sys.executable, "-m", "dask_gateway_server", "-f", str(_HERE / "gateway_config.py")],
                # dask-gateway wants a token of the hub although it asks with each user's own.
                ours | {"JUPYTERHUB_API_TOKEN": "unused"},
                logs / "gateway.log",
                _answers("dask-gateway", f"{plan.gateway_url}/api/health", logs / "gateway.log"),
                stop_seconds=15,
            )
        )
    health, status = f"{plan.url}hub/health", 200
    if plan.description.dask is not None:
        # The hub is healthy before its services have routes: until then it redirects; the service refuses.
        health, status = f"{plan.service_address}/api/v1/clusters/", 401
    parts.append(
        Part(
            "JupyterHub",
            [sys.executable, "-m", "jupyterhub", "-f", str(_HERE / "jupyterhub_config.py")],
            ours,
            logs / "hub.log",
            _answers("JupyterHub", health, logs / "hub.log", 120, status=status),
            stop_seconds=25,
        )
    )
    return parts


def local_store(plan: Plan) -> Store:
    """Return the object store of the plan."""
    return Store(
        port=plan.ports.store,
        access_key=plan.secrets.access_key,
        secret_key=plan.secrets.secret_key,
        folder=plan.layout.store,
    )


def _buckets_here(plan: Plan) -> list[str]:
    return sorted(
        {
            bucket.url.removeprefix("s3://").split("/")[0]
            for bucket in plan.description.buckets.values()
            if bucket.endpoint == plan.store_url
        }
    )


def _answers(
    name: str, url: str, log: Path, timeout_seconds: float = 60, status: int | None = None
) -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Return a function that waits until a URL answers: with a status if one is given, else with any."""

    async def wait(exited: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(timeout_seconds), aiohttp.ClientSession() as session:
                while not exited():
                    try:
                        async with session.get(url, allow_redirects=False) as response:
                            if status in (None, response.status):
                                return
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise PublicError(
                "part-slow", f"{name} was not ready within {timeout_seconds:.0f} seconds; its log: {log}"
            ) from None
        raise PublicError("part-ended", f"{name} ended while it started; its log: {log}")

    return wait
