"""The hub on Kubernetes against what it is made of: plain KubeSpawner, and dask-gateway without us in front.

Both are one deployment on one Kubernetes cluster with the same images, switched by values between the rounds:
`ScalableHub.enabled: false` gives plain KubeSpawner, and stock settings dask-gateway's own backend, which the
client then reaches through traefik.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalablehub.dask.cures import client_environment, scheduler_options, worker_options
from scalablehub.pods import CONTAINER_SECURITY_CONTEXT, POD_SECURITY_CONTEXT
from tests.bench.measuring import Row, added, at_most, ratio
from tests.bench.whole import time_click
from tests.kubernetes.cluster import up
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import DASK, GATEWAY, HUB, Person, ResearchHub, load_images
from tests.stack import until

OURS, BARE = "scalablehub", "bare"
_AIM = at_most(0.5, " s")

_STOCK_GATEWAY = """
c.JupyterHubAuthenticator.use_service_access_scopes = False
c.KubeClusterConfig.image = {image!r}
c.KubeClusterConfig.scheduler_cmd = ["dask", "scheduler", *{scheduler!r}]
c.KubeClusterConfig.worker_cmd = ["dask", "worker", *{worker!r}]
c.KubeClusterConfig.worker_memory = {memory}
c.KubeClusterConfig.worker_cores = {cores}
c.KubeClusterConfig.scheduler_cores = 0.1
c.KubeClusterConfig.worker_cores_limit = c.KubeClusterConfig.scheduler_cores_limit = 2
c.KubeClusterConfig.scheduler_extra_pod_config = c.KubeClusterConfig.worker_extra_pod_config = {{
    "securityContext": {{
        "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {{"type": "RuntimeDefault"}}
    }}
}}
c.KubeClusterConfig.scheduler_extra_container_config = c.KubeClusterConfig.worker_extra_container_config = {{
    "securityContext": {{"allowPrivilegeEscalation": False, "capabilities": {{"drop": ["ALL"]}}}}
}}
"""
# What the namespace asks of pods, and plain KubeSpawner does not do by itself.
_ADMITTED = {
    "pod_security_context": POD_SECURITY_CONTEXT,
    "container_security_context": CONTAINER_SECURITY_CONTEXT,
}
# A client without the hub's service has to reach traefik, which the shipped policies forbid.
_TRAEFIK = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": GATEWAY}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/component": "traefik"}},
}
_WAY_TO_TRAEFIK = [
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "bench", "namespace": HUB},
        "spec": {
            "podSelector": {"matchLabels": {"component": "singleuser-server"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [_TRAEFIK]}],
        },
    },
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "bench", "namespace": GATEWAY},
        "spec": {
            "podSelector": _TRAEFIK["podSelector"],
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"namespaceSelector": {}}]}],
        },
    },
]
# Both sides run this; imports are not counted, and neither is the goodbye.
_CLUSTER = """
import json, os, sys, time
os.environ.update(json.loads(sys.argv[1]))
from dask_gateway import Gateway

with Gateway() as gateway:
    start = time.perf_counter()
    with gateway.new_cluster() as cluster:
        cluster.scale(1)
        with cluster.get_client() as client:
            assert client.submit(sum, [1, 2, 3]).result(timeout=90) == 6
            print(json.dumps(time.perf_counter() - start))
"""


# Fifty workers have to fit on the node beside all else.
_CROWD, _CORES, _MEMORY = 50, 0.01, 350 * 2**20
_ROOM = {
    "sizes": {"crowd": {"node": "standard", "cores": _CORES, "memory": f"{_MEMORY >> 20}M"}},
    "dask": {"max_workers": _CROWD},
}
_SCALE = """
import json, os, sys, time
os.environ.update(json.loads(sys.argv[1]))
count, options = int(sys.argv[2]), json.loads(sys.argv[3])
from dask_gateway import Gateway

with Gateway() as gateway, gateway.new_cluster(**options) as cluster, cluster.get_client() as client:
    start = time.perf_counter()
    cluster.scale(count)
    client.wait_for_workers(count, timeout=400)
    there = time.perf_counter()
    cluster.scale(0)
    while client.scheduler_info()["workers"]:
        time.sleep(0.1)
    print(json.dumps([there - start, time.perf_counter() - there]))
"""


def measure_kubernetes(folder: Path, rounds: int) -> list[Row]:
    """Compare both, round by round; the first round is not counted, except when it is the only one."""
    with _installed(folder) as hub:
        return _measure_rounds(hub, rounds)


def measure_workers(folder: Path, rounds: int) -> list[Row]:
    """Compare how long fifty workers take to come and to go; a server of each side is there already."""
    seconds: dict[str, dict[str, list[float]]] = {way: {OURS: [], BARE: []} for way in ("come", "go")}
    with _installed(folder) as hub:
        for _ in range(rounds):
            for side in (BARE, OURS):
                with _deployed(hub, bare=side == BARE, cores=_CORES, memory=_MEMORY) as person:
                    person.start_server({"size": "small"} if side == OURS else {})
                    options = {"worker_size": "crowd"} if side == OURS else {}
                    arguments = (json.dumps(_way(bare=side == BARE)), str(_CROWD), json.dumps(options))
                    come, go = person.run_python(_SCALE, *arguments, timeout_seconds=500)
                    _until_none_is_left(hub)
                seconds["come"][side].append(come)
                seconds["go"][side].append(go)
    aim = at_most(1.05)
    return [
        ratio(f"Kubernetes: scale 0 → {_CROWD} workers", "s", seconds["come"], (OURS, BARE), aim),
        ratio(f"Kubernetes: scale {_CROWD} → 0 workers", "s", seconds["go"], (OURS, BARE), aim),
    ]


@contextmanager
def _installed(folder: Path) -> Iterator[ResearchHub]:
    cluster = up()
    hub = ResearchHub(Kubectl(cluster.kubectl, cluster.kubeconfig), load_images(cluster, folder))
    hub.install()
    hub.kubectl.apply(_WAY_TO_TRAEFIK)
    try:
        yield hub
    finally:
        hub.kubectl.delete(_WAY_TO_TRAEFIK)


def _measure_rounds(hub: ResearchHub, rounds: int) -> list[Row]:
    clicks: dict[str, list[float]] = {OURS: [], BARE: []}
    busy: dict[str, list[float]] = {OURS: [], BARE: []}
    results: dict[str, list[float]] = {OURS: [], BARE: []}
    for count in [False, *[True] * rounds] if rounds > 1 else [True]:
        for side in (BARE, OURS):
            click, cpu, result = _measure(hub, bare=side == BARE)
            if count:
                clicks[side].append(click)
                busy[side].append(cpu * 1000)
                results[side].append(result)
    return [
        *_rows("Kubernetes: click → lab's page", clicks),
        added("Kubernetes: the hub's CPU meanwhile", "ms", busy, (OURS, BARE)),
        *_rows("Kubernetes: new_cluster() → first result", results),
    ]


def _rows(what: str, values: dict[str, list[float]]) -> list[Row]:
    return [ratio(what, "s", values, (OURS, BARE)), added(what, "s", values, (OURS, BARE), _AIM)]


def _measure(hub: ResearchHub, *, bare: bool) -> tuple[float, float, float]:
    """Return seconds from click to lab, the hub's CPU of it, and `new_cluster()` to the first result."""
    with _deployed(hub, bare=bare) as person:
        before = _cpu_seconds(hub)
        click = time_click(hub.url, person.name, person.token)
        return click, _cpu_seconds(hub) - before, _first_result(person, bare=bare)


@contextmanager
def _deployed(hub: ResearchHub, *, bare: bool, cores: float = 0.1, memory: int = 2**30) -> Iterator[Person]:
    """Have hub and gateway anew, as one side has them, and somebody who is signed in.

    The size of workers is that of the bare side; ours has a size for each.
    """
    name, _, tag = hub.images.user.rpartition(":")
    hub.changes = (
        {
            "hub": {"config": {"ScalableHub": {"enabled": False}, "KubeSpawner": _ADMITTED}},
            "singleuser": {"image": {"name": name, "tag": tag}},
        }
        if bare
        else {"hub": {"config": {"ScalableHub": _ROOM}}}
    )
    hub.gateway_changes = (
        {
            "gateway": {
                "extraConfig": _STOCK_GATEWAY.format(
                    image=hub.images.user,
                    scheduler=scheduler_options(),
                    worker=worker_options(),
                    cores=cores,
                    memory=memory,
                )
            }
        }
        if bare
        else {}
    )
    hub.upgrade_hub()
    hub.upgrade_gateway()
    person = hub.sign_in("alice")
    try:
        yield person
    finally:
        person.stop_server()


def _cpu_seconds(hub: ResearchHub) -> float:
    """Return the CPU time of the hub so far, which the container's init process does not have."""
    command = "for it in /proc/[0-9]*; do tr '\\0' ' ' < $it/cmdline; echo; cat $it/stat; done 2>/dev/null"
    lines = hub.kubectl("exec", "deployment/hub", "-n", HUB, "--", "sh", "-c", command).splitlines()
    of_hub = [
        stat.rpartition(")")[2].split()[11:13]
        for program, stat in zip(lines[::2], lines[1::2], strict=False)
        if program.split()[1:2] and program.split()[1].endswith("/jupyterhub")
    ]
    ((user, system),) = of_hub
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _first_result(person: Person, *, bare: bool) -> float:
    seconds: float = person.run_python(_CLUSTER, json.dumps(_way(bare=bare)))
    _until_none_is_left(person.hub)
    return seconds


def _way(*, bare: bool) -> dict[str, str]:
    """Return the environment of a client, beside what the hub gives it."""
    if not bare:
        return {}
    traefik = f"traefik-dask-gateway.{GATEWAY}"
    return {
        "DASK_GATEWAY__ADDRESS": f"http://{traefik}",
        "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{traefik}:8786",
        "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
        # Without the cure of TLS streams the bare one would not work in this image.
        **client_environment(),
    }


def _until_none_is_left(hub: ResearchHub) -> None:
    until(lambda: not hub.kubectl.list("pods", DASK), "the cluster's pods end", 180)
