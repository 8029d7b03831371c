"""What a running hub shows to others: nothing beyond loopback, and no secret in a command line or a log."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import Client, Program, Stack

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(600)]

CLUSTER = """
from dask_gateway import Gateway
with Gateway() as gateway:
    with gateway.new_cluster() as cluster:
        cluster.scale(2)
        with cluster.get_client() as client:
            client.wait_for_workers(2, timeout=120)
            say(cluster.name)
            sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def busy_hub(hub: Stack, alice: Client, bob: Client) -> Iterator[Stack]:
    """The hub with two servers, a kernel, and a cluster of two workers."""
    status, kernel = alice.call("POST", "user/alice/api/kernels", {})
    assert status == 201, kernel
    with Program(alice, CLUSTER) as program:
        program.answer()
        yield hub
    alice.call("DELETE", f"user/alice/api/kernels/{kernel['id']}")


def listeners(hub: Stack) -> list[tuple[str, str]]:
    """Return (address, command) of every socket on which a process of the hub listens."""
    found = []
    for process in hub.everything():
        try:
            command = " ".join(process.cmdline())
            sockets = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        found += [
            (socket.laddr.ip, command)
            for socket in sockets
            if socket.status == psutil.CONN_LISTEN or (not socket.raddr and socket.type.name == "SOCK_DGRAM")
        ]
    return found


def test_every_kind_of_process_listens(busy_hub: Stack) -> None:
    commands = "\n".join(command for _, command in listeners(busy_hub))
    for word in (
        "configurable-http-proxy",
        "rclone",
        "dask_gateway_server",
        "dask-gateway-proxy",
        "jupyterhub ",
        "scalablehub.services.dask_gateway",
        "jupyterhub-singleuser",
        "ipykernel",
        "dask scheduler",
        "dask worker",
    ):
        assert word in commands


def test_nothing_listens_beyond_loopback(busy_hub: Stack) -> None:
    beyond = [
        (address, command)
        for address, command in listeners(busy_hub)
        if not ipaddress.ip_address(address).is_loopback
    ]
    assert beyond == []


@pytest.fixture(scope="module")
def canaries(busy_hub: Stack, admin: Client, alice: Client, bob: Client) -> dict[str, str]:
    """Everything that nobody else may read: the hub's secrets, people's tokens and servers' tokens."""
    found = dict(busy_hub.secrets)
    for client in (admin, alice, bob):
        found[f"token of {client.name}"] = client.token
    for client in (alice, bob):
        found[f"server token of {client.name}"] = client.environment()["JUPYTERHUB_API_TOKEN"]
    service = busy_hub.part("scalablehub.services.dask_gateway")
    found["service token"] = service.environ()["JUPYTERHUB_API_TOKEN"]
    assert all(len(value) >= 12 for value in found.values())
    return found


def test_no_secret_is_in_a_command_line(busy_hub: Stack, canaries: dict[str, str]) -> None:
    for process in busy_hub.everything():
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        assert [name for name, value in canaries.items() if value in line] == [], line


def test_no_secret_is_in_a_log(busy_hub: Stack, canaries: dict[str, str]) -> None:
    logs = [*(busy_hub.data_dir / "logs").rglob("*.log"), *(busy_hub.data_dir / "run").rglob("*.log")]
    assert len(logs) >= 8
    for log in logs:
        text = log.read_text(errors="replace")
        assert [name for name, value in canaries.items() if value in text] == [], log


def test_secrets_and_data_are_their_owners_alone(busy_hub: Stack) -> None:
    root = busy_hub.data_dir
    private: list[Path] = [root / "secrets.json", root / "run" / "plan.json", root / "hub" / "cookie_secret"]
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}
    folders = [path for path in root.iterdir() if path.is_dir()]
    assert {oct(path.stat().st_mode & 0o077) for path in folders} == {"0o0"}
