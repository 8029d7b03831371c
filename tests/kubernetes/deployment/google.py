"""Google's place inside the Kubernetes cluster: a store, and before it a gate, an STS and an account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.google_cloud import stand_in

Manifest = dict[str, Any]

NAME, GATE, STS, ACCOUNT = "google", 8080, 8081, 8082
_STORE = 4443
_PROGRAM = Path(stand_in.__file__)


def endpoint(namespace: str, port: int = GATE) -> str:
    """Return where the store is reached inside the Kubernetes cluster, or another of the servers."""
    return f"http://{NAME}.{namespace}:{port}"


def environment(namespace: str) -> list[dict[str, str]]:
    """Return the variables with which the service finds its account, as it would on Google's nodes."""
    host = f"{NAME}.{namespace}:{ACCOUNT}"
    names = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")
    return [{"name": name, "value": host} for name in names]


def manifests(namespace: str, store_image: str, python_image: str, seconds: int) -> list[Manifest]:
    """Return it: one pod, with one bucket.

    Args:
        namespace: of the pod.
        store_image: with fake-gcs-server on its PATH.
        python_image: with Python and aiohttp.
        seconds: that tokens live.
    """
    labels = {"app": NAME}
    security = {"runAsUser": 1000, "allowPrivilegeEscalation": False}
    variables = {
        "STORE": f"http://127.0.0.1:{_STORE}",
        "HOST": "0.0.0.0",
        "PORTS": f"{GATE},{STS},{ACCOUNT}",
        "SECONDS": str(seconds),
    }
    containers = [
        {
            "name": "store",
            "image": store_image,
            "args": [
                *("fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", str(_STORE)),
                *("-backend", "memory", "-log-level", "error"),
            ],
            "securityContext": security,
        },
        {
            "name": "stand-in",
            "image": python_image,
            "command": ["python3", f"/program/{_PROGRAM.name}"],
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "readinessProbe": {"tcpSocket": {"port": ACCOUNT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "program", "mountPath": "/program"}],
            "securityContext": security,
        },
    ]
    pod = {"containers": containers, "volumes": [{"name": "program", "configMap": {"name": NAME}}]}
    ports = [{"name": f"port-{port}", "port": port, "targetPort": port} for port in (GATE, STS, ACCOUNT)]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": namespace},
            "data": {_PROGRAM.name: _PROGRAM.read_text()},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {"selector": labels, "ports": ports},
        },
    ]
