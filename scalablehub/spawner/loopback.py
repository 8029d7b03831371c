"""Addresses that this machine alone reaches: servers that are its processes are isolated from nobody."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from scalablehub.errors import PublicError, shown


def require_loopback(place: str, address: Any) -> None:
    """Refuse an address that others can reach.

    Args:
        place: where it is written, for the admin.
        address: a host; nothing is every address.

    Raises:
        PublicError: it is not one of loopback.
    """
    if not _is_loopback(address):
        raise PublicError(
            "beyond-loopback",
            f"{place} is {shown(address) if address else 'every address'}, which others can reach, but "
            "servers that are processes of this machine are not isolated from each other. Listen on "
            "127.0.0.1, or set JupyterHub.spawner_class to "
            "scalablehub.spawner.kubernetes.ScalableKubeSpawner.",
            500,
        )


def require_hub_on_loopback(hub: Any) -> None:
    """Refuse a hub that listens elsewhere, as its command line may say after its files were read.

    Args:
        hub: JupyterHub's application.
    """
    require_loopback("JupyterHub.bind_url", urlsplit(str(hub.bind_url)).hostname)


def _is_loopback(address: object) -> bool:
    try:
        return address == "localhost" or ip_address(str(address)).is_loopback
    except ValueError:
        return False
