"""Where a Kubernetes cluster keeps its files, and which names and addresses are its own."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from .errors import ClusterError

DEFAULT_NAME = "scalablehub"


def cache_dir() -> Path:
    """Return the folder of everything that can be made again."""
    if chosen := os.environ.get("SCALABLEHUB_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scalablehub"


@dataclass(frozen=True)
class Settings:
    """One Kubernetes cluster of this machine. Clusters of different names do not touch each other."""

    name: str
    """Of the node, the network namespace and the cgroup."""
    index: int
    """From 0 to 255: which addresses are the cluster's."""
    cache: Path

    @classmethod
    def of_environment(cls) -> Settings:
        """Return what SCALABLEHUB_CLUSTER and SCALABLEHUB_CLUSTER_INDEX say, or the default cluster."""
        name = os.environ.get("SCALABLEHUB_CLUSTER") or DEFAULT_NAME
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name):
            raise ClusterError(
                f"SCALABLEHUB_CLUSTER is {name!r}; write up to 40 small letters, digits and inner dashes."
            )
        if chosen := os.environ.get("SCALABLEHUB_CLUSTER_INDEX"):
            if not chosen.isdecimal() or int(chosen) > 255:
                raise ClusterError(f"SCALABLEHUB_CLUSTER_INDEX is {chosen!r}; write a number from 0 to 255.")
            index = int(chosen)
        elif name == DEFAULT_NAME:
            index = 0
        else:
            index = 1 + hashlib.sha256(name.encode()).digest()[0] % 255
        return cls(name, index, cache_dir() / "kubernetes")

    @cached_property
    def run(self) -> Path:
        """State, logs and keys; removed by `down --wipe`."""
        return self.cache / "run" / self.name

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.run / "logs"

    @property
    def pids(self) -> Path:
        """One file for each part that was started."""
        return self.run / "pids"

    @property
    def keys(self) -> Path:
        """The certificate authority, and what it signed."""
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self.run / "kubeconfig"

    @property
    def sockets(self) -> Path:
        """A short path that is empty after a restart of the machine."""
        return Path("/run/scalablehub-kubernetes") / self.name

    @property
    def containerd_socket(self) -> Path:
        """Where `ctr` and kubelet talk to our own containerd."""
        return self.sockets / "containerd.sock"

    @property
    def gate_socket(self) -> Path:
        """Where new pods are announced to the agent of the network policies."""
        return self.sockets / "policies.sock"

    @property
    def namespace(self) -> Path:
        """The network namespace that the whole cluster is in."""
        return Path("/run/netns") / self.name

    @property
    def cgroup(self) -> str:
        """The parts and the pods are below it, in every hierarchy."""
        return f"kubernetes-{self.name}"

    @property
    def host_link(self) -> str:
        """The machine's end of the cable to the node; a link's name has at most 15 characters."""
        return f"shk{self.index}h"

    @property
    def node_link(self) -> str:
        """The node's end of the cable."""
        return f"shk{self.index}n"

    @property
    def link_network(self) -> IPv4Network:
        """Of the cable."""
        return IPv4Network((int(IPv4Address("10.250.0.0")) + (self.index << 8), 30))

    @property
    def host_address(self) -> IPv4Address:
        """Where pods reach what listens on the machine."""
        return self.link_network[1]

    @property
    def node_address(self) -> IPv4Address:
        """Of the API server and of kubelet."""
        return self.link_network[2]

    @property
    def pod_network(self) -> IPv4Network:
        """Addresses of the pods."""
        return IPv4Network((int(IPv4Address("10.246.0.0")) + (self.index << 8), 24))

    @property
    def service_network(self) -> IPv4Network:
        """Addresses of the services."""
        if self.index == 0:
            return IPv4Network("10.97.0.0/16")
        return IPv4Network((int(IPv4Address("10.98.0.0")) + (self.index << 8), 24))

    @property
    def bridge_address(self) -> IPv4Address:
        """The node, as its pods see it."""
        return self.pod_network[1]

    @property
    def api_service_address(self) -> IPv4Address:
        """Of the service `kubernetes`."""
        return self.service_network[1]

    @property
    def dns_address(self) -> IPv4Address:
        """Of the service `kube-dns`."""
        return self.service_network[10]

    @property
    def server(self) -> str:
        """URL of the API server, as this machine reaches it."""
        return f"https://{self.node_address}:6443"
