"""An S3 store inside the Kubernetes cluster: rclone's, as in the hub on one machine, for tests only."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]

NAME, PORT = "store", 9000
ACCESS_KEY, SECRET_KEY = "hub-of-the-tests", "only-for-the-tests-of-this-project"


def endpoint(namespace: str) -> str:
    """Return the store's address inside the Kubernetes cluster."""
    return f"http://{NAME}.{namespace}:{PORT}"


def manifests(namespace: str, image: str) -> list[Manifest]:
    """Return the store: one pod with the image's own rclone, and nothing in it yet.

    Args:
        namespace: of the store.
        image: with rclone on its PATH.
    """
    labels = {"app": NAME}
    container = {
        "name": NAME,
        "image": image,
        "args": [
            "rclone",
            "serve",
            "s3",
            "/data",
            f"--addr=:{PORT}",
            "--config=",
            "--dir-cache-time=1s",
            "--poll-interval=0",
            "--etag-hash=xxh3",
        ],
        "env": [{"name": "RCLONE_AUTH_KEY", "value": f'"{ACCESS_KEY},{SECRET_KEY}"'}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False},
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]},
    }
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
            "spec": {"selector": labels, "ports": [{"port": PORT, "targetPort": PORT}]},
        },
    ]
