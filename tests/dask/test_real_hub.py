"""A real JupyterHub that serves its description, and what dask-gateway's server makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from traitlets.config import Config

from scalablehub.dask.authenticator import ScalableHubAuthenticator
from scalablehub.description import load_description, resolve
from scalablehub.description.sharing import hash_of, share
from scalablehub.errors import PublicError
from scalablehub.local.proxy import proxy_command
from scalablehub.services.source import DescriptionSource
from tests.descriptions import written
from tests.stack import call, free_port, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(240),
    # dask-gateway names what it keeps by texts.
    pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning"),
]

CONFIG = """
import json
from pathlib import Path
from scalablehub.hub import configure
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/base/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.command = {proxy}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_api}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root"}}
c.JupyterHub.load_groups = {{"research": {{"users": ["alice"]}}}}
c.JupyterHub.services = [
    {{"name": "dask-gateway", "url": "http://127.0.0.1:{nothing}", "api_token": "{gateway}"}},
    {{"name": "tests", "api_token": "{tests}"}},
]
c.JupyterHub.load_roles = [
    {{"name": "tests", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["tests"]}},
]
c.ScalableHub.update(json.loads(Path("description.json").read_text()))
configure(c)
"""


class RealHub:
    """JupyterHub in a process of its own, on loopback, below a base URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway, self.tests = secrets.token_hex(16), secrets.token_hex(16)
        self.hub = free_port()
        values: dict[str, Any] = {name: free_port() for name in ("port", "proxy_api", "nothing")}
        values |= {"hub": self.hub, "gateway": self.gateway, "tests": self.tests}
        values["proxy"] = proxy_command(folder, print)
        (folder / "jupyterhub_config.py").write_text(CONFIG.format(**values))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.hub}/base/hub/api"

    def describe(self, **sections: Any) -> str:
        """Write a description; return the hash that it has once the hub serves it."""
        raw = written(**sections)
        (self.folder / "description.json").write_text(json.dumps(raw))
        return share(resolve(load_description(raw))).hash

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "DASK_"))}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
                cwd=self.folder,
                env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._answers, f"the hub answers:\n{(self.folder / 'log').read_text()[-4000:]}", 120)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-4000:]
        with contextlib.suppress(OSError):
            return call("GET", self.api)[0] == 200
        return False

    def kill(self) -> None:
        """End the hub as a machine does that fails: at once, with its proxy."""
        if self.process is not None:
            # The proxy has a session of its own.
            started = psutil.Process(self.process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            for process in started:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait(30)
            self.process = None

    def token(self, *scopes: str, name: str = "alice") -> str:
        body = json.dumps({"note": "test", **({"scopes": scopes} if scopes else {})}).encode()
        status, answer = call(
            "POST", f"{self.api}/users/{name}/tokens", body, Authorization=f"token {self.tests}"
        )
        assert status == 201, answer
        return str(answer["token"])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    hub = RealHub(tmp_path_factory.mktemp("hub"))
    hub.describe()
    try:
        hub.start()
        for name in ("alice", "root"):
            call("POST", f"{hub.api}/users/{name}", b"", Authorization=f"token {hub.tests}")
        yield hub
    finally:
        hub.kill()


@pytest.fixture
async def source(hub: RealHub) -> AsyncIterator[DescriptionSource]:
    source = DescriptionSource(api_url=hub.api, api_token=hub.gateway)
    await source.start()
    yield source
    await source.stop()


def ask(hub: RealHub, **headers: str) -> tuple[int, Any]:
    return call("GET", f"{hub.api}/scalablehub/description", **headers)


async def test_the_gateway_has_the_description_of_the_hub(hub: RealHub, source: DescriptionSource) -> None:
    expected = hub.describe()
    assert source.status()["hash"] == expected
    assert source.current() == resolve(load_description(written()))


def test_the_gateways_token_reads_it_as_canonical_json(hub: RealHub) -> None:
    status, body = ask(hub, Authorization=f"token {hub.gateway}")
    assert status == 200
    assert hash_of(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()) == hub.describe()


@pytest.mark.parametrize("whose", ["nobody's", "unknown", "another service's", "alice's", "an admin's"])
def test_every_other_token_is_403_in_json(hub: RealHub, whose: str) -> None:
    headers = {
        "nobody's": {},
        "unknown": {"Authorization": "token unknown"},
        "another service's": {"Authorization": f"token {hub.tests}"},
        "alice's": {"Authorization": f"token {hub.token()}"},
        "an admin's": {"Authorization": f"token {hub.token(name='root')}"},
    }[whose]
    status, answer = ask(hub, **headers)
    assert (status, answer["status"]) == (403, 403)
    assert "nodes" not in answer


def ask_owners(hub: RealHub, token: str, body: Any) -> tuple[int, Any]:
    return call(
        "POST",
        f"{hub.api}/scalablehub/owners",
        json.dumps(body).encode(),
        Authorization=f"token {token}",
        **{"Content-Type": "application/json"},
    )


def test_the_gateways_token_reads_who_owners_are(hub: RealHub) -> None:
    assert ask_owners(hub, hub.gateway, {"users": ["alice", "root", "ghost"]}) == (
        200,
        {
            "alice": {"groups": ["research"], "admin": False, "servers": {}},
            "root": {"groups": [], "admin": True, "servers": {}},
            "ghost": None,
        },
    )


@pytest.mark.parametrize("body", [[], {}, {"users": "alice"}, {"users": [1]}, {"users": None}, None], ids=str)
def test_what_is_no_list_of_users_is_400(hub: RealHub, body: Any) -> None:
    assert ask_owners(hub, hub.gateway, body)[0] == 400


def test_no_other_token_reads_who_owners_are(hub: RealHub) -> None:
    for token in ("unknown", hub.tests, hub.token(), hub.token(name="root")):
        status, answer = ask_owners(hub, token, {"users": ["alice"]})
        assert (status, "groups" in str(answer)) == (403, False)


def test_who_has_it_already_is_told_304(hub: RealHub) -> None:
    headers = {"Authorization": f"token {hub.gateway}", "If-None-Match": f'"{hub.describe()}"'}
    assert ask(hub, **headers)[0] == 304
    assert ask(hub, **headers | {"If-None-Match": '"older"'})[0] == 200


async def test_a_gateway_with_another_token_knows_nothing(hub: RealHub) -> None:
    source = DescriptionSource(api_url=hub.api, api_token=hub.tests)
    await source.start()
    try:
        assert source.status() == {"hash": None, "age_seconds": None, "state": "refused"}
        with pytest.raises(PublicError):
            source.current()
    finally:
        await source.stop()


@pytest.mark.parametrize(
    ("scopes", "server"),
    [
        (("access:services!service=dask-gateway", "access:servers!server=alice/"), ""),
        (("access:services!service=dask-gateway", "access:servers!server=alice/gpu"), "gpu"),
        (("access:services!service=dask-gateway",), None),
        ((), None),
    ],
    ids=["server", "named server", "neither", "everything"],
)
async def test_the_hub_says_whose_token_and_which_servers_it_is(
    hub: RealHub, scopes: tuple[str, ...], server: str | None
) -> None:
    authorization = f"token {hub.tests}"
    for name in ("", "gpu"):
        # A server that is only asked for exists from then on; that it cannot start here does not matter.
        call("POST", f"{hub.api}/users/alice/servers/{name}", b"{}", Authorization=authorization)
    user = await authenticated(hub, hub.token(*scopes))
    assert (user.name, user.groups, user.server) == ("alice", {"research"}, server)


async def authenticated(hub: RealHub, token: str) -> Any:
    c = Config()
    c.JupyterHubAuthenticator.jupyterhub_api_url = hub.api
    authenticator = ScalableHubAuthenticator(config=c)
    await authenticator.setup(web.Application())
    try:
        headers = {"Authorization": f"jupyterhub {token}"}
        return await authenticator.authenticate(make_mocked_request("GET", "/", headers))
    finally:
        await authenticator.cleanup()


async def test_what_the_admin_edits_is_known_after_the_hub_restarted(
    hub: RealHub, source: DescriptionSource
) -> None:
    before = source.status()["hash"]
    after = hub.describe(dask=written()["dask"] | {"max_workers": 3})
    assert after != before
    hub.kill()
    await source.refresh()
    assert (source.status()["hash"], source.status()["state"]) == (before, "away")
    assert source.current().dask.max_workers == 6
    hub.start()
    await source.refresh()
    assert (source.status()["hash"], source.status()["state"]) == (after, "good")
    assert source.current().dask.max_workers == 3
