"""How a service of the hub runs: from its environment, until it is told to end or its hub has ended."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from scalablehub.processes import die_with_parent


class SettingsError(Exception):
    """The environment does not describe a service that can start; the message is a sentence for an admin."""


class Place(Protocol):
    """Settings that say where a service listens."""

    @property
    def host(self) -> str:
        """Return its address."""

    @property
    def port(self) -> int:
        """Return its port."""


_Settings = TypeVar("_Settings", bound=Place)


def run(
    read: Callable[[Mapping[str, str]], _Settings],
    serve: Callable[[_Settings, asyncio.Event], Awaitable[None]],
    *,
    quiet: Mapping[str, int],
) -> int:
    """Run a service until SIGTERM or SIGINT; return the exit code: 2 where it cannot start, with a sentence.

    Args:
        read: from the environment to the settings, or a SettingsError.
        serve: serves until the event is set; raises SettingsError for what shows only then.
        quiet: loggers to the level below which they say nothing, since they log other people's text.
    """
    parent = os.getppid()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for name, level in quiet.items():
        logging.getLogger(name).setLevel(level)
    try:
        settings = read(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    die_with_parent(signal.SIGTERM, parent)
    try:
        asyncio.run(_until_told(settings, serve))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


async def _until_told(
    settings: _Settings, serve: Callable[[_Settings, asyncio.Event], Awaitable[None]]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def is_loopback(host: str) -> bool:
    """Tell whether binding to `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
