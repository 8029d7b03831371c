"""Whatever part of the hub is killed: what should survive does, what should end ends, and it heals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

from scalablehub.spawner.cgroups import find_cgroups
from tests.local_stack.conftest import RunHub
from tests.local_stack.kernel import run_code
from tests.stack import Client, Program, Stack, call, free_port, until

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(900)]

CLUSTERS = "services/dask-gateway/api/v1/clusters/"

COMPUTING = """
from dask_gateway import Gateway
with Gateway() as gateway:
    with gateway.new_cluster() as cluster:
        cluster.scale(2)
        with cluster.get_client() as client:
            client.wait_for_workers(2, timeout=120)
            say(cluster.name)
            for line in sys.stdin:
                say(client.submit(eval, line, pure=False).result(timeout=60))
"""

# What a person's own program meets when the gateway goes away under it.
COMPUTING_ON = """
from dask_gateway import Gateway
with Gateway() as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False)
    cluster.scale(1)
    client = cluster.get_client()
    client.wait_for_workers(1, timeout=120)
    say(cluster.name)
    sys.stdin.readline()
    try:
        client.submit(sum, [1, 2], pure=False).result(timeout=60)
    except Exception as error:
        say([type(error).__name__, str(error)])
    else:
        say(["no error", ""])
    import os
    os._exit(0)
"""

NEW_CLUSTER = """
from dask_gateway import Gateway
with Gateway() as gateway:
    with gateway.new_cluster() as cluster:
        cluster.scale(1)
        with cluster.get_client() as client:
            say(client.submit(sum, [20, 22]).result(timeout=120))
"""


def kill(process: psutil.Process) -> None:
    process.kill()
    psutil.wait_procs([process], timeout=10)


def answers(stack: Stack, path: str, status: int = 200, client: Client | None = None) -> bool:
    """Whether a path of the hub answers with the status; nobody listening is no answer."""
    try:
        return (client.call("GET", path) if client else call("GET", stack.url + path))[0] == status
    except (URLError, ConnectionError, TimeoutError):
        return False


def dask_processes(stack: Stack) -> list[psutil.Process]:
    return stack.parts("-m dask ")


# The parts, one after the other, on one hub that heals each time


@pytest.fixture(scope="module")
def stack(run_hub: RunHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_hub(tmp_path_factory.mktemp("kill")) as stack:
        yield stack


@pytest.fixture(scope="module")
def alice(stack: Stack) -> Client:
    client = stack.sign_in("alice")
    client.start_server({"size": "medium"})
    return client


def test_store_comes_back_with_its_data(stack: Stack, alice: Client) -> None:
    program = """
import os, fsspec
path = os.environ["SCRATCH_BUCKET"] + "/kept.txt"
"""
    assert alice.run_python(program + "fsspec.open(path, 'w').open().close(); say(1)") == 1
    write = program + "with fsspec.open(path, 'w') as file: file.write('still here')\nsay(1)"
    assert alice.run_python(write) == 1
    kill(stack.part("rclone serve"))
    stack.wait_for(r"the object store ended \(SIGKILL\) and is started again", 20)
    until(lambda: stack.parts("rclone serve"), "the store runs", 20)
    read = program + "with fsspec.open(path) as file: say(file.read().decode())"
    assert alice.run_python(read) == "still here"


def test_proxy_comes_back_with_its_routes(stack: Stack, alice: Client) -> None:
    kill(stack.part("configurable-http-proxy"))
    stack.wait_for(r"the proxy ended \(SIGKILL\) and is started again", 20)
    until(lambda: answers(stack, "user/alice/api/status", client=alice), "alice's server is routed", 40)
    until(lambda: answers(stack, CLUSTERS, client=alice), "the service is routed", 40)


def test_service_comes_back_while_a_client_computes(stack: Stack, alice: Client) -> None:
    with Program(alice, COMPUTING) as program:
        name = program.answer()
        before = stack.part("scalablehub.services.dask_gateway")
        kill(before)
        assert program.ask("6 * 7") == 42
        until(lambda: answers(stack, CLUSTERS, client=alice), "the service answers", 60)
        assert stack.part("scalablehub.services.dask_gateway").pid != before.pid
        assert list(alice.call("GET", CLUSTERS)[1]) == [name]
        assert program.ask("6 * 7") == 42


def test_hub_comes_back_around_what_runs(stack: Stack, alice: Client) -> None:
    (server,) = alice.find_server()
    with Program(alice, COMPUTING) as program:
        program.answer()
        kill(stack.part("jupyterhub -f"))
        assert program.ask("6 * 7") == 42
        stack.wait_for(r"JupyterHub ended \(SIGKILL\) and is started again", 20)
        until(lambda: answers(stack, "hub/health"), "the hub answers", 60)
        assert program.ask("6 * 7") == 42
        until(lambda: answers(stack, "user/alice/api/status", client=alice), "alice's server answers", 60)
        until(lambda: answers(stack, CLUSTERS, client=alice), "the service answers", 60)
    assert [process.pid for process in alice.find_server()] == [server.pid]
    stack.sign_in("bob")
    assert len(stack.parts("scalablehub.services.dask_gateway")) == 1
    assert len(stack.parts("jupyterhub_idle_culler")) == 1


def test_gateway_comes_back_without_its_clusters(stack: Stack, alice: Client) -> None:
    with Program(alice, COMPUTING_ON) as program:
        name = program.answer()
        old = dask_processes(stack)
        assert len(old) == 2
        kill(stack.part("dask_gateway_server -f"))
        stack.wait_for(r"dask-gateway ended \(SIGKILL\) and is started again", 20)
        _, alive = psutil.wait_procs(old, timeout=20)
        assert alive == []
        until(lambda: answers(stack, CLUSTERS, client=alice), "the gateway answers", 60)
        kind, words = program.ask("")
    assert kind != "no error"
    assert words
    until(lambda: name not in alice.call("GET", CLUSTERS)[1], "the old cluster is not listed", 30)
    status, report = alice.call("GET", CLUSTERS + name)
    assert (status, report["status"]) == (200, "FAILED")
    assert alice.run_python(NEW_CLUSTER) == 42
    assert len(stack.parts("dask-gateway-proxy")) == 1


def test_kernels_of_a_killed_server_end(stack: Stack) -> None:
    bob = stack.sign_in("bob")
    bob.start_server({})
    status, kernel = bob.call("POST", "user/bob/api/kernels", {})
    assert status == 201
    # One that has not begun yet does not know its parent.
    cell = asyncio.run(run_code(f"{stack.url}user/bob/", bob.token, kernel["id"], "print(6 * 7)"))
    assert cell.text() == "42\n"
    (server,) = bob.find_server()
    kernels = server.children()
    assert len(kernels) == 1
    kill(server)
    _, alive = psutil.wait_procs(kernels, timeout=20)
    assert alive == []
    until(lambda: "" not in bob.call("GET", "hub/api/users/bob")[1]["servers"], "the hub knows", 30)


def test_second_hub_over_the_same_data_is_refused(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scalablehub", "up", "--data-dir", str(stack.data_dir), "--reset"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"scalablehub: A hub with the data in {stack.data_dir} is running already: {stack.url} "
        "Stop it there, or start another with --data-dir and --port.\n"
    )
    assert answers(stack, "hub/health")


# The whole


@contextmanager
def used_hub(data_dir: Path) -> Iterator[tuple[Stack, list[psutil.Process]]]:
    """Run a hub with a server, a kernel and a cluster; give all of its processes."""
    stack = Stack(data_dir)
    try:
        stack.wait_until_ready()
        alice = stack.sign_in("alice")
        alice.start_server({"size": "medium"})
        assert alice.call("POST", "user/alice/api/kernels", {})[0] == 201
        with ExitStack() as programs:
            program = programs.enter_context(Program(alice, COMPUTING))
            program.answer()
            processes = [psutil.Process(stack.process.pid), *stack.descendants()]
            assert len(processes) >= 14
            programs.callback(program.process.kill)
            yield stack, processes
    finally:
        if stack.process.poll() is None:
            stack.stop()
        for process in stack.everything():
            with suppress(psutil.NoSuchProcess):
                process.kill()


def assert_all_end(stack: Stack, processes: list[psutil.Process], timeout_seconds: float = 30) -> None:
    _, alive = psutil.wait_procs(processes, timeout=timeout_seconds)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    until(lambda: not stack.everything(), "nothing of the hub is left", 10)
    if groups := find_cgroups():
        assert list(groups.memory.glob(f"scalablehub-{stack.plan['ports']['hub']}-*")) == []


def test_hub_survives_what_killed_it(seeded: Callable[[Path], Path], tmp_path: Path) -> None:
    """One data folder through its worst days, each start finding what the last one kept."""
    data_dir = seeded(tmp_path / "data")
    notes = data_dir / "homes" / "alice" / "notes.txt"
    saved = data_dir / "store" / "scratch" / "alice" / "result.txt"

    # The supervisor is killed: `up` ends everything, and says so.
    with used_hub(data_dir) as (stack, processes):
        notes.write_text("mine")
        saved.parent.mkdir(parents=True)
        saved.write_text("42")
        password = stack.secrets["user_password"]
        kill(stack.part("-m scalablehub.local "))
        assert stack.wait_until_ended() == 1
        assert "scalablehub: The hub's supervisor was ended from outside" in stack.output
        assert_all_end(stack, processes)

    # `up` is killed: the supervisor ends everything.
    with used_hub(data_dir) as (stack, processes):
        assert stack.secrets["user_password"] == password
        assert notes.read_text() == "mine"
        assert saved.read_text() == "42"
        stack.process.kill()
        assert_all_end(stack, processes)

    # It starts again, and Ctrl-C ends it in order.
    with used_hub(data_dir) as (stack, processes):
        assert notes.read_text() == "mine"
        assert stack.stop(signal.SIGINT) == 0
        assert stack.output.endswith("  Stopped. Users, homes and data are kept.")
        assert_all_end(stack, processes)

    # It begins anew if asked to, and SIGTERM ends it in order.
    stack = Stack(data_dir, "--reset", "--config", str(without_sample_data(tmp_path)))
    try:
        stack.wait_until_ready()
        assert stack.secrets["user_password"] != password
        assert not notes.exists()
        assert not saved.exists()
        processes = stack.descendants()
        assert stack.stop(signal.SIGTERM) == 0
        assert_all_end(stack, processes)
    finally:
        stack.kill()


def without_sample_data(folder: Path) -> Path:
    shipped = Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml"
    path = folder / "hub.yaml"
    path.write_text(shipped.read_text().replace("  sample_data: shared\n", ""))
    return path


@pytest.mark.parametrize("part", ["the proxy", "dask-gateway", "JupyterHub"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_stop_while_a_part_starts_ends_well(tmp_path: Path, part: str, number: int) -> None:
    stack = Stack(tmp_path / "data", "--config", str(without_sample_data(tmp_path)), port=free_port())
    try:
        stack.wait_for(f"Starting {part}", 60)
        assert stack.stop(number) == 0
        assert stack.output.endswith("  Stopped. Users, homes and data are kept.")
        assert_all_end(stack, [])
    finally:
        stack.kill()
