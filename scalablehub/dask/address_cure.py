"""scalablehub's cure of clients that are given nothing but the address of a cluster of dask-gateway.

JupyterLab's Dask panel writes such a client into a notebook, `Client("gateway://...")`, and dask-gateway's
connector refuses it for the lack of the cluster's keys. Whoever owns the cluster may have them from the
gateway, so they are asked for there.
Dask is handed this file as text: it stands alone, and has no braces or dollar signs that somebody may expand.
"""

import importlib
import sys
from typing import Any

from distributed.comm import registry

MARK = "scalablehub_brings_keys"


def _bring_keys(connector: type) -> None:
    connect = connector.__dict__.get("connect")
    if connect is None or hasattr(connect, MARK):
        return
    keys: dict[str, Any] = dict()  # noqa: C408

    async def connect_with_keys(self: Any, address: str, deserialize: bool = True, **arguments: Any) -> Any:
        if arguments.get("ssl_context") is None:
            if address not in keys:
                async with sys.modules["dask_gateway"].Gateway(asynchronous=True) as gateway:
                    cluster = await gateway.get_cluster(address.rpartition("/")[2])
                keys[address] = cluster.security.get_connection_args("client")
            arguments.update(keys[address])
        return await connect(self, address, deserialize=deserialize, **arguments)

    setattr(connect_with_keys, MARK, True)
    connector.connect = connect_with_keys  # type: ignore[attr-defined]


def _look_out() -> None:
    get_backend = registry.get_backend
    if hasattr(get_backend, MARK):
        return

    def get_backend_with_keys(scheme: str) -> Any:
        if scheme != "gateway":
            return get_backend(scheme)
        # Only now, as it takes a while, and most clients are of other clusters. It brings the backend.
        importlib.import_module("dask_gateway")
        backend = get_backend(scheme)
        _bring_keys(type(backend.get_connector()))  # type: ignore[no-untyped-call]
        return backend

    setattr(get_backend_with_keys, MARK, True)
    registry.get_backend = get_backend_with_keys


_look_out()
