"""Dask clusters of people on the hub: what they run in their servers' pods, and the pods that come of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import DASK, HUB, Person, ResearchHub
from tests.stack import Lines

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
WORKING = """
import json
from dask_gateway import Gateway
with Gateway() as gateway:
    (report,) = gateway.list_clusters()
    with gateway.connect(report.name) as cluster, cluster.get_client() as client:
        results = client.map(lambda i: i + 1, range(50), pure=False)
        print(json.dumps(sum(client.gather(results))))
"""
WORKING_ON = """
import sys, threading
from dask_gateway import Gateway
with Gateway() as gateway:
    (report,) = gateway.list_clusters()
    with gateway.connect(report.name) as cluster, cluster.get_client() as client:
        told = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
        done = 0
        while not told.is_set():
            done = client.submit(lambda i: i + 1, done, pure=False).result(timeout=20)
            if done == 1:
                print("begun", flush=True)
        print("results:", done, flush=True)
"""


class Work:
    """Work on somebody's one cluster that began before something happens, and goes on until it is ended."""

    def __init__(self, process: subprocess.Popen[bytes], lines: Lines) -> None:
        self._process, self._lines = process, lines

    def end(self) -> int:
        """End it, and return how many results it had; fail with its own words if one did not come."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        match = self._lines.wait_for(r"^results: (\d+)", 60)
        assert match, "\n".join(self._lines.lines)
        return int(match[1])


@contextmanager
def work(person: Person) -> Iterator[Work]:
    """Begin work in somebody's server, one result after the other."""
    name = person.pod()["metadata"]["name"]
    process = person.hub.kubectl.start("exec", "-i", name, "-n", HUB, "--", "python3", "-c", WORKING_ON)
    lines = Lines(process)
    try:
        assert lines.wait_for("^begun", 60), "\n".join(lines.lines)
        yield Work(process, lines)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            lines.close()


def computes(person: Person) -> bool:
    """Return whether somebody's one cluster computes, asked by a client that is new each time."""
    name = person.pod()["metadata"]["name"]
    try:
        text = person.hub.kubectl(
            *("exec", "-i", name, "-n", HUB, "--", "timeout", "40", "python3", "-"),
            given=WORKING,
            timeout_seconds=60,
        )
    except (AssertionError, subprocess.TimeoutExpired):
        return False
    return bool(json.loads(text.strip().splitlines()[-1]) == 1275)


def no_pods_left(hub: ResearchHub) -> None:
    hub.kubectl("wait", "--for=delete", "pod", "--all", "-n", DASK, "--timeout=90s")


def pods(kubectl: Kubectl, cluster: dict[str, Any]) -> list[dict[str, Any]]:
    name = cluster["name"].split(".")[-1]
    return kubectl.list("pods", DASK, f"gateway.dask.org/cluster={name}")


def uids(found: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in found}
