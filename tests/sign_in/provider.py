"""The OpenID Connect provider of the tests, and JupyterHub behind it."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, OpenerDirector, build_opener

import psutil

from scalablehub.local.proxy import find_node, proxy_command
from tests.descriptions import written
from tests.stack import call, free_port, until

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

CONFIG = """
import json, sys
from pathlib import Path
from scalablehub.hub import configure
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.command = {proxy}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_api}"
c.JupyterHub.authenticator_class = "generic-oauth"
c.GenericOAuthenticator.update(dict(
    client_id="hub", client_secret="hubs-secret", oauth_callback_url="{url}hub/oauth_callback",
    authorize_url="{issuer}/auth", token_url="{issuer}/token", {asked}
    username_claim="{username}", scope=["openid", "profile"], allow_all=True, enable_pkce=False,
))
c.JupyterHub.services = [{{"name": "tests", "api_token": "{tests}"}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "scopes": ["admin:users", "admin:servers", "read:groups"], "services": ["tests"]}},
]
c.ScalableLocalSpawner.homes = c.ScalableLocalSpawner.logs = str(Path.cwd())
c.ScalableHub.update(json.loads(Path("description.json").read_text()))
configure(c)
"""


ASKED = 'userdata_url="{issuer}/me",'
TOLD = 'userdata_from_id_token=True, extra_authorize_params={"prompt": "consent"},'
"""How the hub learns about its users: it asks, or is told in the ID token."""


class Provider:
    """The provider, in a process of its own; its people are in a file that it reads again and again."""

    def __init__(self, folder: Path, redirect: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._redirect = redirect
        self._people = folder / "people.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.has({})

    def has(self, people: dict[str, Any]) -> None:
        """Know these people, by the name with which they sign in, with what is said about them."""
        self._people.write_text(json.dumps(people))

    def start(self) -> None:
        node, _ = find_node()
        with (self._folder / "provider.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(node), str(_installed() / "provider.mjs")],
                env=os.environ
                | {"PORT": str(self.port), "PEOPLE": str(self._people), "REDIRECT": self._redirect},
                stdout=log,
                stderr=log,
            )
        until(self._answers, "the identity provider answers", 60)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return call("GET", f"{self.url}/.well-known/openid-configuration")[0] == 200
        return False


class HubWithProvider:
    """JupyterHub, whose users the provider knows."""

    def __init__(
        self, folder: Path, *, username: str = "preferred_username", told: bool = False, **groups: Any
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.provider = Provider(folder, f"{self.url}hub/oauth_callback")
        self.tests = "the-token-of-the-tests"
        values: dict[str, Any] = {name: free_port() for name in ("hub", "proxy_api")}
        values |= {"port": self.port, "url": self.url, "issuer": self.provider.url, "tests": self.tests}
        values["asked"] = TOLD if told else ASKED.format(**values)
        values |= {"proxy": proxy_command(folder, print), "username": username}
        (folder / "jupyterhub_config.py").write_text(CONFIG.format(**values))
        image = {"prefix": sys.prefix, "interfaces": ["lab"]}
        description = written(groups=groups, images={"base": image}, dask=None, buckets={})
        (folder / "description.json").write_text(json.dumps(description))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB_")}
        environment |= {"PYTHONPATH": str(_ROOT), "JUPYTERHUB_CRYPT_KEY": "0" * 64}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._answers, "the hub answers", 120)

    def kill(self) -> None:
        if self._process is None:
            return
        started = []
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself
            started = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(30)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def groups_of(self, name: str) -> list[str] | None:
        """Return the hub's groups of a user, None if the hub does not have them."""
        status, model = self.call("GET", f"users/{name}")
        return sorted(model["groups"]) if status == 200 else None

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        return call(method, f"{self.url}hub/api/{path}", data, Authorization=f"token {self.tests}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-4000:]
        with contextlib.suppress(OSError):
            return call("GET", f"{self.url}hub/api")[0] == 200
        return False


class _Stays(HTTPRedirectHandler):
    """Gives the redirect itself."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp


class Visitor:
    """Somebody with a browser, without one."""

    def __init__(self, hub: HubWithProvider) -> None:
        self.hub = hub
        self.cookies = CookieJar()
        self.browser: OpenerDirector = build_opener(HTTPCookieProcessor(self.cookies))

    def sign_in(self, name: str) -> tuple[int, str]:
        """Go through the provider's pages; return the status and the page that comes last."""
        status, page, url = self.open(f"{self.hub.url}hub/oauth_login?next=/hub/home")
        for _ in range(3):
            form = re.search(r'<form[^>]*action="([^"]*/interaction/[^"]*)"', page)
            if form is None:
                break
            fields = {"prompt": "login", "login": name, "password": "any"}
            if 'value="consent"' in page:
                fields = {"prompt": "consent"}
            status, page, url = self.open(urljoin(url, html.unescape(form[1])), fields)
        return status, page

    def come_back_with(self, code: str, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
        """Come back from the provider with a code that it did not give."""
        asked = build_opener(HTTPCookieProcessor(self.cookies), _Stays)
        with asked.open(f"{self.hub.url}hub/oauth_login", timeout=60) as answer:
            state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
        meanwhile()
        url = f"{self.hub.url}hub/oauth_callback?{urlencode({'code': code, 'state': state})}"
        return self.open(url)[:2]

    def open(self, url: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
        try:
            data = urlencode(fields).encode() if fields is not None else None
            with self.browser.open(url, data, timeout=60) as answer:
                return answer.status, answer.read().decode(), answer.url
        except HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.url or url

    def start(self) -> tuple[int, str]:
        """Press Start on the spawn page."""
        status, page, url = self.open(f"{self.hub.url}hub/spawn")
        form = re.search(r'<form[^>]*action="([^"]*_xsrf=[^"]*)"', page)
        if form is None:
            return status, page
        status, page, _ = self.open(urljoin(url, html.unescape(form[1])), {"size": "small"})
        return status, page


def _installed() -> Path:
    """Return the folder with the provider and its packages, installed once by the lock file."""
    version = hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = Path(sys.prefix) / "share" / "scalablehub-tests" / f"provider-{version}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, folder / name)
        node, npm = find_node()
        path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        subprocess.run(
            [*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
            cwd=folder,
            env=os.environ | {"PATH": path},
            check=True,
            timeout=300,
        )
        (folder / "complete").touch()
    shutil.copy(_HERE / "provider.mjs", folder / "provider.mjs")
    return folder
