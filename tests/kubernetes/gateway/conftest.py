"""dask-gateway's API server, with the rights that it has in a hub, its controller, and a hub of the tests."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scalablehub.description import load_description
from tests.dask.hub import TOKEN, Hub, a_hub
from tests.descriptions import written
from tests.kubernetes.cluster import Cluster, write_image
from tests.kubernetes.deployment import crds
from tests.kubernetes.kubectl import Kubectl
from tests.stack import call, free_port, until

IMAGE = "localhost/scalablehub-no-dask:test"
"""Is healthy where a scheduler would be, and does nothing; a worker's is the same."""
_GROUP = "rbac.authorization.k8s.io"
# What dask-gateway's chart writes, and our two lines.
_SERVER = """
c.DaskGateway.log_level = "DEBUG"
c.DaskGateway.address = "127.0.0.1:{port}"
c.KubeBackend.api_url = "http://127.0.0.1:{port}/api"
c.DaskGateway.backend_class = "dask_gateway_server.backends.kubernetes.KubeBackend"
c.KubeBackend.gateway_instance = "{instance}"
c.KubeClusterConfig.namespace = "{namespace}"
c.KubeClusterConfig.image_pull_policy = "IfNotPresent"
c.KubeClusterConfig.update({{"scheduler_cores": 0.01, "scheduler_memory": "32 M"}})
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
c.DaskGateway.JupyterHubAuthenticator.jupyterhub_api_url = "{hub}"
c.ScalableKubeBackend.update(
    {{"hopeless_timeout": 3, "create_timeout": 15, "start_timeout": 30, "start_check_period": 0.5}}
)
from scalablehub.dask.gateway import configure
configure(c)
"""
_CONTROLLER = """
c.KubeController.address = "127.0.0.1:{controller}"
c.KubeController.api_url = "http://127.0.0.1:{port}/api"
c.KubeController.gateway_instance = "{instance}"
c.KubeController.proxy_prefix = "/"
c.KubeController.proxy_web_middlewares = []
c.KubeController.backoff_max_delay = 1
"""


def description(**sections: Any) -> dict[str, Any]:
    """Return a description for one small node, with an image that is not there and a pool without nodes."""
    raw = {
        "nodes": {
            "standard": {"cores": 2, "memory": "4G"},
            "nowhere": {"cores": 2, "memory": "4G", "selector": {"example.org/pool": "nowhere"}},
        },
        "sizes": {
            "small": {"order": 1, "node": "standard", "cores": 0.01, "memory": "16M"},
            "elsewhere": {"order": 2, "node": "nowhere", "cores": 0.01, "memory": "16M"},
        },
        "images": {
            "base": {"order": 1, "image": IMAGE},
            "absent": {"order": 2, "image": "localhost/not-there:1"},
        },
        "buckets": {},
        "labels": {"cost-center": "geophysics"},
        "dask": {"gateway_url": "http://gateway", "max_workers": 2, "max_clusters": 3, "idle_timeout": 0},
    }
    return written(**raw | sections)


@dataclass
class Gateway:
    """The parts that run, and how to ask them."""

    url: str
    namespace: str
    hub: Hub
    kubectl: Kubectl
    log: Path

    def describes(self, **sections: Any) -> str:
        """Have the hub describe something else; return its hash."""
        return self.hub.describes(load_description(description(**sections)))

    def ask(self, method: str, path: str, user: str | None = "alice", body: Any = None) -> tuple[int, Any]:
        """Send a request to the API as a user."""
        headers = {}
        if user is not None:
            self.hub.has_user(token := f"token-{len(user)}-{user.encode().hex()[:64]}", user)
            headers["Authorization"] = f"jupyterhub {token}"
        raw = None if body is None else json.dumps(body).encode()
        return call(method, f"{self.url}/api/{path}", raw, **headers)

    def start(self, user: str = "alice", **options: Any) -> str:
        status, answer = self.ask("POST", "v1/clusters/", user, {"cluster_options": options})
        assert status == 201, answer
        return str(answer["name"])

    def wait(self, name: str, user: str = "alice") -> tuple[int, Any]:
        """Wait as dask-gateway's client does until a cluster runs or will not."""

        def settled() -> tuple[int, Any] | None:
            status, answer = self.ask("GET", f"v1/clusters/{name}?wait", user)
            return None if status == 200 and answer["status"] == "PENDING" else (status, answer)

        return until(settled, f"cluster {name} settles", 120)

    def pods(self, name: str, component: str) -> list[dict[str, Any]]:
        _, _, cluster = name.partition(".")
        selector = f"gateway.dask.org/cluster={cluster},app.kubernetes.io/component={component}"
        return self.kubectl.list("pods", self.namespace, selector)

    def scheduler(self, name: str) -> dict[str, Any]:
        (pod,) = until(lambda: self.pods(name, "dask-scheduler"), f"the scheduler of {name}", 60)
        return pod

    def beat(self, name: str, count: Any) -> int:
        """Say, as a scheduler does, how many workers there should be."""
        _, _, cluster = name.partition(".")
        secret = self.kubectl.get("secret", f"dask-credentials-{cluster}", self.namespace)
        assert secret is not None
        token = base64.b64decode(secret["data"]["api-token"]).decode()
        beat = {"count": count, "active_workers": [], "closing_workers": [], "closed_workers": []}
        url = f"{self.url}/api/v1/clusters/{name}/heartbeat"
        return call("POST", url, json.dumps(beat).encode(), Authorization=f"token {token}")[0]

    def stop_all(self) -> None:
        """Stop and forget every cluster."""
        self.kubectl("delete", "daskclusters", "--all", "-n", self.namespace, "--wait=false")
        self.kubectl(
            "delete", "pods", "--all", "-n", self.namespace, "--grace-period=0", "--force", check=False
        )
        self.kubectl("delete", "resourcequotas", "--all", "-n", self.namespace)
        until(lambda: not self.kubectl.list("daskclusters", self.namespace), "no cluster is left", 60)
        for user in {token["name"] for token in self.hub.tokens.values()}:
            until(lambda user=user: self.ask("GET", "v1/clusters/", user)[1] == {}, "none is known", 60)


class HubThread:
    """The hub of the tests, in a thread of its own."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Hub:
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._stack.enter_async_context(a_hub()), self._loop).result(
            30
        )

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def _rights(instance: str, namespace: str) -> list[dict[str, Any]]:
    """Return what the gateway's service account may do in a hub, and no more."""
    subject = {"kind": "ServiceAccount", "name": "gateway", "namespace": namespace}

    def bound(kind: str, name: str, place: dict[str, str], rules: list[Any]) -> list[dict[str, Any]]:
        role = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": kind,
            "metadata": {"name": name, **place},
            "rules": rules,
        }
        binding = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": name, **place},
            "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": name},
            "subjects": [subject],
        }
        return [role, binding]

    everywhere = {
        "apiGroups": ["gateway.dask.org"],
        "resources": ["daskclusters"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    }
    here = {"apiGroups": [""], "resources": ["secrets", "pods"], "verbs": ["get", "list", "watch", "delete"]}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "gateway", "namespace": namespace},
        },
        *bound("ClusterRole", instance, {}, [everywhere]),
        *bound("Role", "gateway", {"namespace": namespace}, [here]),
    ]


def _kubeconfig_of_gateway(kubectl: Kubectl, namespace: str, admins: Path, path: Path) -> Path:
    text = kubectl("config", "view", "--raw", "--minify", "-o", "json", "--kubeconfig", str(admins))
    config: dict[str, Any] = json.loads(text)
    token = kubectl("create", "token", "gateway", "-n", namespace).strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster.kubectl, cluster.kubeconfig)


@pytest.fixture(scope="session")
def _image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Load an image that answers as a healthy scheduler, whatever its arguments are."""
    folder = tmp_path_factory.mktemp("image")
    script = folder / "start"
    script.write_text("#!/bin/sh\nexec /bin/busybox httpd -f -p 8788 -h /www\n")
    script.chmod(0o755)
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    files: dict[str, Path | bytes] = {
        "/bin/busybox": busybox,
        "/bin/sh": busybox,
        "/start": script,
        "/www/api/health": b"{}",
    }
    write_image(folder / "image.tar", IMAGE, files, {"Entrypoint": ["/start"], "User": "65532"})
    cluster.load_image(folder / "image.tar", IMAGE)


@pytest.fixture(scope="session")
def running_gateway(
    cluster: Cluster, kubectl: Kubectl, _image: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    instance = f"gateway-{secrets.token_hex(4)}"
    kubectl.apply(crds.manifests())
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": instance, "labels": restricted},
    }
    thread = HubThread()
    hub = thread.start()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        kubectl.apply([namespace, *_rights(instance, instance)])
        values = {"port": free_port(), "controller": free_port(), "instance": instance}
        values |= {"namespace": instance, "hub": hub.url}
        hub.describes(load_description(description()))
        config = _kubeconfig_of_gateway(kubectl, instance, cluster.kubeconfig, folder / "kubeconfig")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "DASK_"))}
        environment |= {"JUPYTERHUB_API_TOKEN": TOKEN, "PYTHONPATH": str(Path(__file__).parents[3])}
        with (folder / "log").open("wb") as log:
            for text, kubeconfig, arguments in (
                (_SERVER, config, []),
                (_CONTROLLER, cluster.kubeconfig, ["kube-controller"]),
            ):
                file = folder / f"config{len(processes)}.py"
                file.write_text(text.format(**values))
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "dask_gateway_server", *arguments, "--config", str(file)],
                        cwd=folder,
                        env=environment | {"KUBECONFIG": str(kubeconfig)},
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
        url = f"http://127.0.0.1:{values['port']}"

        def answers() -> bool:
            words = (folder / "log").read_text()[-6000:]
            assert all(process.poll() is None for process in processes), words
            try:
                return call("GET", f"{url}/api/health")[0] == 200
            except OSError:
                return False

        until(answers, f"dask-gateway answers, see {folder / 'log'}", 60)
        yield Gateway(url, instance, hub, kubectl, folder / "log")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        thread.stop()
        kubectl("delete", "daskclusters", "--all", "-n", instance, "--wait=false", check=False)
        kubectl("delete", "namespace", instance, "--wait=false", check=False)
        for kind in ("clusterrole", "clusterrolebinding"):
            kubectl("delete", kind, instance, check=False)


@pytest.fixture
def gateway(running_gateway: Gateway) -> Iterator[Gateway]:
    """dask-gateway without clusters, with the description that every test begins with."""
    running_gateway.describes()
    yield running_gateway
    running_gateway.hub.broken = None
    running_gateway.stop_all()
