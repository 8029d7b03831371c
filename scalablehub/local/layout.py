"""Where a hub on one machine keeps what it keeps, and the secrets that only it knows."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from scalablehub.errors import PublicError

MARK = ".scalablehub"
"""The file that says that a folder is a hub's."""


def default_folder() -> Path:
    """Return where the data of a hub is kept if nobody says otherwise."""
    return Path(platformdirs.user_data_dir("scalablehub", appauthor=False))


@dataclass(frozen=True)
class Secrets:
    """Passwords and keys, made once and kept in a file that only its owner can read."""

    user_password: str
    admin_password: str
    access_key: str
    secret_key: str
    proxy_token: str
    gateway_proxy_token: str
    gateway_db_key: str
    service_token: str
    credentials_token: str


@dataclass(frozen=True)
class Layout:
    """The folders and files of one hub on one machine."""

    root: Path

    @property
    def hub(self) -> Path:
        """Users and servers: JupyterHub's database and cookie secret."""
        return self.root / "hub"

    @property
    def homes(self) -> Path:
        """One home folder per user."""
        return self.root / "homes"

    @property
    def store(self) -> Path:
        """The object store's plain files, one folder per bucket."""
        return self.root / "store"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def server_logs(self) -> Path:
        """One log per user's server."""
        return self.logs / "servers"

    @property
    def cluster_logs(self) -> Path:
        """One folder of logs per Dask cluster that ended."""
        return self.logs / "clusters"

    @property
    def run(self) -> Path:
        """What only the running hub needs."""
        return self.root / "run"

    @property
    def plan(self) -> Path:
        """What the running hub was started with."""
        return self.run / "plan.json"

    @property
    def lock(self) -> Path:
        """Held by the running hub; says where it is."""
        return self.root / "lock"

    def create(self) -> None:
        """Make the folders, for their owner only.

        Raises:
            PublicError: they cannot be made or written.
        """
        try:
            for folder in (
                self.root,
                self.hub,
                self.homes,
                self.store,
                self.logs,
                self.server_logs,
                self.cluster_logs,
                self.run,
            ):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self.root / MARK).touch()
        except OSError as error:
            raise PublicError(
                "data-dir-unwritable",
                f"{error.filename or self.root}: {error.strerror}; choose another folder with --data-dir.",
            ) from None

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds something else: it would be mixed with ours, and a reset would take it.

        Raises:
            PublicError: the folder has content that no hub put there.
        """
        if (self.root / MARK).exists() or not self.root.exists():
            return
        if not self.root.is_dir() or any(self.root.iterdir()):
            raise PublicError(
                "data-dir-foreign",
                f"{self.root}: neither empty nor a folder that scalablehub made, so it is left alone; "
                "choose another folder with --data-dir.",
            )

    def reset(self) -> None:
        """Remove everything that a hub kept here.

        Raises:
            PublicError: the folder is not a hub's, or cannot be removed.
        """
        if not self.root.exists():
            return
        self.refuse_foreign()
        try:
            shutil.rmtree(self.root)
        except OSError as error:
            raise PublicError(
                "data-dir-stays", f"{error.filename or self.root}: {error.strerror or error}."
            ) from None

    def secrets(self) -> Secrets:
        """Return this hub's secrets, made at the first call; a damaged file is made anew.

        What an earlier version did not have yet is added, so that nobody's password changes.
        """
        path = self.root / "secrets.json"
        kept: Any = None
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(path.read_text())
        made = asdict(_make_secrets())
        if isinstance(kept, dict) and all(isinstance(value, str) and value for value in kept.values()):
            made |= {name: value for name, value in kept.items() if name in made}
        if made != kept:
            write_private(path, json.dumps(made, indent=1))
        return Secrets(**made)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _make_secrets() -> Secrets:
    words = "0123456789abcdefghjkmnpqrstuvwxyz"  # no letters that look alike
    return Secrets(
        user_password="-".join("".join(secrets.choice(words) for _ in range(4)) for _ in range(3)),
        admin_password="-".join("".join(secrets.choice(words) for _ in range(6)) for _ in range(5)),
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_hex(20),
        proxy_token=secrets.token_hex(32),
        gateway_proxy_token=secrets.token_hex(32),
        gateway_db_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        service_token=secrets.token_hex(32),
        credentials_token=secrets.token_hex(32),
    )
