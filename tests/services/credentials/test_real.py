"""The service as the hub runs it: a real JupyterHub, a server of it, a real store, and no secret told."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scalablehub.decisions import User, decide
from scalablehub.local.proxy import proxy_command
from scalablehub.storage.access import bucket_access
from scalablehub.storage.credentials import credential_environment
from scalablehub.storage.environment import bucket_environment
from tests.aws_cli import aws_cli
from tests.services.credentials.conftest import buckets_at
from tests.services.credentials.versitygw import VersityGW
from tests.stack import call, free_port, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

CONFIG = """
import json, sys, time
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner
from jupyterhub.utils import isoformat
from scalablehub.description.sharing import read_shared
from scalablehub.handlers import PATH, SCOPE, DescriptionHandler
from scalablehub.services.credentials.tokens import Claims, sign, signing_key, write_token

values = json.loads(Path("values.json").read_text())

class Spawner(SimpleLocalProcessSpawner):
    async def start(self):
        started = isoformat(self.orm_spawner.started)
        claims = Claims(self.user.name, self.name, started, int(time.time()) + 3600)
        write_token(Path(f"token-{self.user.name}"), sign(claims, signing_key(values["credentials"])))
        self.cmd = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
        return await super().start()

    def get_args(self):
        return [str(self.port)]

c.JupyterHub.bind_url = f"http://127.0.0.1:{values['port']}/base/"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{values['hub']}"
c.ConfigurableHTTPProxy.command = values["proxy"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{values['proxy_api']}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = Spawner
c.SimpleLocalProcessSpawner.home_dir_template = str(Path.cwd())
c.ChoosingSpawner.description = read_shared(Path("description.json").read_bytes())
c.JupyterHub.extra_handlers = [(PATH, DescriptionHandler)]
c.JupyterHub.custom_scopes = {SCOPE: {"description": "Read what the hub's admin described."}}
c.JupyterHub.load_groups = {"team-a": {"users": ["alice"]}}
c.JupyterHub.services = [
    {"name": "tests", "api_token": values["tests"]},
    {
        "name": "credentials",
        "url": f"http://127.0.0.1:{values['service']}",
        "api_token": values["credentials"],
        "command": [sys.executable, "-m", "scalablehub.services.credentials"],
        "environment": values["environment"],
    },
]
c.JupyterHub.load_roles = [
    {"name": "tests", "scopes": ["admin:users", "admin:servers", "groups"], "services": ["tests"]},
    {
        "name": "credentials",
        "scopes": ["read:users:name", "read:users:groups", "read:servers", SCOPE],
        "services": ["credentials"],
    },
]
"""


class RealHub:
    """JupyterHub in a process of its own, with the credential service that it manages."""

    def __init__(self, folder: Path, gateway: VersityGW) -> None:
        from scalablehub.description.sharing import share

        self.folder, self.gateway = folder, gateway
        self.description = buckets_at(gateway.endpoint, gateway.iam_endpoint)
        (folder / "description.json").write_bytes(share(self.description).body)
        names = ("port", "hub", "proxy_api", "service")
        self.values: dict[str, Any] = {name: free_port() for name in names}
        self.values |= {name: f"canary-{secrets.token_hex(16)}" for name in ("tests", "credentials")}
        self.values["proxy"] = proxy_command(folder, print)
        self.values["environment"] = {
            "AWS_ACCESS_KEY_ID": gateway.keys[0],
            "AWS_SECRET_ACCESS_KEY": gateway.keys[1],
        }
        (folder / "values.json").write_text(json.dumps(self.values))
        (folder / "jupyterhub_config.py").write_text(CONFIG)
        self.process: subprocess.Popen[bytes] | None = None
        self.started: set[psutil.Process] = set()
        self.secrets: set[str] = {self.values["credentials"], gateway.keys[1]}

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "AWS_"))}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py", "--debug"],
                cwd=self.folder,
                env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._answers, "the hub and the service answer", 120)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-4000:]
        with contextlib.suppress(OSError):
            return call("GET", self._api(""))[0] == 200 and self._get("health")[0] == 200
        return False

    def kill(self) -> None:
        """End the hub's own process at once; servers and the proxy go on."""
        if self.process is not None:
            self.started |= set(psutil.Process(self.process.pid).children(recursive=True))
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)
            self.process = None

    def clear(self) -> None:
        """End the hub and all that it started."""
        self.kill()
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _api(self, path: str) -> str:
        return f"http://127.0.0.1:{self.values['hub']}/base/hub/api{path}"

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        return call(method, self._api(path), body, Authorization=f"token {self.values['tests']}")

    @property
    def service(self) -> str:
        return f"http://127.0.0.1:{self.values['service']}/base/services/credentials"

    def _get(self, path: str, **headers: str) -> tuple[int, Any]:
        return call("GET", f"{self.service}/{path}", **headers)

    def credentials(self, token: str) -> tuple[int, Any]:
        status, keys = self._get("aws/credentials", Authorization=token)
        if status == 200:
            self.secrets.add(keys["SecretAccessKey"])
        return status, keys

    def token(self, name: str = "alice") -> str:
        token = (self.folder / f"token-{name}").read_text()
        self.secrets.add(token)
        return token

    def start_server(self, name: str = "alice") -> None:
        assert self.ask("POST", f"/users/{name}/server", b"")[0] in (201, 202)
        until(lambda: self._server(name).get("ready"), "the server runs", 60)

    def stop_server(self, name: str = "alice") -> None:
        assert self.ask("DELETE", f"/users/{name}/server")[0] in (202, 204)
        until(lambda: not self._server(name), "the server has stopped", 60)

    def _server(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/users/{name}")[1]["servers"].get("", {}))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, gateway: VersityGW) -> Iterator[RealHub]:
    hub = RealHub(tmp_path_factory.mktemp("hub"), gateway)
    try:
        hub.start()
        for name in ("alice", "bob"):
            hub.ask("POST", f"/users/{name}", b"")
        hub.start_server()
        yield hub
    finally:
        hub.clear()


def test_a_server_that_the_hub_started_gets_keys_for_its_owner(hub: RealHub) -> None:
    status, keys = hub.credentials(hub.token())
    assert status == 200, keys
    s3 = hub.gateway.client(
        aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"]
    )
    s3.put_object(Bucket="scratch", Key="alice/real", Body=b"1")
    _, said = hub._get("whoami", Authorization=hub.token())
    assert (said["user"], said["groups"]) == ("alice", ["team-a"])


def test_amazons_command_line_has_its_keys_from_the_service(hub: RealHub, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        **bucket_environment(bucket_access(decide(hub.description, User("alice")), {}), "alice"),
        **credential_environment(hub.service, hub.folder / "token-alice"),
    }
    hub.token()

    def aws(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(aws_cli()), "s3", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            input="from the shell",
            timeout=60,
            check=False,
        )

    assert aws("cp", "-", "s3://scratch/alice/cli").returncode == 0
    assert aws("cp", "s3://scratch/alice/cli", "-").stdout == "from the shell"
    refused = aws("ls", "s3://scratch/bob/")
    assert refused.returncode != 0
    assert "AccessDenied" in refused.stderr


def test_the_hubs_own_tokens_open_nothing(hub: RealHub) -> None:
    tokens = (hub.values["credentials"], hub.values["tests"], f"token {hub.values['tests']}")
    assert [hub.credentials(token)[0] for token in tokens] == [401, 401, 401]


def test_through_the_hubs_proxy_nobody_is_heard(hub: RealHub) -> None:
    url = f"http://127.0.0.1:{hub.values['port']}/base/services/credentials/aws/credentials"
    assert call("GET", url, Authorization=hub.token())[0] == 403


def test_the_token_ends_with_its_server_and_the_next_start_has_another(hub: RealHub) -> None:
    old = hub.token()
    assert hub.credentials(old)[0] == 200
    hub.stop_server()
    until(lambda: hub.credentials(old)[0] == 401, "the token ends with the server", 5)
    hub.start_server()
    assert hub.token() != old
    until(lambda: hub.credentials(hub.token())[0] == 200, "the next start has keys", 5)
    assert hub.credentials(old)[0] == 401


def test_the_token_of_a_running_server_outlives_the_hub(hub: RealHub) -> None:
    token = hub.token()
    hub.kill()
    hub.start()
    until(lambda: hub.credentials(token)[0] == 200, "the same token opens the same", 30)


def test_no_secret_is_in_any_log_or_process_list(hub: RealHub) -> None:
    hub.credentials(hub.token())
    assert len(hub.secrets) >= 4
    assert "access_key" in hub.log, "the audit log is in the hub's"
    commands = " ".join(
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )
    everything = hub.log + hub.gateway.log.read_text() + commands
    assert [secret for secret in hub.secrets if secret in everything] == []
