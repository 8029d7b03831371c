"""The manifests that dask-gateway's chart makes of values: what ours touch, and its defaults."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.kubernetes.deployment.values import Values

Manifest = dict[str, Any]

RELEASE = "dask-gateway"
"""Release and full name: the chart does not repeat its own name where the release has it."""
API, CONTROLLER, TRAEFIK = f"api-{RELEASE}", f"controller-{RELEASE}", f"traefik-{RELEASE}"
_STRIP_CLUSTERS = f"clusters-prefix-{RELEASE}"
_CONFIGURATION = "/etc/dask-gateway/dask_gateway_config.py"
_EVERYTHING = ["*"]
_LOOK = ["get", "list", "watch"]

_CONTROLLER_RULES = [
    {
        "apiGroups": ["gateway.dask.org"],
        "resources": ["daskclusters", "daskclusters/status"],
        "verbs": _EVERYTHING,
    },
    {
        "apiGroups": ["traefik.io"],
        "resources": ["ingressroutes", "ingressroutetcps"],
        "verbs": ["get", "create", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": [*_LOOK, "create", "delete"]},
    {"apiGroups": [""], "resources": ["endpoints"], "verbs": _LOOK},
    {"apiGroups": [""], "resources": ["secrets", "services"], "verbs": ["create", "delete"]},
]
_TRAEFIK_RULES = [
    {"apiGroups": [""], "resources": ["services", "endpoints", "secrets", "nodes"], "verbs": _LOOK},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"], "verbs": _LOOK},
    {"apiGroups": ["traefik.io"], "resources": ["*"], "verbs": _LOOK},
]


def manifests(values: Values, namespace: str) -> list[Manifest]:
    """Return the objects of the release, in the order to make them in; its CRDs are there already."""
    api_account = values["rbac"]["gateway"]["serviceAccountName"]
    return [
        *_rights(CONTROLLER, namespace, "controller", _CONTROLLER_RULES),
        *_rights(TRAEFIK, namespace, "traefik", _TRAEFIK_RULES),
        _object("v1", "Secret", RELEASE, namespace, stringData={"token": _auth(values)["apiToken"]}),
        _configuration(API, namespace, _api_lines(values, namespace)),
        _configuration(CONTROLLER, namespace, _controller_lines(namespace)),
        _service(API, namespace, "gateway", {"name": "api", "port": 8000, "targetPort": 8000}),
        _service(
            TRAEFIK,
            namespace,
            "traefik",
            {"name": "web", "port": 80, "targetPort": 8000},
            {"name": "tcp", "port": values["traefik"]["service"]["ports"]["tcp"]["port"], "targetPort": 8786},
        ),
        _object(
            "traefik.io/v1alpha1",
            "Middleware",
            _STRIP_CLUSTERS,
            namespace,
            spec={"stripPrefixRegex": {"regex": ["/clusters/[a-zA-Z0-9.-]+"]}},
        ),
        _object(
            "traefik.io/v1alpha1",
            "IngressRoute",
            API,
            namespace,
            spec={
                "entryPoints": ["web"],
                "routes": [
                    {"match": "PathPrefix(`/`)", "kind": "Rule", "services": [{"name": API, "port": 8000}]}
                ],
            },
        ),
        _server(values, API, namespace, "gateway", api_account),
        _server(values, CONTROLLER, namespace, "controller", CONTROLLER, "kube-controller"),
        _traefik(values, namespace),
    ]


def _auth(values: Values) -> dict[str, Any]:
    auth: dict[str, Any] = values["gateway"]["auth"]["jupyterhub"]
    return auth


def _labels(component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "dask-gateway",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": component,
        "gateway.dask.org/instance": RELEASE,
    }


def _object(
    api: str, kind: str, name: str, namespace: str | None, component: str = "gateway", **rest: Any
) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "labels": _labels(component)}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata} | rest


def _rights(name: str, namespace: str, component: str, rules: list[Any]) -> list[Manifest]:
    group = "rbac.authorization.k8s.io"
    return [
        _object("v1", "ServiceAccount", name, namespace, component),
        _object(f"{group}/v1", "ClusterRole", name, None, component, rules=rules),
        _object(
            f"{group}/v1",
            "ClusterRoleBinding",
            name,
            None,
            component,
            roleRef={"apiGroup": group, "kind": "ClusterRole", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        ),
    ]


def _configuration(name: str, namespace: str, lines: str) -> Manifest:
    return _object("v1", "ConfigMap", name, namespace, data={"dask_gateway_config.py": lines})


def _api_lines(values: Values, namespace: str) -> str:
    backend = values["gateway"]["backend"]
    auth = _auth(values)
    cluster = {
        "namespace": backend.get("namespace"),
        "image_pull_policy": backend.get("image", {}).get("pullPolicy"),
    }
    return "\n".join(
        [
            'c.DaskGateway.log_level = "INFO"',
            'c.DaskGateway.address = ":8000"',
            f'c.KubeBackend.api_url = "http://{API}.{namespace}:8000/api"',
            'c.DaskGateway.backend_class = "dask_gateway_server.backends.kubernetes.KubeBackend"',
            f'c.KubeBackend.gateway_instance = "{RELEASE}"',
            *(f"c.KubeClusterConfig.{name} = {value!r}" for name, value in cluster.items() if value),
            'c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"',
            f'c.DaskGateway.JupyterHubAuthenticator.jupyterhub_api_url = "{auth["apiUrl"]}"',
            f'c.JupyterHubAuthenticator.jupyterhub_service_name = "{auth["jupyterhubServiceName"]}"',
            values["gateway"]["extraConfig"],
        ]
    )


def _controller_lines(namespace: str) -> str:
    return "\n".join(
        [
            'c.KubeController.address = ":8000"',
            f'c.KubeController.api_url = "http://{API}.{namespace}:8000/api"',
            f'c.KubeController.gateway_instance = "{RELEASE}"',
            'c.KubeController.proxy_prefix = "/"',
            f'c.KubeController.proxy_web_middlewares = [{{"name": "{_STRIP_CLUSTERS}"}}]',
            'c.KubeController.proxy_tcp_entrypoint = "tcp"',
            'c.KubeController.log_level = "INFO"',
            "c.KubeController.completed_cluster_max_age = 86400",
            "c.KubeController.completed_cluster_cleanup_period = 600",
        ]
    )


def _service(name: str, namespace: str, component: str, *ports: dict[str, Any]) -> Manifest:
    spec = {"selector": _labels(component), "ports": list(ports)}
    return _object("v1", "Service", name, namespace, component, spec=spec)


def _deployment(
    name: str, namespace: str, component: str, spec: dict[str, Any], configuration: str = ""
) -> Manifest:
    # What a pod reads when it starts is in its template, so that a change of it makes a new pod.
    annotations = {"checksum/configuration": hashlib.sha256(configuration.encode()).hexdigest()}
    template = {"metadata": {"labels": _labels(component), "annotations": annotations}, "spec": spec}
    return _object(
        "apps/v1",
        "Deployment",
        name,
        namespace,
        component,
        spec={"replicas": 1, "selector": {"matchLabels": _labels(component)}, "template": template},
    )


def _probe(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 2, "timeoutSeconds": 2}


def _server(
    values: Values, name: str, namespace: str, component: str, account: str, *arguments: str
) -> Manifest:
    image = values["gateway"]["image"]
    container = {
        "name": component,
        "image": f"{image['name']}:{image['tag']}",
        "args": ["dask-gateway-server", *arguments, "--config", _CONFIGURATION],
        "env": [
            {
                "name": "JUPYTERHUB_API_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": RELEASE, "key": "token"}},
            }
        ]
        if component == "gateway"
        else [],
        "ports": [{"containerPort": 8000, "name": "api"}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [{"mountPath": "/etc/dask-gateway/", "name": "configuration"}],
    }
    if component == "gateway":
        container["readinessProbe"] = _probe("/api/health", 8000)
    spec = {
        "serviceAccountName": account,
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": name}}],
    }
    lines = _api_lines(values, namespace) if component == "gateway" else _controller_lines(namespace)
    return _deployment(name, namespace, component, spec, lines + _auth(values)["apiToken"])


def _traefik(values: Values, namespace: str) -> Manifest:
    image = values["traefik"]["image"]
    container = {
        "name": "traefik",
        "image": f"{image['name']}:{image['tag']}",
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
        "args": [
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--ping=true",
            "--providers.kubernetescrd",
            f"--providers.kubernetescrd.labelselector=gateway.dask.org/instance={RELEASE}",
            "--providers.kubernetescrd.throttleduration=2",
            "--log.level=WARN",
            "--entryPoints.traefik.address=:9000",
            "--entryPoints.web.address=:8000",
            "--entryPoints.tcp.address=:8786",
        ],
        "ports": [
            {"name": name, "containerPort": port}
            for name, port in (("traefik", 9000), ("web", 8000), ("tcp", 8786))
        ],
        "readinessProbe": _probe("/ping", 9000),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    return _deployment(
        TRAEFIK, namespace, "traefik", {"serviceAccountName": TRAEFIK, "containers": [container]}
    )
