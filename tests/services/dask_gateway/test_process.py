from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from scalablehub.services.dask_gateway.settings import read_settings
from scalablehub.services.running import SettingsError, is_loopback
from tests.services.dask_gateway.conftest import PREFIX, FakeGateway, FakeHub, Place
from tests.stack import free_port

ROOT = str(Path(__file__).parents[3])
GOOD = {
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101",
    "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
    "JUPYTERHUB_SERVICE_PREFIX": "/base/services/dask-gateway/",
    "JUPYTERHUB_BASE_URL": "/base/",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/base/hub/api",
    "JUPYTERHUB_API_TOKEN": "canary-token",
    "JUPYTERHUB_CLIENT_ID": "service-dask-gateway",
    "SCALABLEHUB_GATEWAY_URL": "http://localhost:9001/",
}
NEEDED = sorted(set(GOOD) - {"JUPYTERHUB_BASE_URL"})


def test_the_environment_of_a_managed_service_is_all_it_needs() -> None:
    settings = read_settings(GOOD)
    assert (settings.host, settings.port) == ("127.0.0.1", 10101)
    assert settings.prefix == "/base/services/dask-gateway/"
    assert settings.hub_prefix == "/base/hub/"
    assert settings.gateway_url == "http://localhost:9001"
    assert settings.access_scopes == {"access:services!service=dask-gateway"}
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is not set: "):
        read_settings({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JUPYTERHUB_SERVICE_URL", "127.0.0.1:10101"),
        ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1"),
        ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:x"),
        ("JUPYTERHUB_SERVICE_URL", "http+unix://x"),
        ("SCALABLEHUB_GATEWAY_URL", "localhost:9001"),
        ("SCALABLEHUB_GATEWAY_URL", "ftp://localhost"),
        ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", "["),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} "):
        read_settings({**GOOD, name: value})


def test_other_addresses_than_loopback_are_refused_only_when_told_so() -> None:
    wide = {**GOOD, "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:10101"}
    assert read_settings(wide).host == "0.0.0.0"
    with pytest.raises(SettingsError, match="SCALABLEHUB_LOOPBACK_ONLY"):
        read_settings({**wide, "SCALABLEHUB_LOOPBACK_ONLY": "1"})
    read_settings({**GOOD, "SCALABLEHUB_LOOPBACK_ONLY": "1"})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("hub", False),
    ],
)
def test_loopback_is_told_apart(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


async def start(port: int, gateway_port: int, hub_port: int, *wrapper: str) -> asyncio.subprocess.Process:
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("JUPYTERHUB_")},
        **GOOD,
        "PYTHONPATH": ROOT,
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        "JUPYTERHUB_API_URL": f"http://localhost:{hub_port}/hub/api",
        "SCALABLEHUB_GATEWAY_URL": f"http://localhost:{gateway_port}",
    }
    command = [*wrapper, sys.executable, "-m", "scalablehub.services.dask_gateway"]
    return await asyncio.create_subprocess_exec(
        *command, env=environ, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def serving(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while line := await process.stderr.readline():
            if b"Serving" in line:
                return
    raise AssertionError("it did not start")


async def test_without_its_environment_it_says_one_sentence_and_exits_with_2() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scalablehub.services.dask_gateway",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOT},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().count("\n") == 1
    assert said.startswith(b"JUPYTERHUB_SERVICE_URL is not set: ")


async def test_a_taken_port_is_one_sentence_and_2(place: Place) -> None:
    process = await start(place.front.port, place.gateway.server.port, place.hub.server.port)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().count("\n") == 1


async def test_sigterm_ends_it_in_seconds_and_tells_open_websockets() -> None:
    hub, gateway = FakeHub(), FakeGateway()
    await hub.server.start()
    await gateway.server.start()
    port = free_port()
    process = await start(port, gateway.server.port, hub.server.port)
    try:
        await serving(process)
        async with aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{port}{PREFIX}clusters/a1/ws"
            socket = await client.ws_connect(url, headers={"Authorization": "token alice-token"})
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1001
            assert await asyncio.wait_for(process.wait(), 30) == 0
            assert time.monotonic() - began < 5
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        await gateway.server.stop()
        await hub.server.stop()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the kernel's parent death signal is Linux's"
)
async def test_it_ends_when_its_parent_is_killed() -> None:
    # The shell in between is the parent; it may not replace itself by its last command.
    process = await start(free_port(), 1, 1, "/bin/sh", "-c", '"$@"; true', "sh")
    await serving(process)
    process.kill()
    assert process.stderr is not None
    # Both processes hold the pipe: it ends when both have.
    await asyncio.wait_for(process.stderr.read(), 30)
    await process.communicate()
