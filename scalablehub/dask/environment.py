"""The environment that makes ``dask_gateway.Gateway()`` work without arguments.

Dask reads its configuration from variables that begin with ``DASK_``:
https://docs.dask.org/en/stable/configuration.html
"""

from __future__ import annotations

import json

from scalablehub.dask.cures import client_environment
from scalablehub.decisions import DaskChoice


def dask_environment(
    dask: DaskChoice,
    *,
    address: str,
    scheduler_address: str,
    public_address: str,
    image: str = "",
    server_path: str = "",
) -> dict[str, str]:
    """Return the variables for a user's server; none if they have no clusters or there is no address.

    Args:
        dask: what the user may have.
        address: of the hub's dask-gateway service, as servers reach it.
        scheduler_address: ``gateway://host:port`` of the schedulers' proxy.
        public_address: of the service as browsers reach it, for dashboard links.
        image: name of the server's image in the description, which clusters then have by default.
        server_path: of the server's address, such as ``/user/alice/``.
    """
    if not dask.is_open or not address:
        return {}
    environment = {
        "DASK_GATEWAY__ADDRESS": address,
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        # What the Dask panel's button for a new cluster starts.
        "DASK_LABEXTENSION__FACTORY__MODULE": "dask_gateway",
        "DASK_LABEXTENSION__FACTORY__CLASS": "GatewayCluster",
        **client_environment(),
    }
    if scheduler_address:
        environment["DASK_GATEWAY__PROXY_ADDRESS"] = scheduler_address
    if public_address:
        environment["DASK_GATEWAY__PUBLIC_ADDRESS"] = public_address
    if public_address.startswith("http") and server_path:
        # The panel shows dashboards at addresses that look like those of a server's own proxy; the service
        # leads from there to where they are.
        panel_address = f"{public_address.rstrip('/')}/of{server_path}proxy"
        environment["DASK_LABEXTENSION__FACTORY__KWARGS__PUBLIC_ADDRESS"] = panel_address
    if image:
        # Dask reads values as Python where it can: in quotes, an image named '2026' or 'true' stays a text.
        environment["DASK_GATEWAY__CLUSTER__OPTIONS__IMAGE"] = json.dumps(image)
    return environment
