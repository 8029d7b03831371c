"""What a pod has so that its processes can ask for keys: a token of its own, and the forwarder beside them.

Servers, schedulers and workers get the same. The token is Kubernetes' own, bound to the pod, for our audience
alone; the kubelet renews it. The forwarder is a container that starts before the others and ends after them
(Kubernetes 1.29 or newer).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scalablehub.description import Credentials
from scalablehub.pods.security import CONTAINER_SECURITY_CONTEXT
from scalablehub.storage.access import Asking
from scalablehub.storage.credentials import AUDIENCE

FORWARDER = "scalablehub-credentials"
"""Name of the container; of what it takes nothing counts for its user."""
_FOLDER, _FILE = "/var/run/secrets/scalablehub", "token"
_TOKEN_SECONDS = 3600
_MEMORY = "64Mi"


@dataclass(frozen=True)
class AskingPod:
    """Parts of a pod, in Kubernetes' words.

    Attributes:
        volume: of the pod.
        mount: of each container whose processes ask.
        container: the forwarder, one of the pod's ``initContainers``.
    """

    volume: dict[str, Any]
    mount: dict[str, Any]
    container: dict[str, Any]


def asking_in_pod(credentials: Credentials) -> Asking:
    """Return where processes of a pod ask."""
    host = f"127.0.0.1:{credentials.port}"
    return Asking(f"http://{host}", Path(_FOLDER) / _FILE, f"{host}/gce")


def asking_pod(credentials: Credentials, image: str, user_id: int | None = None) -> AskingPod:
    """Return what a pod needs whose processes ask.

    Args:
        credentials: of the hub's description; `address` is set.
        image: with Python 3.8 or newer as ``python3``, such as that of the server or worker itself, which
            is on the node already.
        user_id: that it runs as; None is the image's.
    """
    mount = {"name": FORWARDER, "mountPath": _FOLDER, "readOnly": True}
    token = {"audience": AUDIENCE, "expirationSeconds": _TOKEN_SECONDS, "path": _FILE}
    container: dict[str, Any] = {
        "name": FORWARDER,
        "image": image,
        "restartPolicy": "Always",
        "command": ["python3", "-I", "-c"],
        "args": [_source(), str(credentials.port), str(credentials.address), f"{_FOLDER}/{_FILE}"],
        "volumeMounts": [mount],
        # Nothing is promised to it, so that a server of a whole node still fits there.
        "resources": {"requests": {"cpu": "0", "memory": "0"}, "limits": {"memory": _MEMORY}},
        "securityContext": CONTAINER_SECURITY_CONTEXT | ({} if user_id is None else {"runAsUser": user_id}),
    }
    volume = {"name": FORWARDER, "projected": {"sources": [{"serviceAccountToken": token}]}}
    return AskingPod(volume, mount, container)


@cache
def _source() -> str:
    """Return the forwarder's text; Kubernetes reads ``$$`` as an escaped ``$``."""
    return Path(__file__).with_name("forwarder.py").read_text().replace("$", "$$")
