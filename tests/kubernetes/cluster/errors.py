"""What goes wrong, in one sentence for a person."""

from __future__ import annotations


class ClusterError(Exception):
    """The Kubernetes cluster cannot do what it was asked; the message names the part and its log."""


class Unsupported(ClusterError):
    """This machine cannot run the Kubernetes cluster."""


class Elsewhere(Unsupported):
    """The cluster of KUBECONFIG is not ours, and cannot be used like that."""
