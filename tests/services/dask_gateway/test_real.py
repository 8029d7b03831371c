"""The service as a hub starts it, between a real JupyterHub and a real dask-gateway with real schedulers."""

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

import aiohttp
import pytest
from yarl import URL

from scalablehub.local.proxy import proxy_command

PREFIX = "/services/dask-gateway/"
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(240),
]

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


def wait_until_answering(url: str, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            assert all(p.poll() is None for p in processes), log.read_text()[-5000:]
            assert time.monotonic() < end, log.read_text()[-5000:]
            time.sleep(0.1)  # other processes' starts send us no event


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    names = ["port", "hub", "proxy_api", "service", "gateway", "private", "tcp"]
    values: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    admin = "admin-token-of-the-tests"
    values.update(
        proxy=proxy_command(folder, print),
        admin=admin,
        root=os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
        folder=folder,
        bin=Path(sys.executable).parent,
    )
    (folder / "hub.py").write_text(HUB_CONFIG.format(**values))
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
            wait_until_answering(f"http://127.0.0.1:{values['port']}{PREFIX}healthz", processes, log)
            stack = Stack(values["port"], values["hub"], values["tcp"], admin, folder)
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


@pytest.fixture
def alice(stack: Stack) -> str:
    return stack.token("alice")["token"]


@pytest.fixture(scope="session")
def cluster(stack: Stack) -> str:
    """Return the name of a running cluster of alice's, without a worker."""
    url = f"{stack.address}/api/v1/clusters/"
    headers = {"Authorization": f"token {stack.token('alice')['token']}"}

    def ask(url: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return json.loads(answer.read())

    name = str(ask(url, b"{}")["name"])
    while (status := ask(f"{url}{name}?wait")["status"]) == "PENDING":
        pass  # dask-gateway answers when something happens
    assert status == "RUNNING"
    return name


class Browser:
    """A browser without the screen: cookies, redirects and the headers that browsers send."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = aiohttp.ClientSession()

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()

    async def log_in(self, name: str) -> None:
        url = URL(f"http://localhost:{self.stack.port}/hub/login")
        async with self.client.get(url) as answer:
            assert answer.status == 200
        xsrf = self.client.cookie_jar.filter_cookies(url)["_xsrf"].value
        form = {"username": name, "password": "x", "_xsrf": xsrf}
        async with self.client.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()

    async def visit(self, path: str) -> tuple[int, str, str]:
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        async with self.client.get(f"{self.stack.address}{path}", headers=headers) as answer:
            return answer.status, str(answer.url), await answer.text()

    async def fetch(self, path: str) -> int:
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        async with self.client.get(f"{self.stack.address}{path}", headers=headers) as answer:
            return answer.status


def test_a_member_computes_through_the_service(stack: Stack, alice: str) -> None:
    code = """
with gateway.new_cluster(shutdown_on_close=True) as cluster:
    cluster.scale(1)
    with cluster.get_client(set_as_default=False) as client:
        print("sum", client.submit(sum, [1, 2, 3]).result(timeout=120))
    print("link", cluster.dashboard_link)
"""
    printed = stack.run_client(alice, code)
    assert "sum 6\n" in printed
    assert f"link {stack.address}/clusters/" in printed


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        (
            "carol",
            "gateway.list_clusters()",
            "ClientResponseError: 403, message='You may not use Dask clusters",
        ),
        (
            "nobody",
            "gateway.list_clusters()",
            "ClientResponseError: 401, message='The hub does not accept this",
        ),
        ("alice", "gateway.get_cluster('x')", "ValueError: There is no such cluster among yours"),
        ("alice", "gateway.scale_cluster('x', -1)", "ValueError: 'count' must be a whole number of workers"),
    ],
)
def test_dask_s_own_client_shows_our_sentence(stack: Stack, name: str, code: str, sentence: str) -> None:
    token = "revoked-long-ago" if name == "nobody" else stack.token(name)["token"]
    assert sentence in stack.run_client(token, code)


async def test_a_revoked_token_changes_nothing_from_that_moment(stack: Stack) -> None:
    made = stack.token("alice")
    async with aiohttp.ClientSession(headers={"Authorization": f"token {made['token']}"}) as client:
        async with client.get(f"{stack.address}/api/v1/clusters/") as answer:
            assert answer.status == 200
        stack.hub_api("DELETE", f"/users/alice/tokens/{made['id']}")
        async with client.post(f"{stack.address}/api/v1/clusters/", json={}) as answer:
            assert answer.status == 401


async def test_leaving_the_group_ends_changes_at_once(stack: Stack) -> None:
    bob = stack.token("bob")["token"]
    async with aiohttp.ClientSession(headers={"Authorization": f"token {bob}"}) as client:
        async with client.get(f"{stack.address}/api/v1/clusters/") as answer:
            assert answer.status == 200
        stack.hub_api("DELETE", "/groups/dask/users", {"users": ["bob"]})
        try:
            async with client.post(f"{stack.address}/api/v1/clusters/", json={}) as answer:
                assert answer.status == 403
        finally:
            stack.hub_api("POST", "/groups/dask/users", {"users": ["bob"]})


async def test_the_owner_s_browser_signs_in_and_sees_the_dashboard(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        status, url, text = await browser.visit(f"/clusters/{cluster}/status")
        assert (status, url) == (200, f"{stack.address}/clusters/{cluster}/status")
        assert "Bokeh" in text or "bokeh" in text
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 200


async def test_the_dashboard_s_bokeh_websocket_opens_for_the_owner_only(stack: Stack, cluster: str) -> None:
    url = f"{stack.address}/clusters/{cluster}/status/ws"
    origin = f"http://localhost:{stack.port}"
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        _, _, text = await browser.visit(f"/clusters/{cluster}/status")
        token = text.partition('"token":"')[2].partition('"')[0]
        assert token
        async with browser.client.ws_connect(
            url, protocols=("bokeh", token), headers={"Origin": origin}
        ) as socket:
            assert socket.protocol == "bokeh"
            assert "ACK" in await socket.receive_str(timeout=30)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await browser.client.ws_connect(url, headers={"Origin": "https://evil.example"})
        assert refusal.value.status == 403
    async with Browser(stack) as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await stranger.client.ws_connect(url, headers={"Origin": origin})
        assert refusal.value.status == 403


async def test_another_member_and_even_an_admin_see_no_dashboard(stack: Stack, cluster: str) -> None:
    stack.hub_api("POST", "/groups/dask/users", {"users": ["root"]})
    for name in ("bob", "root"):
        async with Browser(stack) as browser:
            await browser.log_in(name)
            status, _, text = await browser.visit(f"/clusters/{cluster}/status")
            assert status == 404
            assert cluster not in text


async def test_somebody_without_access_is_refused_by_the_hub_or_by_us(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("carol")
        for path in ("/", f"/clusters/{cluster}/status", "/sign-in"):
            assert (await browser.visit(path))[0] == 403


async def test_a_stranger_s_browser_ends_at_the_hub_s_sign_in(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        status, url, _ = await browser.visit(f"/clusters/{cluster}/status")
        assert status == 200
        assert url.startswith(f"http://localhost:{stack.port}/hub/login?")


async def test_the_embedded_image_signs_in_for_later_fetches(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 401
        headers = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
        async with browser.client.get(f"{stack.address}/sign-in", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "image/gif")
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 200


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/hub/logout", f"{PREFIX}../../hub/logout"]
)
async def test_sign_in_leads_nowhere_else(stack: Stack, target: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        url = URL(f"{stack.address}/sign-in").with_query(next=target)
        async with browser.client.get(url, allow_redirects=False) as answer:
            assert answer.status == 400
            assert "Location" not in answer.headers


async def test_my_clusters_shows_mine_and_stops_them_only_with_the_page_s_own_form(
    stack: Stack, alice: str
) -> None:
    async with Browser(stack) as browser:
        token = {"Authorization": f"token {alice}"}
        url = f"{stack.address}/api/v1/clusters/"
        async with browser.client.post(url, json={}, headers=token) as answer:
            name = (await answer.json())["name"]
        await browser.log_in("alice")
        status, _, text = await browser.visit("/")
        assert status == 200
        assert name in text
        xsrf = text.partition('name="_xsrf" value="')[2].partition('"')[0]
        url = f"{stack.address}/stop"
        async with browser.client.post(url, data={"cluster": name}) as answer:
            assert answer.status == 403
        async with browser.client.post(url, data={"cluster": "nothing", "_xsrf": xsrf}) as answer:
            assert answer.status == 404
        async with browser.client.post(url, data={"cluster": name, "_xsrf": xsrf}) as answer:
            assert (answer.status, str(answer.url)) == (200, f"{stack.address}/")
            assert name not in await answer.text()
    async with Browser(stack) as browser:
        await browser.log_in("bob")
        _, _, text = await browser.visit("/")
        assert "cluster = Gateway().new_cluster()" in text
