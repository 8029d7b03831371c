"""JupyterHub as an admin runs it themselves: below a path, and with named servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from scalablehub.local.proxy import proxy_command
from tests.stack import free_port, until

BASE_URL = "/hubs/a/"
_CONFIG = """
c.JupyterHub.bind_url = 'http://127.0.0.1:{port}{base_url}'
c.JupyterHub.hub_connect_url = 'http://127.0.0.1:{hub_port}'
c.JupyterHub.hub_bind_url = 'http://127.0.0.1:{hub_port}'
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{api_port}'
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.pid_file = {folder!r} + '/proxy.pid'
c.JupyterHub.authenticator_class = 'dummy'
c.Authenticator.allow_all = True
c.JupyterHub.db_url = 'sqlite:///' + {folder!r} + '/hub.sqlite'
c.JupyterHub.cookie_secret_file = {folder!r} + '/cookie_secret'
c.JupyterHub.allow_named_servers = True
c.ScalableLocalSpawner.homes = {folder!r} + '/homes'
c.ScalableLocalSpawner.logs = {folder!r}
c.ScalableHub.update({description!r})
from scalablehub.hub import configure
configure(c)
"""


@dataclass(frozen=True)
class PlainHub:
    """A hub that runs.

    Attributes:
        url: of its base, ending in '/'.
        log: what it says.
    """

    url: str
    log: Path


@contextmanager
def plain_hub(
    folder: Path, description: Mapping[str, Any], python: str = sys.executable
) -> Iterator[PlainHub]:
    """Run a hub with the description; `python` has the JupyterHub that it runs on."""
    (folder / "homes").mkdir()
    port = free_port()
    (folder / "jupyterhub_config.py").write_text(
        _CONFIG.format(
            port=port,
            hub_port=free_port(),
            api_port=free_port(),
            base_url=BASE_URL,
            proxy=proxy_command(folder, lambda _sentence: None),
            folder=str(folder),
            description=dict(description),
        )
    )
    log = folder / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "jupyterhub", "-f", str(folder / "jupyterhub_config.py")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"CONFIGPROXY_AUTH_TOKEN": "of-this-test"},
        )
    url = f"http://127.0.0.1:{port}{BASE_URL}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(f"{url}hub/health") as answer:  # loopback
                return bool(answer.status == 200)
        except URLError:
            return False

    try:
        until(answers, f"the hub answers at {url}")
        yield PlainHub(url, log)
    finally:
        process.terminate()
        process.wait(60)
