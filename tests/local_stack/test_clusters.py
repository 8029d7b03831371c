"""Clusters are kept to what was decided for as long as they live, on a hub that runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.stack import Client, Program, Stack, running_stack, until

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(600)]

HUB = Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml"
CLUSTERS = "services/dask-gateway/api/v1/clusters/"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    raw: dict[str, Any] = yaml.safe_load(HUB.read_text())
    raw["ScalableHub"]["dask"] |= {
        "max_clusters": 3,
        "linger": "4s",
        "max_linger": "10m",
        "caps": {"everybody": {"workers": 2}},
    }
    raw["LocalHub"]["users"]["carol"] = {"groups": ["research"]}
    raw["LocalHub"].pop("sample_data")
    folder = tmp_path_factory.mktemp("clusters")
    (folder / "hub.yaml").write_text(yaml.safe_dump(raw))
    with running_stack(folder / "data", "--config", str(folder / "hub.yaml")) as stack:
        yield stack


@contextmanager
def server_of(hub: Stack, name: str, server: str = "") -> Iterator[Client]:
    client = hub.sign_in(name)
    client.start_server({"size": "small"}, server=server)
    try:
        yield client
    finally:
        if client.find_server(server):
            client.stop_server(server)


def clusters(client: Client) -> list[str]:
    return list(client.call("GET", CLUSTERS)[1])


def stop_all(client: Client) -> None:
    for name in clusters(client):
        client.call("DELETE", CLUSTERS + name)
    until(lambda: not clusters(client), "no cluster is left", 60)


START = """
from dask_gateway import Gateway
with Gateway() as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False, **{options!r})
    say(cluster.name)
    for line in sys.stdin:
        say(eval(line))
"""


@contextmanager
def started(client: Client, server: str = "", **options: Any) -> Iterator[tuple[str, Program]]:
    """Run a program on a server that starts a cluster and then evaluates lines."""
    with Program(client, START.replace("{options!r}", repr(options)), server) as program:
        yield str(program.answer()), program


def test_all_clusters_of_a_user_share_their_workers_and_get_more_when_there_is_room(hub: Stack) -> None:
    with server_of(hub, "alice") as alice, started(alice) as (_, first), started(alice) as (_, second):
        assert first.ask("cluster.scale(2)") is None
        first.ask("cluster.get_client().wait_for_workers(2, timeout=120)")
        # The second has to wait, and gets what the first gives back.
        second.ask("cluster.scale(1)")
        assert second.ask("len(cluster.get_client().scheduler_info()['workers'])") == 0
        first.ask("cluster.scale(1)")
        second.ask("cluster.get_client().wait_for_workers(1, timeout=120)")
        stop_all(alice)


def test_clusters_end_when_their_server_has_stopped_and_no_others_do(hub: Stack) -> None:
    with server_of(hub, "carol") as carol, started(carol) as (others, _):
        with server_of(hub, "alice") as alice, server_of(hub, "alice", "second"):
            with started(alice) as (mine, _), started(alice, "second") as (seconds, _):
                assert sorted(clusters(alice)) == sorted([mine, seconds])
            alice.stop_server("second")
            until(lambda: clusters(alice) == [mine], "the cluster of the stopped server ends", 60)
            stop_all(alice)
        assert clusters(carol) == [others]
        stop_all(carol)


def test_a_server_that_comes_back_in_time_finds_its_cluster(hub: Stack) -> None:
    with server_of(hub, "alice") as alice:
        with started(alice, linger=600) as (name, _):
            pass
        alice.stop_server()
        alice.start_server({"size": "small"})
        assert clusters(alice) == [name]
        stop_all(alice)


def test_nobody_has_a_cluster_go_on_for_longer_than_the_admin_permits(hub: Stack) -> None:
    with server_of(hub, "alice") as alice:
        status, answer = alice.call(
            "POST", CLUSTERS, {"cluster_options": {"linger": 10_000}}, **{"Content-Type": "application/json"}
        )
        assert status == 422
        assert "linger" in str(answer)


def test_clusters_of_who_leaves_the_group_end(hub: Stack) -> None:
    admin = hub.sign_in("admin")
    with server_of(hub, "carol") as carol, started(carol) as (name, _):
        admin.call("DELETE", "hub/api/groups/research/users", {"users": ["carol"]})
        try:
            until(lambda: not hub_processes(hub, name), "the cluster's processes end", 60)
        finally:
            admin.call("POST", "hub/api/groups/research/users", {"users": ["carol"]})
    until(lambda: clusters(hub.sign_in("carol")) == [], "no cluster is listed", 30)


def hub_processes(hub: Stack, cluster: str) -> list[int]:
    """Return the processes of a cluster's scheduler and workers."""
    found = []
    for process in hub.everything():
        try:
            if cluster in process.environ().get("DASK_GATEWAY_CLUSTER_NAME", ""):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found
