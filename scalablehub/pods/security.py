"""The restricted Pod Security Standard: what a pod gets to be admitted under it, and what would break it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

POD_SECURITY_CONTEXT: dict[str, Any] = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY_CONTEXT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_CONTAINERS = ("initContainers", "containers")
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES = frozenset({"", "container_engine_t", "container_init_t", "container_kvm_t", "container_t"})
_PROFILES = frozenset({"Localhost", "RuntimeDefault"})
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")
_HANDLERS = ("httpGet", "tcpSocket")


def restrict(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod with every right withheld that it does not ask for; what it asks for stays.

    Args:
        pod: a pod's manifest, or a pod template: a mapping with ``spec``.
    """
    restricted: dict[str, Any] = deepcopy(dict(pod))
    spec = restricted.setdefault("spec", {})
    spec["securityContext"] = _filled(spec.get("securityContext"), POD_SECURITY_CONTEXT)
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            own = _filled(container.get("securityContext"), CONTAINER_SECURITY_CONTEXT)
            if "ALL" not in (dropped := own["capabilities"].get("drop") or ()):
                own["capabilities"]["drop"] = [*dropped, "ALL"]
            container["securityContext"] = own
    return restricted


def weaknesses(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield each thing for which the restricted standard would refuse the pod, as ``spec.… is …``."""
    spec = pod.get("spec") or {}
    context = spec.get("securityContext") or {}
    for name in _HOST_NAMESPACES:
        if spec.get(name):
            yield f"spec.{name} is true"
    for volume in spec.get("volumes") or ():
        for kind in sorted(volume.keys() - _VOLUMES - {"name"}):
            if volume[kind] is not None:
                yield f"spec.volumes[{volume.get('name')}] is a {kind}"
    yield from _context_weaknesses("spec.securityContext", context)
    for sysctl in context.get("sysctls") or ():
        if sysctl.get("name") not in _SYSCTLS:
            yield f"spec.securityContext.sysctls sets {sysctl.get('name')}"
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            yield from _container_weaknesses(f"spec.{kind}[{container.get('name')}]", container, context)


def _context_weaknesses(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{place}.runAsUser is 0"
    if context.get("runAsNonRoot") is False:
        yield f"{place}.runAsNonRoot is false"
    for name in ("seccompProfile", "appArmorProfile"):
        profile = context.get(name)
        if profile and profile.get("type") not in _PROFILES:
            yield f"{place}.{name} is {profile.get('type')}"
    labels = context.get("seLinuxOptions") or {}
    if (labels.get("type") or "") not in _SELINUX_TYPES:
        yield f"{place}.seLinuxOptions.type is {labels['type']}"
    for name in ("user", "role"):
        if labels.get(name):
            yield f"{place}.seLinuxOptions.{name} is set"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{place}.windowsOptions.hostProcess is true"


def _container_weaknesses(
    place: str, container: Mapping[str, Any], of_pod: Mapping[str, Any]
) -> Iterator[str]:
    context = container.get("securityContext") or {}
    yield from _context_weaknesses(f"{place}.securityContext", context)
    yield from _right_weaknesses(f"{place}.securityContext", context)
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield f"{place}.ports has a hostPort"
    if _asks_other_hosts(container):
        yield f"{place} asks another host in a probe or hook"
    if context.get("runAsNonRoot") is None and of_pod.get("runAsNonRoot") is not True:
        yield f"{place} may run as root"
    if not (context.get("seccompProfile") or of_pod.get("seccompProfile")):
        yield f"{place} has no seccompProfile"


def _right_weaknesses(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{place}.privileged is true"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{place}.allowPrivilegeEscalation is not false"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{place}.capabilities does not drop ALL"
    if added := set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"{place}.capabilities adds {', '.join(sorted(added))}"
    if (context.get("procMount") or "Default") != "Default":
        yield f"{place}.procMount is {context['procMount']}"


def _asks_other_hosts(container: Mapping[str, Any]) -> bool:
    lifecycle = container.get("lifecycle") or {}
    askers = [*(container.get(name) for name in _PROBES), *(lifecycle.get(name) for name in _HOOKS)]
    hosts = [(asker.get(name) or {}).get("host") for asker in askers if asker for name in _HANDLERS]
    return any(hosts)


def _filled(present: Mapping[str, Any] | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is present with the defaults in its gaps, at every depth."""
    filled = {name: value for name, value in (present or {}).items() if value is not None}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(filled.get(name), Mapping):
            filled[name] = _filled(filled[name], value)
        else:
            filled.setdefault(name, deepcopy(value))
    return filled
