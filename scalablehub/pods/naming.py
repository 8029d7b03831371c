"""Whose a pod is and what was chosen for it: labels to select and to count costs by, annotations to read.

Names of people reach Kubernetes only through KubeSpawner's own `safe_slug`, so that a label value is the same
on a server and on the Dask pods that belong to it; the name as it is goes into an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping

from kubespawner.slugs import is_valid_label, safe_slug

USERNAME = "hub.jupyter.org/username"
"""KubeSpawner's own label and annotation for a user's name."""
SERVERNAME = "hub.jupyter.org/servername"
"""KubeSpawner's own label and annotation for a server's name; empty for the default server."""
SERVER_OF_CLUSTER = "scalablehub/server"
"""Annotation of a DaskCluster with the server that it was started from; empty for the default server."""
_PREFIX = "scalablehub"


def user_labels(user: str, server: str = "") -> dict[str, str]:
    """Return the labels that KubeSpawner gives the user's server, of at most 63 characters each.

    Args:
        user: the hub's name for them, whatever is in it.
        server: name of a named server.
    """
    return {
        name: safe_slug(value, is_valid=_is_label) for name, value in ((USERNAME, user), (SERVERNAME, server))
    }


def user_annotations(user: str, server: str = "") -> dict[str, str]:
    """Return the annotations with the names as they are."""
    annotations = {USERNAME: user}
    return annotations | {SERVERNAME: server} if server else annotations


def choice_labels(labels: Mapping[str, str], **chosen: str) -> dict[str, str]:
    """Return the description's own labels, and one for each thing that was chosen.

    Args:
        labels: the description's, for every pod.
        chosen: kind to name in the description, such as ``size="small"``, ``node_pool="standard"``.
    """
    return dict(labels) | {
        f"{_PREFIX}/{kind.replace('_', '-')}": name for kind, name in chosen.items() if name
    }


def _is_label(value: str) -> bool:
    """Return whether Kubernetes takes the value; KubeSpawner's own check lets a long s pass for an s."""
    return value.isascii() and bool(is_valid_label(value))
