"""What each user may and may not do on a running hub, and in which words they are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scalablehub.spawner.cgroups import find_cgroups
from tests.stack import Client, Program, Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CLUSTERS = "services/dask-gateway/api/v1/clusters/"


def refusal(client: Client, options: object, server: str = "") -> tuple[int, str]:
    """Ask for a server that must be refused, and return the status and the sentence."""
    status, answer = client.call(
        "POST", f"hub/api/users/{client.name}/server" + (f"s/{server}" if server else ""), options
    )
    assert isinstance(answer, dict), answer
    return status, answer["message"]


def cluster_refusal(client: Client, body: object = None) -> tuple[int, str]:
    """Ask for a cluster that must be refused, and return the status and the sentence."""
    status, answer = client.call(
        "POST", CLUSTERS, body or {"cluster_options": {}}, **{"Content-Type": "application/json"}
    )
    return status, answer["error"]["message"] if "error" in answer else answer


def stop_clusters(client: Client) -> None:
    """Stop every cluster of the user, and wait until they are gone."""
    for name in client.call("GET", CLUSTERS)[1]:
        client.call("DELETE", CLUSTERS + name)
    until(lambda: client.call("GET", CLUSTERS)[1] == {}, "no cluster is listed", 60)


@pytest.fixture
def clusters_stop(alice: Client) -> Iterator[None]:
    yield
    stop_clusters(alice)


# Servers


def test_unknown_size_is_refused_with_what_there_is(hub: Stack) -> None:
    assert refusal(hub.sign_in("alice"), {"size": "huge"}, "extra") == (
        400,
        "There is no size 'huge' for you; choose small, medium or large.",
    )


def test_unknown_option_is_refused(hub: Stack) -> None:
    assert refusal(hub.sign_in("alice"), {"cpu": "64"}, "extra") == (
        400,
        "'cpu' is not a choice of this hub; choose size, image or interface.",
    )


def test_what_is_not_installed_is_refused_with_the_reason(hub: Stack) -> None:
    assert refusal(hub.sign_in("alice"), {"interface": "rstudio"}, "extra") == (
        403,
        "RStudio cannot be chosen: Not on this machine: rserver is not installed.",
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": ["large"]}, "The size must be a name, not ['large']."),
        ({"size": {"$ne": 1}}, "The size must be a name, not {'$ne': 1}."),
    ],
    ids=repr,
)
def test_malformed_options_are_refused(hub: Stack, options: object, sentence: str) -> None:
    assert refusal(hub.sign_in("alice"), options, "extra") == (400, sentence)


def test_options_that_are_no_object_start_nothing(hub: Stack) -> None:
    client = hub.sign_in("alice")
    status, _ = client.call("POST", "hub/api/users/alice/servers/extra", "large")
    assert status in (400, 500)  # JupyterHub's own answer: 500 in version 5
    servers = client.call("GET", "hub/api/users/alice")[1]["servers"]
    assert servers.get("extra", {}).get("started") is None


def test_refused_options_are_not_remembered(hub: Stack, admin: Client) -> None:
    client = hub.sign_in("admin")
    assert refusal(client, {"size": "huge"})[0] == 400
    client.start_server({})
    try:
        assert client.environment()["MEM_LIMIT"] == size_memory(hub, "small")
    finally:
        client.stop_server()


def size_memory(hub: Stack, size: str) -> str:
    """Return the bytes of a size, as the plan has them resolved for this machine."""
    return str(hub.plan["description"]["sizes"][size]["memory"])


def test_size_sets_the_limit_of_memory(hub: Stack, alice: Client) -> None:
    groups = find_cgroups()
    if groups is None:
        pytest.skip("this machine lets nobody set limits")
    (server,) = alice.find_server()
    joined = Path(f"/proc/{server.pid}/cgroup").read_text()
    name = f"scalablehub-{hub.plan['ports']['hub']}-alice"
    assert f"/{name}\n" in joined
    limit = "memory.max" if groups.version == 2 else "memory.limit_in_bytes"
    wanted = int(size_memory(hub, "medium"))
    assert 0 <= wanted - int((groups.memory / name / limit).read_text()) < 4096


def test_server_knows_its_size(hub: Stack, alice: Client) -> None:
    environment = alice.environment()
    assert environment["MEM_LIMIT"] == size_memory(hub, "medium")
    assert environment["OMP_NUM_THREADS"] == environment["DASK_NUM_WORKERS"]


def test_named_server_runs_beside_the_default_one(hub: Stack, alice: Client) -> None:
    url = alice.start_server({"size": "small"}, "analysis")
    try:
        assert url == f"{hub.url}user/alice/analysis/"
        status, answer = alice.call("GET", "user/alice/analysis/api/status")
        assert (status, answer["kernels"]) == (200, 0)
        assert alice.environment("analysis")["HOME"] == alice.environment()["HOME"]
        assert len(alice.find_server()) == 1
    finally:
        alice.stop_server("analysis")


def test_homes_of_two_users_differ(hub: Stack, alice: Client, bob: Client) -> None:
    homes = hub.data_dir / "homes"
    assert alice.environment()["HOME"] == str(homes / "alice")
    assert bob.environment()["HOME"] == str(homes / "bob")


def test_scratch_of_two_users_differs(alice: Client, bob: Client) -> None:
    assert alice.environment()["SCRATCH_BUCKET"] == "s3://scratch/alice"
    assert bob.environment()["SCRATCH_BUCKET"] == "s3://scratch/bob"


def test_home_is_kept_when_the_server_starts_again(hub: Stack, bob: Client) -> None:
    notes = hub.data_dir / "homes" / "bob" / "start.ipynb"
    notes.write_text("mine")
    bob.stop_server()
    bob.start_server({})
    assert notes.read_text() == "mine"


def test_user_cannot_reach_another_users_server(alice: Client, bob: Client) -> None:
    assert bob.call("GET", "user/alice/api/status")[0] == 403


def test_culler_runs_once(hub: Stack) -> None:
    assert "--timeout=3600" in hub.part("jupyterhub_idle_culler").cmdline()


# Who may have clusters


def test_guest_has_no_variables_of_the_gateway(bob: Client) -> None:
    assert [name for name in bob.environment() if name.startswith("DASK_GATEWAY")] == []


def test_guest_is_told_who_may_have_clusters(bob: Client) -> None:
    program = f"""
from dask_gateway import Gateway
try:
    with Gateway({bob.stack.url + "services/dask-gateway"!r}, auth="jupyterhub") as gateway:
        say(gateway.list_clusters())
except Exception as error:
    say([type(error).__name__, str(error)])
"""
    kind, words = bob.run_python(program)
    assert "You may not use Dask clusters on this hub yet." in words, (kind, words)


def test_member_who_is_removed_is_refused_at_once(hub: Stack, admin: Client, alice: Client) -> None:
    assert alice.call("GET", CLUSTERS)[0] == 200
    assert admin.call("DELETE", "hub/api/groups/research/users", {"users": ["alice"]})[0] == 200
    try:
        status, sentence = cluster_refusal(alice)
        assert (status, sentence[:46]) == (403, "You may not use Dask clusters on this hub yet.")
    finally:
        assert admin.call("POST", "hub/api/groups/research/users", {"users": ["alice"]})[0] == 200


# What a cluster may be

OPEN_TWO = """
from dask_gateway import Gateway
with Gateway() as gateway:
    clusters = [gateway.new_cluster(shutdown_on_close=False) for _ in range(2)]
    names = sorted(cluster.name for cluster in clusters)
    try:
        gateway.new_cluster()
    except Exception as error:
        say([names, type(error).__name__, str(error)])
    for cluster in clusters:
        cluster.shutdown()
"""


@pytest.mark.usefixtures("clusters_stop")
def test_third_cluster_is_refused_with_a_way_out(alice: Client) -> None:
    names, _, sentence = alice.run_python(OPEN_TWO)
    assert re.search(r"You have 2 of 2 clusters: (\w+), (\w+)\. Stop one first", sentence), sentence
    assert all(name in sentence for name in names)


def test_unknown_worker_size_is_refused_with_what_there_is(alice: Client) -> None:
    status, sentence = cluster_refusal(alice, {"cluster_options": {"worker_size": "gigantic"}})
    assert (status, sentence) == (422, "'gigantic' is not a valid option for worker_size")


def test_unknown_cluster_option_is_refused(alice: Client) -> None:
    status, sentence = cluster_refusal(alice, {"cluster_options": {"worker_memory": "1T"}})
    assert status == 422
    assert "worker_memory" in sentence


CANNOT_START = """
import time
from dask_gateway import Gateway
started = time.monotonic()
try:
    with Gateway() as gateway:
        gateway.new_cluster(environment={"DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "['no_such_module']"})
except Exception as error:
    say([type(error).__name__, str(error), time.monotonic() - started])
"""


@pytest.mark.usefixtures("clusters_stop")
def test_cluster_that_cannot_start_tells_the_reason(alice: Client) -> None:
    _, words, seconds = alice.run_python(CANNOT_START)
    assert "No module named 'no_such_module'" in words
    assert seconds < 40


@contextmanager
def computing(client: Client, **environment: str) -> Iterator[Program]:
    program = f"""
from dask_gateway import Gateway
with Gateway() as gateway:
    with gateway.new_cluster(environment={environment!r}) as cluster:
        cluster.scale(1)
        with cluster.get_client() as client:
            client.wait_for_workers(1, timeout=120)
            say(cluster.name)
            for line in sys.stdin:
                def run(line=line):
                    import os
                    return eval(line)
                say(client.submit(run, pure=False).result())
"""
    with Program(client, program) as started:
        started.answer()
        yield started


@pytest.mark.usefixtures("clusters_stop")
def test_workers_have_the_users_variables_but_the_hubs_buckets(alice: Client) -> None:
    with computing(alice, GREETING="hello", SCRATCH_BUCKET="s3://elsewhere") as program:
        assert program.ask("os.environ['GREETING']") == "hello"
        assert program.ask("os.environ['SCRATCH_BUCKET']") == "s3://scratch/alice"
