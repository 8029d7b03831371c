"""What runs as pods in every Kubernetes cluster of ours: names of services, and volumes."""

from __future__ import annotations

import json
import secrets
import socket
import struct
from typing import Any

from .build import images
from .settings import Settings

Manifest = dict[str, Any]
_API = "kubernetes.default.svc.cluster.local"
_DNS, _VOLUMES = "kube-system", "local-path-storage"

_COREFILE = """\
.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
    cache 5
}
"""


def _object(api: str, kind: str, name: str, namespace: str | None = None, **rest: Any) -> Manifest:
    metadata = {"name": name, "labels": {"app": name}} | ({"namespace": namespace} if namespace else {})
    metadata |= rest.pop("metadata", {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _rule(group: str, resources: str, verbs: str) -> Manifest:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


def _account(name: str, namespace: str, rules: list[Manifest]) -> list[Manifest]:
    """Return a service account that may do something in every namespace."""
    rbac = "rbac.authorization.k8s.io"
    return [
        _object("v1", "ServiceAccount", name, namespace),
        _object(f"{rbac}/v1", "ClusterRole", name, rules=rules),
        _object(
            *(f"{rbac}/v1", "ClusterRoleBinding", name),
            roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        ),
    ]


def _deployment(name: str, namespace: str, container: Manifest) -> Manifest:
    pod = {
        "serviceAccountName": name,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "configuration", "configMap": {"name": name}}],
        "containers": [
            {
                "name": name,
                "image": images()[name],
                "imagePullPolicy": "Never",
                "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}},
                "volumeMounts": [{"name": "configuration", "mountPath": "/etc/configuration"}],
                **container,
            }
        ],
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name, "k8s-app": name}}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", name, namespace, spec=spec)


def _names(settings: Settings) -> list[Manifest]:
    """Return CoreDNS. It listens on port 53: policies see the port after the service's translation."""
    service = {
        "clusterIP": str(settings.dns_address),
        "selector": {"app": "coredns"},
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    }
    container = {
        "args": ["-conf", "/etc/configuration/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        },
    }
    pod = _deployment("coredns", _DNS, container)
    # NetworkPolicies of others (zero-to-jupyterhub's) look for this label.
    pod["spec"]["template"]["metadata"]["labels"]["k8s-app"] = "kube-dns"
    return [
        *_account(
            "coredns",
            _DNS,
            [
                _rule("", "services pods namespaces", "list watch"),
                _rule("discovery.k8s.io", "endpointslices", "list watch"),
            ],
        ),
        _object("v1", "ConfigMap", "coredns", _DNS, data={"Corefile": _COREFILE}),
        _object("v1", "Service", "kube-dns", _DNS, spec=service),
        pod,
    ]


def _volumes(settings: Settings) -> list[Manifest]:
    """Return local-path-provisioner: a volume is a folder of this machine."""
    name, helper = "local-path-provisioner", images()["busybox"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {"containers": [{"name": "helper-pod", "image": helper, "imagePullPolicy": "Never"}]},
    }
    paths = [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(settings.run / "volumes")]}]
    data = {
        "config.json": json.dumps({"nodePathMap": paths}),
        # Whoever the pod runs as may write: fsGroup is not applied to folders of the machine.
        "setup": '#!/bin/sh\nmkdir -p "$VOL_DIR" && chmod 0777 "$VOL_DIR"\n',
        "teardown": '#!/bin/sh\nrm -rf "$VOL_DIR"\n',
        "helperPod.yaml": json.dumps(pod),
    }
    container = {
        "args": [
            *("start", "--config", "/etc/configuration/config.json", "--configmap-name", name),
            *("--service-account-name", name, "--helper-image", helper),
        ],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/configuration/"},
        ],
    }
    return [
        _object("v1", "Namespace", _VOLUMES),
        *_account(
            name,
            _VOLUMES,
            [
                _rule("", "nodes persistentvolumeclaims configmaps pods/log", "get list watch"),
                _rule("", "pods", "get list watch create patch update delete"),
                _rule("", "persistentvolumes", "get list watch create patch update delete"),
                _rule("", "events", "create patch"),
                _rule("storage.k8s.io", "storageclasses", "get list watch"),
            ],
        ),
        _object("v1", "ConfigMap", name, _VOLUMES, data=data),
        _deployment(name, _VOLUMES, container),
        _object(
            *("storage.k8s.io/v1", "StorageClass", "local-path"),
            metadata={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            provisioner="rancher.io/local-path",
            volumeBindingMode="WaitForFirstConsumer",
            reclaimPolicy="Delete",
        ),
    ]


def manifests(settings: Settings) -> str:
    """Return all add-ons, as JSON."""
    items = [*_names(settings), *_volumes(settings)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def deployments() -> list[tuple[str, str]]:
    """Return namespace and name of what has to be available."""
    return [(_DNS, "coredns"), (_VOLUMES, "local-path-provisioner")]


def names_resolve(settings: Settings, timeout_seconds: float = 0.5) -> bool:
    """Whether CoreDNS knows the API server's service, asked as any pod asks."""
    number = secrets.randbits(16)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in _API.split("."))
    question = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout_seconds)
        try:
            asking.connect((str(settings.dns_address), 53))
            asking.send(question)
            answer = asking.recv(512)
        except OSError:
            return False
    echoed, flags, _, answers = struct.unpack(">4H", answer[:8])
    return bool(echoed == number and flags & 0xF == 0 and answers > 0)
