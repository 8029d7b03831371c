"""The custom resources of dask-gateway and traefik: their names, without schemas."""

from __future__ import annotations

from typing import Any

_TRAEFIK_KINDS = (
    "IngressRoute",
    "IngressRouteTCP",
    "IngressRouteUDP",
    "Middleware",
    "MiddlewareTCP",
    "ServersTransport",
    "ServersTransportTCP",
    "TLSOption",
    "TLSStore",
    "TraefikService",
)


def manifests() -> list[dict[str, Any]]:
    """Return the definitions that both charts' objects need."""
    traefik = [_definition("traefik.io", kind) for kind in _TRAEFIK_KINDS]
    return [_definition("gateway.dask.org", "DaskCluster", has_status=True), *traefik]


def _definition(group: str, kind: str, *, has_status: bool = False) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    version: dict[str, Any] = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    if has_status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }
