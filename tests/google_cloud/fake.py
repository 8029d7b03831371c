"""The store, and what stands in for Google before it, on free ports of loopback."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.go import go_program
from tests.google_cloud.stand_in import StandIn
from tests.stack import free_port

PACKAGE = "github.com/fsouza/fake-gcs-server"
VERSION = "v1.56.1"


def binary() -> Path:
    """Return the program of the store, which takes any token."""
    return go_program(PACKAGE, VERSION)


class FakeGoogle(StandIn):
    """All of it, in this process but for the store."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")

    async def start(self, host: str = "127.0.0.1", ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Begin with the store."""
        program = await asyncio.to_thread(binary)
        self._process = await asyncio.create_subprocess_exec(
            *(str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self._port)),
            *("-backend", "memory", "-log-level", "error"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await super().start(host, ports)

    async def stop(self) -> None:
        """End with the store."""
        await super().stop()
        self._process.terminate()
        await self._process.wait()

    @property
    def url(self) -> str:
        """Where clients find the buckets."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def sts(self) -> str:
        """Where tokens are narrowed."""
        return f"http://127.0.0.1:{self.ports[1]}/v1/token"

    @property
    def account(self) -> str:
        """Where the service's own account has its token."""
        return f"http://127.0.0.1:{self.ports[2]}"

    def write_key(self, file: Path) -> None:
        """Write a key of an account, which this server takes whatever is signed with it."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        key = {
            "type": "service_account",
            "client_email": "hub@example.org",
            "private_key": private.decode(),
            "token_uri": f"{self.account}/token",
        }
        file.write_text(json.dumps(key))
        file.chmod(0o600)


@contextmanager
def running_google(seconds: int) -> Iterator[FakeGoogle]:
    """Run it in a thread, with tokens that live so long."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        made = FakeGoogle()
        made.seconds = seconds
        asyncio.run_coroutine_threadsafe(made.start(), loop).result(300)
        try:
            yield made
        finally:
            asyncio.run_coroutine_threadsafe(made.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
