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
            container["securityContext"] = _filled(
                container.get("securityContext"), CONTAINER_SECURITY_CONTEXT
            )
    return restricted


def weaknesses(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield each thing for which the restricted standard would refuse the pod, as ``spec.… is …``."""
    spec = pod.get("spec", {})
    context = spec.get("securityContext") or {}
    for name in _HOST_NAMESPACES:
        if spec.get(name):
            yield f"spec.{name} is true"
    for volume in spec.get("volumes") or ():
        for kind in volume.keys() - _VOLUMES - {"name"}:
            yield f"spec.volumes[{volume.get('name')}] is a {kind}"
    yield from _context_weaknesses("spec.securityContext", context)
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            place = f"spec.{kind}[{container.get('name')}]"
            own = container.get("securityContext") or {}
            yield from _context_weaknesses(f"{place}.securityContext", own)
            yield from _container_weaknesses(f"{place}.securityContext", own)
            if any(port.get("hostPort") for port in container.get("ports") or ()):
                yield f"{place}.ports has a hostPort"
            if (own.get("runAsNonRoot", context.get("runAsNonRoot"))) is not True:
                yield f"{place} may run as root"
            if not (own.get("seccompProfile") or context.get("seccompProfile")):
                yield f"{place} has no seccompProfile"


def _context_weaknesses(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{place}.runAsUser is 0"
    if context.get("runAsNonRoot") is False:
        yield f"{place}.runAsNonRoot is false"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"{place}.seccompProfile is Unconfined"
    if context.get("sysctls"):
        yield f"{place}.sysctls are set"


def _container_weaknesses(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{place}.privileged is true"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{place}.allowPrivilegeEscalation is not false"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{place}.capabilities does not drop ALL"
    if added := set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"{place}.capabilities adds {', '.join(sorted(added))}"
    if context.get("procMount", "Default") != "Default":
        yield f"{place}.procMount is {context['procMount']}"


def _filled(present: Mapping[str, Any] | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is present with the defaults in its gaps, at every depth."""
    filled = {name: value for name, value in (present or {}).items() if value is not None}
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(filled.get(name), Mapping):
            filled[name] = _filled(filled[name], value)
        else:
            filled.setdefault(name, deepcopy(value))
    return filled
