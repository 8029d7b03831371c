"""A real Kubernetes of one node on a bare Debian machine, built from Go modules, without Docker."""

from .cluster import Cluster, OwnCluster, Reach, down, up
from .errors import ClusterError, Elsewhere, Unsupported
from .images import write_image

__all__ = [
    "Cluster",
    "ClusterError",
    "Elsewhere",
    "OwnCluster",
    "Reach",
    "Unsupported",
    "down",
    "up",
    "write_image",
]
