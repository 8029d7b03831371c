"""Where a registry may send the hub: names are resolved here, so that what is checked is what is asked."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class PrivateAddressError(OSError):
    """A registry on a public address names a host on one that is not."""


class Addresses(AbstractResolver):
    """Resolves the names of one question to a registry.

    The registry itself may be anywhere: that is for the admin's patterns to say. One on a public address has
    no business with the hub's own network, so that the hosts it names have to be on public ones as well.

    Args:
        home: host of the registry, perhaps with a port.
        trusted: hosts, perhaps with ports, that the admin has named.
    """

    def __init__(self, home: str, *, trusted: Collection[str] = ()) -> None:
        self._home = _without_port(home)
        self._trusted = {self._home, *map(_without_port, trusted)}
        self._is_home_private = _is_private(self._home)
        self._names = aiohttp.ThreadedResolver()

    def allow(self, host: str) -> bool:
        """Return whether a host may be asked; that of a name is known once it is resolved."""
        return host in self._trusted or self._is_home_private or not _is_private(host)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            OSError: it has none, or one that a public registry has no business with.
        """
        found = await self._names.resolve(host, port, family)
        if host == self._home:
            self._is_home_private = all(_is_private(each["host"]) for each in found)
        elif host not in self._trusted and not all(self.allow(each["host"]) for each in found):
            raise PrivateAddressError(f"{host} is not on a public address")
        return found

    async def close(self) -> None:
        """Give back what resolving holds."""
        await self._names.close()


def _without_port(host: str) -> str:
    return host.partition(":")[0].lower()


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return False
