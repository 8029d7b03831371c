"""An S3 store inside the Kubernetes cluster that enforces policies: VersityGW and its IAM, for tests only."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]

NAME, PORT, IAM_PORT = "store", 9000, 9001
ACCESS_KEY, SECRET_KEY = "root-of-the-tests", "canary-only-for-the-tests-of-this-project"
_PRIVATE = "@iam"


def endpoint(namespace: str) -> str:
    """Return the store's address inside the Kubernetes cluster."""
    return f"http://{NAME}.{namespace}:{PORT}"


def iam_endpoint(namespace: str) -> str:
    """Return the address of its IAM inside the Kubernetes cluster."""
    return f"http://{NAME}.{namespace}:{IAM_PORT}"


def manifests(namespace: str, image: str) -> list[Manifest]:
    """Return the store: one pod, and nothing in it yet.

    Args:
        namespace: of the store.
        image: with versitygw on its PATH.
    """
    labels = {"app": NAME}

    def container(name: str, port: int, *arguments: str) -> Manifest:
        return {
            "name": name,
            "image": image,
            "args": ["versitygw", "--health", "/healthz", "-p", f":{port}", *arguments],
            "env": [
                {"name": "ROOT_ACCESS_KEY", "value": ACCESS_KEY},
                {"name": "ROOT_SECRET_KEY", "value": SECRET_KEY},
            ],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 1},
            "volumeMounts": [{"name": "data", "mountPath": f"/{name}", "subPath": name}],
            "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False},
        }

    template = {
        "metadata": {"labels": labels},
        "spec": {
            "securityContext": {"fsGroup": 1000},
            "containers": [
                container("iam", IAM_PORT, "iam", "--dir", "/iam", "--private-ports", _PRIVATE),
                container(
                    "data",
                    PORT,
                    *("--iam-standalone-endpoint", _PRIVATE, "--iam-cache-disable"),
                    *("posix", "/data"),
                ),
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }
    ports = [{"name": f"port-{port}", "port": port, "targetPort": port} for port in (PORT, IAM_PORT)]
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "namespace": namespace},
            "spec": {"selector": labels, "ports": ports},
        },
    ]
