"""A real Kubernetes of one node on a bare Debian machine, built from Go modules, without Docker."""

from .cluster import Cluster, OwnCluster, down, up
from .errors import ClusterError, Unsupported
from .images import write_image

__all__ = ["Cluster", "ClusterError", "OwnCluster", "Unsupported", "down", "up", "write_image"]
