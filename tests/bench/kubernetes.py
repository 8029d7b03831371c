"""The hub on Kubernetes against what it is made of: plain KubeSpawner, and dask-gateway without us in front.

Both are one deployment on one Kubernetes cluster with the same images, switched by values between the rounds:
`ScalableHub.enabled: false` gives plain KubeSpawner, and stock settings dask-gateway's own backend, which the
client then reaches through traefik.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

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
c.KubeClusterConfig.worker_memory = "1G"
c.KubeClusterConfig.worker_cores = c.KubeClusterConfig.scheduler_cores = 0.1
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


def measure_kubernetes(folder: Path, rounds: int) -> list[Row]:
    """Compare both, round by round; the first round is not counted, except when it is the only one."""
    cluster = up()
    hub = ResearchHub(Kubectl(cluster.kubectl, cluster.kubeconfig), load_images(cluster, folder))
    hub.install()
    hub.kubectl.apply(_WAY_TO_TRAEFIK)
    try:
        return _measure_rounds(hub, rounds)
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
    name, _, tag = hub.images.user.rpartition(":")
    hub.changes = (
        {
            "hub": {"config": {"ScalableHub": {"enabled": False}, "KubeSpawner": _ADMITTED}},
            "singleuser": {"image": {"name": name, "tag": tag}},
        }
        if bare
        else {}
    )
    hub.gateway_changes = (
        {
            "gateway": {
                "extraConfig": _STOCK_GATEWAY.format(
                    image=hub.images.user, scheduler=scheduler_options(), worker=worker_options()
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
        before = _cpu_seconds(hub)
        click = time_click(hub.url, person.name, person.token)
        return click, _cpu_seconds(hub) - before, _first_result(person, bare=bare)
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
    traefik = f"traefik-dask-gateway.{GATEWAY}"
    environment: dict[str, Any] = (
        {
            "DASK_GATEWAY__ADDRESS": f"http://{traefik}",
            "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://{traefik}:8786",
            "DASK_GATEWAY__AUTH__TYPE": "jupyterhub",
            # Without the cure of TLS streams the bare one would not work in this image.
            **client_environment(),
        }
        if bare
        else {}
    )
    seconds: float = person.run_python(_CLUSTER, json.dumps(environment))
    until(lambda: not person.hub.kubectl.list("pods", DASK), "the cluster's pods end", 90)
    return seconds
