"""The network namespace that a whole Kubernetes cluster lives in, and the cable to it.

Nothing of the cluster reaches the machine's own network: rules for packets, addresses that listen, links.
There is no way from the namespace to the internet, so what pods must not reach fails at once.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .errors import ClusterError
from .packages import PATH
from .settings import Settings

PLUGINS = Path("/usr/lib/cni")


def _ip(*arguments: object, namespace: str | None = None, check: bool = True) -> str:
    inside = ["-n", namespace] if namespace else []
    command = ["ip", *inside, *map(str, arguments)]
    run = subprocess.run(command, env={"PATH": PATH}, capture_output=True, text=True, check=False)
    if check and run.returncode:
        raise ClusterError(f"The network could not be made: '{' '.join(command)}' says: {run.stderr.strip()}")
    return run.stdout


def enter(settings: Settings, *command: str) -> list[str]:
    """Return the command that runs inside the namespace. (`ip netns exec` would hide the cgroups.)"""
    return ["/usr/bin/nsenter", f"--net={settings.namespace}", "--", *command]


def up(settings: Settings) -> None:
    """Make the namespace, the cable, the bridge of the pods and the machine's routes."""
    name = settings.name
    if not settings.namespace.exists():
        _ip("netns", "add", name)
    _ip("link", "set", "lo", "up", namespace=name)
    if not Path("/sys/class/net", settings.host_link).exists():
        _ip("link", "add", settings.host_link, "type", "veth", "peer", settings.node_link, "netns", name)
    length = settings.link_network.prefixlen
    _ip("addr", "replace", f"{settings.host_address}/{length}", "dev", settings.host_link)
    _ip("link", "set", settings.host_link, "up")
    _ip("addr", "replace", f"{settings.node_address}/{length}", "dev", settings.node_link, namespace=name)
    _ip("link", "set", settings.node_link, "up", namespace=name)
    if not _ip("link", "show", "cni0", namespace=name, check=False):
        _ip("link", "add", "cni0", "type", "bridge", namespace=name)
    _ip(
        *("addr", "replace", f"{settings.bridge_address}/{settings.pod_network.prefixlen}", "dev", "cni0"),
        namespace=name,
    )
    _ip("link", "set", "cni0", "up", namespace=name)
    subprocess.run(
        enter(settings, *("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")),
        env={"PATH": PATH},
        check=True,
    )
    for network in (settings.pod_network, settings.service_network):
        _ip("route", "replace", network, "via", settings.node_address)


def down(settings: Settings) -> None:
    """Remove the namespace and the cable; routes go with the cable."""
    _ip("link", "del", settings.host_link, check=False)
    if settings.namespace.exists():
        _ip("netns", "del", settings.name)


def write_plugins(settings: Settings, gate: Path) -> None:
    """Write how containerd connects a pod: bridge, ports, and the gate of the network policies."""
    programs = settings.run / "cni" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    targets = {name: PLUGINS / name for name in ("bridge", "host-local", "loopback", "portmap")}
    for program, target in (targets | {"gate": gate}).items():
        link = programs / program
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    addresses = {
        "type": "host-local",
        "dataDir": str(settings.run / "cni" / "addresses"),
        "ranges": [[{"subnet": str(settings.pod_network), "rangeStart": str(settings.pod_network[10])}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    (settings.run / "cni" / "conf").mkdir(exist_ok=True)
    (settings.run / "cni" / "conf" / "10-pods.conflist").write_text(
        json.dumps(
            {
                "cniVersion": "1.0.0",
                "name": "pods",
                "plugins": [
                    bridge,
                    {"type": "portmap", "capabilities": {"portMappings": True}},
                    {"type": "gate", "socket": str(settings.gate_socket)},
                ],
            },
            indent=2,
        )
    )
