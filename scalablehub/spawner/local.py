"""Servers as processes of this machine, each with a home of its own; for loopback only."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyterhub.app import JupyterHub
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import isoformat
from traitlets import Unicode, default

from scalablehub.decisions import Selection
from scalablehub.errors import PublicError
from scalablehub.local.sharing import link_directories
from scalablehub.services.credentials.tokens import LIFETIME_SECONDS, issue_token
from scalablehub.spawner.cgroups import Cgroups, find_cgroups, group_prefix, join
from scalablehub.spawner.choosing import ChoosingSpawner, refused
from scalablehub.spawner.loopback import require_hub_on_loopback
from scalablehub.spawner.ready import AT_ONCE, Readiness
from scalablehub.spawner.rescue import rescuing
from scalablehub.storage.access import Asking, asking_here

START_NOTEBOOK = "start.ipynb"


class ScalableLocalSpawner(ChoosingSpawner, LocalProcessSpawner):  # type: ignore[misc]
    """A user's server is a process with a home folder of its own, run by whoever runs the hub.

    * It listens on loopback only.
    * It starts in rescue mode where the home takes no files.
    * Its size sets Dask's and the numerical libraries' threads, and limits where the machine permits.
    * There is no isolation between users: this is for one person, or people who trust each other.
    """

    homes = Unicode(help="Folder with one home per user.").tag(config=True)

    logs = Unicode(help="Folder with one log per server.").tag(config=True)

    skeleton = Unicode(help="Folder whose files a new home begins with; empty for none.").tag(config=True)

    labconfig = Unicode(help="Folder that is put on JUPYTER_CONFIG_PATH; empty for none.").tag(config=True)

    tokens = Unicode(
        help="Folder with one token per server, with which its processes ask for keys. Only who runs the hub "
        "should be able to read it."
    ).tag(config=True)

    credentials_token = Unicode(
        help="The hub token of the service 'credentials', with which servers' tokens are signed."
    ).tag(config=True)

    _limits: list[Path]

    @default("http_timeout")
    def _default_http_timeout(self) -> int:
        return 120  # JupyterHub's 30 seconds are not enough for a small share of a busy machine

    @property
    def slug(self) -> str:
        """The user's and the server's name as one path component; no user's slug has a ':' in it."""
        user = self.asker().slug
        return f"{user}:{quote(self.name, safe='')}" if self.name else user

    @property
    def home(self) -> Path:
        """The user's home folder."""
        return Path(self.homes) / self.asker().slug

    async def readiness(self) -> Mapping[str, Readiness]:
        """Return that a process of this machine starts at once, whatever its size."""
        return dict.fromkeys(self.description.sizes, Readiness(AT_ONCE))

    async def start(self) -> Any:
        """Start the server that the user's options select.

        Raises:
            tornado.web.HTTPError: the user may not have it.
        """
        self._require_loopback()
        selection = self.select()
        self.default_url = self._landing(selection)
        link_directories(self.home, self.decision_of_start().directories, self.log.warning)
        self.cmd = rescuing([str(_prefix(selection) / "bin" / "jupyterhub-singleuser")])
        self._limits = self._make_limits(selection)
        self._write_token()
        log = Path(self.logs) / f"{self.slug}.log"
        with log.open("ab") as output:
            self.popen_kwargs = {"stdout": output, "stderr": output}
            try:
                return await super().start()
            finally:
                self.popen_kwargs = {}

    def _require_loopback(self) -> None:
        """Refuse the start on a hub that others can reach, whatever said so."""
        if JupyterHub.initialized():
            try:
                require_hub_on_loopback(JupyterHub.instance())
            except PublicError as error:
                self.log.error("%s", error.message)
                raise refused(error) from None

    async def stop(self, now: bool = False) -> None:
        """Stop the server and remove its limits."""
        await super().stop(now=now)
        if self.tokens:
            with contextlib.suppress(OSError):
                self._token_file.unlink()
        if groups := find_cgroups():
            groups.remove(self._group)

    async def poll(self) -> int | None:
        """Return None while the server runs, else its exit code; one that runs for long gets a new token."""
        code: int | None = await super().poll()
        if code is None and self.asks_for_keys:
            try:
                old = time.time() - self._token_file.stat().st_mtime > LIFETIME_SECONDS / 2
            except OSError:
                old = True
            if old:
                self._write_token()
        return code

    def asking(self) -> Asking | None:
        """Return where the server's processes ask for keys: at the service itself."""
        credentials = self.description.credentials
        if credentials is None:
            return None
        prefix = self.hub.base_url.removesuffix("hub/")
        return asking_here(f"{credentials.service_url}{prefix}services/credentials", self._token_file)

    @property
    def _token_file(self) -> Path:
        return Path(self.tokens) / self.slug

    def _write_token(self) -> None:
        """Write the token with which the server's processes ask for keys, if they do."""
        if not self.asks_for_keys or not self.credentials_token or not self.tokens:
            return
        started = isoformat(self.orm_spawner.started)
        try:
            self._token_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            issue_token(self._token_file, self.credentials_token, self.user.name, self.name, started=started)
        except OSError as error:  # the server runs without keys; what opens a bucket says so
            self.log.warning("No token for the server of %s: %s", self._log_name, error)

    def get_args(self) -> list[str]:
        """Return the arguments; root has to say that it means it."""
        args: list[str] = super().get_args()
        return [*args, "--allow-root"] if os.geteuid() == 0 else args

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Add what belongs to the user, the environment and the size that were chosen."""
        env |= {"USER": self.user.name, "HOME": str(self.home), "SHELL": shutil.which("bash") or "/bin/sh"}
        if self.labconfig:
            env["JUPYTER_CONFIG_PATH"] = self.labconfig
        if self.selection is not None:
            binaries = _prefix(self.selection) / "bin"
            env["PATH"] = f"{binaries}{os.pathsep}{env.get('PATH', os.defpath)}"
            env |= size_environment(self.selection)
        return env

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """Return what the new process does first: join its limits and go home."""
        home, folders = self.home, self._limits

        def preexec() -> None:
            with contextlib.suppress(OSError):
                join(folders)
            try:
                os.chdir(home)
            except OSError:  # the server starts in rescue mode
                os.chdir("/")

        return preexec

    @property
    def _group(self) -> str:
        return group_prefix(self.hub.port) + self.slug

    def _landing(self, selection: Selection) -> str:
        """Return where the user lands: for a new home, on the start notebook."""
        is_new = not self.home.exists()
        if is_new:
            try:
                self.home.mkdir(mode=0o700, parents=True)
                if self.skeleton:
                    shutil.copytree(self.skeleton, self.home, dirs_exist_ok=True)
            except OSError as error:  # the server starts in rescue mode
                self.log.warning("The home of %s cannot be made: %s", self._log_name, error)
                return selection.interface.url
        if is_new and (self.home / START_NOTEBOOK).exists():
            tree = {"/lab": "/lab/tree/", "/tree": "/notebooks/"}.get(selection.interface.url)
            if tree:
                return tree + START_NOTEBOOK
        return selection.interface.url

    def _make_limits(self, selection: Selection) -> list[Path]:
        groups: Cgroups | None = find_cgroups()
        if groups is None:
            return []
        try:
            return groups.create(self._group, cores=selection.size.cores, memory=selection.size.memory)
        except OSError as error:
            self.log.warning("No limits for the server of %s: %s", self._log_name, error)
            return []


def size_environment(selection: Selection) -> dict[str, str]:
    """Return the variables that make libraries keep to a size: threads, and what the hub promised."""
    threads = str(max(int(selection.size.cores), 1))
    return {
        "CPU_LIMIT": str(selection.size.cores),
        "MEM_LIMIT": str(selection.size.memory),
        "DASK_NUM_WORKERS": threads,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }


def _prefix(selection: Selection) -> Path:
    """Return the folder of the environment, whatever folder a server starts in."""
    return Path(selection.image.prefix or "").expanduser().absolute()
