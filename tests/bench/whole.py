"""The whole hub as a person meets it, each time against the bare thing that it is made of.

* `scalablehub up` until the sign-in page, against `jupyterhub` with the same proxy.
* Start a server until the lab's page, against `jupyter lab` alone.
* `new_cluster()` until the first result of one worker, against dask-gateway's own server and local backend.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from tests.bench.measuring import Row, added, ratio
from tests.bench.processes import running, status, wait_until_answering
from tests.stack import Client, Program, Stack, call, free_port, running_stack

OURS, BARE = "scalablehub", "bare"

_HUB_CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
"""
_GATEWAY_CONFIG = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.address = "127.0.0.1:0"
c.Proxy.address = "127.0.0.1:{port}"
c.Proxy.tcp_address = "127.0.0.1:{schedulers}"
c.ClusterConfig.scheduler_cmd = [{python!r}, "-m", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = [{python!r}, "-m", "dask", "worker"]
c.UnsafeLocalBackend.clusters_directory = {folder!r}
"""
# Both sides run this; imports are not counted, and neither is the goodbye.
_CLUSTER = """
import time
from dask_gateway import Gateway

gateway = Gateway()
for line in sys.stdin:
    start = time.perf_counter()
    cluster = gateway.new_cluster(shutdown_on_close=True)
    cluster.scale(1)
    client = cluster.get_client()
    assert client.submit(sum, [1, 2, 3]).result(timeout=90) == 6
    seconds = time.perf_counter() - start
    client.close()
    cluster.shutdown()
    say(seconds)
gateway.close()
"""


def measure_whole(
    proxy_command: list[str], folder: Path, rounds: int, seconds: float, *, quick: bool
) -> list[Row]:
    """Compare all three; rounds that would begin after `seconds` are left out, a third for each.

    The first start of each is not counted, except when it is the only one (`quick`).
    """
    data = folder / "data"
    up, click, cluster = _Pair(), _Pair(), _Pair()
    # The same work first, uncounted: caches of files, the data folder, its sample data.
    counted = [True] if quick else [False, *[True] * rounds]

    began = time.monotonic()

    def enough(pair: _Pair) -> bool:
        share = 1 + (up, click, cluster).index(pair)
        return bool(pair.bare) and time.monotonic() > began + seconds * share / 3

    for count in counted[:-1]:
        if not enough(up):
            bare = _time_bare_hub(proxy_command, folder)
            with _starting(data) as (_, ours):
                up.add(bare, ours, count)
    bare = _time_bare_hub(proxy_command, folder)
    with _starting(data) as (stack, ours):
        up.add(bare, ours, True)
        alice = stack.sign_in("alice")
        for count in counted:
            if not enough(click):
                if alice.find_server():
                    alice.stop_server()
                click.add(_time_bare_lab(folder), time_click(stack.url, alice.name, alice.token), count)
        with _bare_gateway(folder) as address:
            for count in counted:
                if not enough(cluster):
                    cluster.add(_time_first_result(alice, **address), _time_first_result(alice), count)
        alice.stop_server()
    return [
        *up.rows("scalablehub up → sign-in page"),
        *click.rows("click → lab's page"),
        *cluster.rows("new_cluster() → first result"),
    ]


class _Pair:
    """Times in seconds of ours and of the bare thing, round by round."""

    def __init__(self) -> None:
        self.ours: list[float] = []
        self.bare: list[float] = []

    def add(self, bare: float, ours: float, count: bool) -> None:
        if count:
            self.bare.append(bare)
            self.ours.append(ours)

    def rows(self, what: str) -> list[Row]:
        values = {OURS: self.ours, BARE: self.bare}
        return [ratio(what, "s", values, (OURS, BARE)), added(what, "s", values, (OURS, BARE))]


@contextmanager
def _starting(data: Path) -> Iterator[tuple[Stack, float]]:
    """Start a hub, and give the time until its sign-in page too."""
    start = time.perf_counter()
    with running_stack(data, "--no-open") as stack:
        # The screen says that it is ready when the page is there.
        assert status(f"{stack.url}hub/login") == 200
        yield stack, time.perf_counter() - start


def _time_bare_hub(proxy_command: list[str], folder: Path) -> float:
    home = folder / "bare-hub"
    home.mkdir(exist_ok=True)
    port, hub, api = free_port(), free_port(), free_port()
    (home / "config.py").write_text(_HUB_CONFIG.format(port=port, hub=hub, api=api, proxy=proxy_command))
    log = home / "log"
    start = time.perf_counter()
    with running([sys.executable, "-m", "jupyterhub", "-f", "config.py"], log, cwd=home) as process:
        wait_until_answering(f"http://127.0.0.1:{port}/hub/login", process, log)
        return time.perf_counter() - start


def _time_bare_lab(folder: Path) -> float:
    home = folder / "bare-lab"
    home.mkdir(exist_ok=True)
    port = free_port()
    log = home / "log"
    environment = os.environ | {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config")}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
        *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
    ]
    start = time.perf_counter()
    with running(command, log, environment, home) as process:
        wait_until_answering(f"http://127.0.0.1:{port}/lab", process, log)
        return time.perf_counter() - start


def time_click(url: str, name: str, token: str) -> float:
    """Return the seconds from the request for a server to its lab's page, waiting as the hub's page does."""
    headers = {"Authorization": f"token {token}"}
    server = f"{url}hub/api/users/{name}/server"
    start = time.perf_counter()
    code, answer = call("POST", server, **headers)
    assert code in (201, 202), (code, answer)
    progress = Request(f"{server}/progress", headers=headers)
    with urlopen(progress, timeout=120) as events:
        said = [json.loads(line[5:]) for line in events if line.startswith(b"data:")]
    assert said[-1].get("ready"), said
    with urlopen(Request(f"{url}user/{name}/lab", headers=headers), timeout=60) as page:
        assert page.status == 200
        assert b"jupyter-config-data" in page.read()
    return time.perf_counter() - start


def _time_first_result(user: Client, **environment: str) -> float:
    """Return the time from `new_cluster()` to its first result, in a program of its own: see `Program`."""
    with Program(user, _CLUSTER, **environment) as program:
        seconds: float = program.ask("")
        return seconds


@contextmanager
def _bare_gateway(folder: Path) -> Iterator[dict[str, str]]:
    """Run dask-gateway's own server, and give the environment in which its client finds it."""
    home = folder / "bare-gateway"
    clusters = home / "clusters"
    clusters.mkdir(parents=True)
    port, schedulers = free_port(), free_port()
    (home / "config.py").write_text(
        _GATEWAY_CONFIG.format(port=port, schedulers=schedulers, folder=str(clusters), python=sys.executable)
    )
    log = home / "log"
    command = [sys.executable, "-m", "dask_gateway_server", "-f", "config.py"]
    with running(command, log, cwd=home) as process:
        wait_until_answering(f"http://127.0.0.1:{port}/api/health", process, log)
        yield {
            "DASK_GATEWAY__ADDRESS": f"http://127.0.0.1:{port}",
            "DASK_GATEWAY__PUBLIC_ADDRESS": f"http://127.0.0.1:{port}",
            "DASK_GATEWAY__PROXY_ADDRESS": f"gateway://127.0.0.1:{schedulers}",
            "DASK_GATEWAY__AUTH__TYPE": "basic",
            "DASK_GATEWAY__AUTH__KWARGS": "{}",
        }
