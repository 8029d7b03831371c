"""The manifests that zero-to-jupyterhub's chart makes of values: what ours touch, and its defaults."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.kubernetes.deployment.values import Values

Manifest = dict[str, Any]

_HERE = Path(__file__).parent
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_METADATA = "169.254.169.254/32"
_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def manifests(values: Values, namespace: str, proxy_token: str) -> list[Manifest]:
    """Return the objects of the release, in the order to make them in."""
    return [
        *_hub_rights(namespace),
        _hub_claim(namespace),
        _hub_secret(values, namespace, proxy_token),
        _hub_settings(namespace),
        _service("hub", namespace, "hub", [_port("hub", 8081, "http"), *_extra_ports(values)]),
        _service("proxy-api", namespace, "proxy", [_port("api", 8001, "api")]),
        _service("proxy-public", namespace, "proxy", [_port("http", 80, "http")]),
        *_network_policies(values, namespace),
        _proxy(values, namespace, proxy_token),
        _hub(values, namespace),
    ]


def _labels(component: str) -> dict[str, str]:
    return {
        "app": "jupyterhub",
        "release": "hub",
        "component": component,
        "app.kubernetes.io/name": "jupyterhub",
        "app.kubernetes.io/instance": "hub",
        "app.kubernetes.io/component": component,
    }


def _selector(component: str) -> dict[str, str]:
    return {"app": "jupyterhub", "release": "hub", "component": component}


def _object(api: str, kind: str, name: str, namespace: str, **rest: Any) -> Manifest:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": _labels(name)},
    } | rest


def _hub_rights(namespace: str) -> list[Manifest]:
    """What the chart grants the hub, and no more."""
    everything = ["get", "watch", "list", "create", "delete"]
    rules = [
        {
            "apiGroups": [""],
            "resources": ["pods", "persistentvolumeclaims", "secrets", "services"],
            "verbs": everything,
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "watch", "list"]},
    ]
    return [
        _object("v1", "ServiceAccount", "hub", namespace),
        _object("rbac.authorization.k8s.io/v1", "Role", "hub", namespace, rules=rules),
        _object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "hub",
            namespace,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"},
            subjects=[{"kind": "ServiceAccount", "name": "hub", "namespace": namespace}],
        ),
    ]


def _hub_claim(namespace: str) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return _object("v1", "PersistentVolumeClaim", "hub-db-dir", namespace, spec=spec)


def _hub_secret(values: Values, namespace: str, proxy_token: str) -> Manifest:
    data = {"values.json": json.dumps(values, sort_keys=True), "proxy-token": proxy_token}
    for name, service in values["hub"].get("services", {}).items():
        data[f"hub.services.{name}.apiToken"] = service["apiToken"]
    return _object("v1", "Secret", "hub", namespace, stringData=data)


def _hub_settings(namespace: str) -> Manifest:
    data = {"jupyterhub_config.py": (_HERE / "hub_config.py").read_text()}
    return _object("v1", "ConfigMap", "hub", namespace, data=data)


def _port(name: str, port: int, target: int | str) -> dict[str, Any]:
    return {"name": name, "port": port, "targetPort": target}


def _extra_ports(values: Values) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = values["hub"].get("service", {}).get("extraPorts", [])
    return ports


def _service(name: str, namespace: str, component: str, ports: list[dict[str, Any]]) -> Manifest:
    spec = {"selector": _selector(component), "ports": ports}
    return _object("v1", "Service", name, namespace, spec=spec)


def _network_policies(values: Values, namespace: str) -> list[Manifest]:
    def may(access: str, *ports: int | str) -> dict[str, Any]:
        label = {f"hub.jupyter.org/network-access-{access}": "true"}
        return {
            "from": [{"podSelector": {"matchLabels": label}}],
            "ports": [{"port": port} for port in ports],
        }

    def component(name: str, port: int) -> dict[str, Any]:
        return {
            "to": [{"podSelector": {"matchLabels": _selector(name)}}],
            "ports": [{"port": port, "protocol": "TCP"}],
        }

    anywhere: dict[str, Any] = {}
    name_server = {
        "to": [{"ipBlock": {"cidr": cidr}} for cidr in (_METADATA, *_PRIVATE)],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }
    internet = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [*_PRIVATE, _METADATA]}}]}

    def policy(name: str, ingress: list[Any], egress: list[Any], selected: str = "") -> Manifest:
        spec = {
            "podSelector": {"matchLabels": _selector(selected or name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        }
        return _object("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=spec)

    def added(section: str, direction: str) -> list[Any]:
        rules: list[Any] = values.get(section, {}).get("networkPolicy", {}).get(direction, [])
        return rules

    from_proxy = values["proxy"]["chp"].get("networkPolicy", {}).get("egress", [])
    servers = policy(
        "singleuser",
        [may("singleuser", "notebook-port"), *added("singleuser", "ingress")],
        [
            component("hub", 8081),
            component("proxy", 8000),
            name_server,
            internet,
            *added("singleuser", "egress"),
        ],
    )
    # The release is not a label of servers.
    servers["spec"]["podSelector"]["matchLabels"] = {"app": "jupyterhub", "component": "singleuser-server"}
    return [
        policy("hub", [may("hub", "http"), *added("hub", "ingress")], [anywhere, *added("hub", "egress")]),
        # Who comes from outside comes to the public port, whatever it is.
        policy("proxy", [{"ports": [{"port": "http"}]}, may("proxy-api", "api")], [anywhere, *from_proxy]),
        servers,
    ]


def _proxy(values: Values, namespace: str, token: str) -> Manifest:
    image = values["proxy"]["chp"]["image"]
    container = {
        "name": "chp",
        "image": f"{image['name']}:{image['tag']}",
        "command": [
            "configurable-http-proxy",
            "--ip=",
            "--api-ip=",
            "--api-port=8001",
            "--default-target=http://hub:8081",
            "--error-target=http://hub:8081/hub/error",
            "--port=8000",
        ],
        "env": [_from_secret("CONFIGPROXY_AUTH_TOKEN", "proxy-token")],
        "ports": [{"name": "http", "containerPort": 8000}, {"name": "api", "containerPort": 8001}],
        "readinessProbe": {"httpGet": {"path": "/_chp_healthz", "port": "http"}, "periodSeconds": 2},
        "securityContext": _LOCKED_DOWN | {"runAsUser": 65534, "runAsGroup": 65534},
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    access = {
        "hub.jupyter.org/network-access-hub": "true",
        "hub.jupyter.org/network-access-singleuser": "true",
    }
    annotations = {"checksum/auth-token": _checksum(token)}
    return _deployment("proxy", namespace, access, {"containers": [container]}, annotations)


def _hub(values: Values, namespace: str) -> Manifest:
    image = values["hub"]["image"]
    base = values["hub"].get("baseUrl", "/").rstrip("/")
    probe = {
        "httpGet": {"path": f"{base}/hub/health", "port": "http"},
        "periodSeconds": 2,
        "timeoutSeconds": 1,
    }
    container = {
        "name": "hub",
        "image": f"{image['name']}:{image['tag']}",
        "args": ["jupyterhub", "--config", "/usr/local/etc/jupyterhub/jupyterhub_config.py", "--upgrade-db"],
        "env": [
            {"name": "PYTHONUNBUFFERED", "value": "1"},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            _from_secret("CONFIGPROXY_AUTH_TOKEN", "proxy-token"),
        ],
        "ports": [{"name": "http", "containerPort": 8081}],
        "readinessProbe": probe,
        "securityContext": _LOCKED_DOWN | {"runAsUser": 1000, "runAsGroup": 1000},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        "volumeMounts": [
            {
                "name": "config",
                "mountPath": "/usr/local/etc/jupyterhub/jupyterhub_config.py",
                "subPath": "jupyterhub_config.py",
            },
            {"name": "values", "mountPath": "/etc/jupyterhub/values"},
            {"name": "db", "mountPath": "/srv/jupyterhub"},
        ],
    }
    spec = {
        "serviceAccountName": "hub",
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": "hub"}},
            {"name": "values", "secret": {"secretName": "hub"}},
            {"name": "db", "persistentVolumeClaim": {"claimName": "hub-db-dir"}},
        ],
    }
    access = {
        f"hub.jupyter.org/network-access-{to}": "true" for to in ("proxy-api", "proxy-http", "singleuser")
    }
    annotations = {"checksum/values": _checksum(json.dumps(values, sort_keys=True))}
    return _deployment("hub", namespace, access, spec, annotations)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _from_secret(name: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "hub", "key": key}}}


def _deployment(
    name: str,
    namespace: str,
    labels: dict[str, str],
    spec: dict[str, Any],
    annotations: dict[str, str] | None = None,
) -> Manifest:
    template = {
        "metadata": {"labels": _labels(name) | labels, "annotations": annotations or {}},
        "spec": {"enableServiceLinks": True, "automountServiceAccountToken": name == "hub"} | spec,
    }
    return _object(
        "apps/v1",
        "Deployment",
        name,
        namespace,
        spec={
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _selector(name)},
            "template": template,
        },
    )
