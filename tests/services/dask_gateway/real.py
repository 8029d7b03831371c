"""A real JupyterHub with the service, and a real dask-gateway with real schedulers behind it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalablehub.local.proxy import proxy_command

PREFIX = "/services/dask-gateway/"
HUB_CONFIG = """
import sys
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.command = {proxy}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_api}"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root"}}
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.load_groups = {{"dask": {{"users": ["alice", "bob"]}}}}
c.JupyterHub.services = [
    {{
        "name": "dask-gateway",
        "url": "http://127.0.0.1:{service}",
        "command": [sys.executable, "-m", "scalablehub.services.dask_gateway"],
        "environment": {{
            "SCALABLEHUB_GATEWAY_URL": "http://localhost:{gateway}",
            "SCALABLEHUB_LOOPBACK_ONLY": "1",
            "PYTHONPATH": "{root}",
        }},
        "oauth_no_confirm": True,
    }},
    {{"name": "tests", "api_token": "{admin}"}},
]
c.JupyterHub.load_roles = [
    {{"name": "dask-users", "scopes": ["access:services!service=dask-gateway"], "groups": ["dask"]}},
    {{"name": "tests", "scopes": ["admin:users", "admin:groups", "tokens"], "services": ["tests"]}},
]
"""
GATEWAY_CONFIG = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.JupyterHubAuthenticator"
c.DaskGateway.address = "127.0.0.1:{private}"
c.Proxy.address = "127.0.0.1:{gateway}"
c.Proxy.tcp_address = "127.0.0.1:{tcp}"
c.JupyterHubAuthenticator.jupyterhub_api_url = "http://127.0.0.1:{hub}/hub/api"
c.JupyterHubAuthenticator.jupyterhub_api_token = "never-used"
c.JupyterHubAuthenticator.jupyterhub_service_name = "dask-gateway"
c.ClusterConfig.scheduler_cmd = ["{bin}/dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["{bin}/dask", "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "512M"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
"""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass
class Stack:
    port: int
    hub: int
    tcp: int
    service: int
    admin: str
    folder: Path

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}{PREFIX.rstrip('/')}"

    def hub_api(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.hub}/hub/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.admin}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def token(self, name: str) -> dict[str, str]:
        return self.hub_api("POST", f"/users/{name}/tokens", {"note": "test"})

    def run_client(self, token: str, code: str) -> str:
        """Run `code` with a Gateway named `gateway`, as in a notebook, and return what it printed.

        In a process of its own: dask-gateway's client does not always end when it is collected.
        """
        start = f"from dask_gateway import Gateway, JupyterHubAuth\nauth = JupyterHubAuth({token!r})\n"
        make = f"Gateway({self.address!r}, proxy_address='gateway://127.0.0.1:{self.tcp}', auth=auth)"
        body = "".join(f"    {line}\n" for line in code.splitlines())
        done = subprocess.run(
            [sys.executable, "-c", f"{start}with {make} as gateway:\n{body}"],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=self.folder,
        )
        return done.stdout + done.stderr


def wait_until_answering(
    url: str | urllib.request.Request, processes: list[subprocess.Popen[bytes]], log: Path
) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            assert all(p.poll() is None for p in processes), log.read_text()[-5000:]
            assert time.monotonic() < end, log.read_text()[-5000:]
            time.sleep(0.1)  # other processes' starts send us no event


@contextlib.contextmanager
def running(folder: Path, domain: str = "") -> Iterator[Stack]:
    """Run both in the folder; with a domain, users and services have domains of their own below it."""
    more = 'c.JupyterHub.subdomain_host = "http://{domain}:{port}"\n' if domain else ""
    names = ["port", "hub", "proxy_api", "service", "gateway", "private", "tcp"]
    values: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    admin = "admin-token-of-the-tests"
    values.update(
        proxy=proxy_command(folder, print),
        admin=admin,
        root=os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
        folder=folder,
        domain=domain,
        bin=Path(sys.executable).parent,
    )
    (folder / "hub.py").write_text((HUB_CONFIG + more).format(**values))
    (folder / "gateway.py").write_text(GATEWAY_CONFIG.format(**values))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "DASK_"))}
    environ["PATH"] = f"{values['bin']}{os.pathsep}{environ.get('PATH', '')}"
    log = folder / "log"
    with log.open("wb") as output:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", module, "-f", f"{name}.py"],
                cwd=folder,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for module, name in (("jupyterhub", "hub"), ("dask_gateway_server", "gateway"))
        ]
        try:
            wait_until_answering(f"http://127.0.0.1:{values['gateway']}/api/health", processes, log)
            host = f"dask-gateway--service.{domain}" if domain else "127.0.0.1"
            health = f"http://127.0.0.1:{values['port']}{PREFIX}healthz"
            asked = urllib.request.Request(health, headers={"Host": f"{host}:{values['port']}"})
            wait_until_answering(asked, processes, log)
            stack = Stack(values["port"], values["hub"], values["tcp"], values["service"], admin, folder)
            stack.hub_api("POST", "/users/carol")
            yield stack
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(10)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
