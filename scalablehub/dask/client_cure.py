"""scalablehub's cure of a deadlock of dask-gateway's client.

A Gateway or GatewayCluster that nobody holds closes itself, and waits for its event loop meanwhile. Where
Python collects it on that loop's own thread, which may be whenever something is allocated there, the loop
waits for itself for ever, and with it every Client and cluster of the process. Another thread may wait.
Dask is handed this file as text: it stands alone, and has no braces or dollar signs that somebody may expand.
"""

import asyncio
import sys
import threading
from typing import Any

MARK = "scalablehub_waits_elsewhere"


def _wait_elsewhere(kind: type) -> None:
    close_at_the_end = kind.__dict__.get("__del__")
    if close_at_the_end is None or hasattr(close_at_the_end, MARK):
        return

    def collected(self: Any) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            close_at_the_end(self)
        else:
            threading.Thread(target=close_at_the_end, args=(self,), daemon=True).start()

    setattr(collected, MARK, True)
    kind.__del__ = collected  # type: ignore[attr-defined]


# Whoever has a cluster has imported it.
_client = sys.modules.get("dask_gateway.client")
for _name in ("Gateway", "GatewayCluster"):
    if hasattr(_client, _name):
        _wait_elsewhere(getattr(_client, _name))
