"""Dask clusters of people on the hub: what they run in their servers' pods, and the pods that come of it."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import DASK, ResearchHub

WORK = """
import json
from dask_gateway import Gateway
with Gateway() as gateway, gateway.new_cluster() as cluster:
    cluster.scale(2)
    with cluster.get_client() as client:
        client.wait_for_workers(2, timeout=120)
        total = sum(client.gather(client.map(lambda i: i * i, range(100))))
        print(json.dumps({"total": total, "name": cluster.name, "link": cluster.dashboard_link}))
"""
START = """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False)
    cluster.scale(2)
    with cluster.get_client() as client:
        client.wait_for_workers(2, timeout=120)
    print(json.dumps({"name": cluster.name, "link": cluster.dashboard_link}))
    cluster.close(shutdown=False)
"""
STOP = """
import json, sys
from dask_gateway import Gateway
with Gateway() as gateway:
    for cluster in gateway.list_clusters():
        gateway.stop_cluster(cluster.name)
    print(json.dumps("stopped"))
"""


def no_pods_left(hub: ResearchHub) -> None:
    hub.kubectl("wait", "--for=delete", "pod", "--all", "-n", DASK, "--timeout=90s")


def pods(kubectl: Kubectl, cluster: dict[str, Any]) -> list[dict[str, Any]]:
    name = cluster["name"].split(".")[-1]
    return kubectl.list("pods", DASK, f"gateway.dask.org/cluster={name}")
