"""What a hub on one machine is started with: one file that its processes read, and nobody else can."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scalablehub.description import Description, canonical_json
from scalablehub.local.layout import Layout, Secrets, write_private
from scalablehub.local.settings import LocalHub

VARIABLE = "SCALABLEHUB_PLAN"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one hub."""

    public: int
    proxy_api: int
    hub: int
    service: int
    gateway: int
    schedulers: int
    store: int
    credentials: int


@dataclass(frozen=True)
class Plan:
    """Everything that the processes of one hub have to agree on."""

    layout: Layout
    ports: Ports
    secrets: Secrets
    description: Description
    local: LocalHub
    lacks: dict[str, str]
    not_enforced: str
    proxy_command: tuple[str, ...]
    verbose: bool

    @property
    def url(self) -> str:
        """Where people open the hub."""
        return f"http://{HOST}:{self.ports.public}/"

    @property
    def gateway_url(self) -> str:
        """Where dask-gateway's server answers."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def service_address(self) -> str:
        """Where the hub's dask-gateway service answers, through the hub's proxy."""
        return f"{self.url}services/dask-gateway"

    @property
    def credentials_address(self) -> str:
        """Where the credential service listens."""
        return f"http://{HOST}:{self.ports.credentials}"

    @property
    def scheduler_address(self) -> str:
        """Where clients reach schedulers."""
        return f"gateway://{HOST}:{self.ports.schedulers}"

    @property
    def store_url(self) -> str:
        """Where the object store answers."""
        return f"http://{HOST}:{self.ports.store}"

    @property
    def bucket_keys(self) -> dict[str, dict[str, str]]:
        """The object store's static keys, by endpoint."""
        return {
            self.store_url: {"access_key": self.secrets.access_key, "secret_key": self.secrets.secret_key}
        }

    def write(self) -> None:
        """Write the plan where the processes of its hub look for it."""
        raw: dict[str, Any] = {
            "root": str(self.layout.root),
            "ports": asdict(self.ports),
            "secrets": asdict(self.secrets),
            "description": json.loads(canonical_json(self.description)),
            "local": self.local.model_dump(mode="json"),
            "lacks": self.lacks,
            "not_enforced": self.not_enforced,
            "proxy_command": self.proxy_command,
            "verbose": self.verbose,
        }
        write_private(self.layout.plan, json.dumps(raw, indent=1))


def read_plan(path: Path | None = None) -> Plan:
    """Return the plan in a file: by default the one that the environment names.

    Raises:
        KeyError: the environment names none.
    """
    raw = json.loads((path or Path(os.environ[VARIABLE])).read_text())
    return Plan(
        layout=Layout(Path(raw["root"])),
        ports=Ports(**raw["ports"]),
        secrets=Secrets(**raw["secrets"]),
        description=Description.model_validate(raw["description"]),
        local=LocalHub.model_validate(raw["local"]),
        lacks=raw["lacks"],
        not_enforced=raw["not_enforced"],
        proxy_command=tuple(raw["proxy_command"]),
        verbose=raw["verbose"],
    )
