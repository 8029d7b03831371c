"""Keys for buckets on one machine: the hub runs the service, and everybody's server and cluster asks it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.aws_cli import aws_cli
from tests.canaries import command_lines, pages, seen_in
from tests.google_cloud.fake import FakeGoogle, running_google
from tests.google_cloud.stand_in import OWN
from tests.keys import FOREIGN, KEY_SECONDS, START, STOP, TOKEN, TURNS, WRITE, ZARR, on_server, on_workers
from tests.services.credentials.versitygw import VersityGW
from tests.stack import Client, Stack, call, running_stack, until

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(1200)]

HUB = Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGW]:
    """A store that enforces policies."""
    running = VersityGW(tmp_path_factory.mktemp("versitygw"))
    for bucket in ("scratch", "shared"):
        running.client().create_bucket(Bucket=bucket)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def google() -> Iterator[FakeGoogle]:
    """What stands in for Google, whose tokens live as long as keys."""
    with running_google(KEY_SECONDS) as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, store: VersityGW, google: FakeGoogle) -> Iterator[Stack]:
    """A hub whose keys live for seconds."""
    raw: dict[str, Any] = yaml.safe_load(HUB.read_text())
    raw["LocalHub"].pop("sample_data")
    for bucket in raw["ScalableHub"]["buckets"].values():
        bucket["endpoint"] = store.endpoint
    raw["ScalableHub"]["buckets"]["lake"] = {
        "url": "gs://data/lake",
        "access": "write",
        "per_user": True,
        "variable": "LAKE_BUCKET",
    }
    raw["ScalableHub"]["credentials"] = {
        "s3": {"backend": "versity", "endpoint": store.endpoint, "iam_endpoint": store.iam_endpoint},
        "google": {"project": "research-hub", "endpoint": google.sts},
    }
    folder = tmp_path_factory.mktemp("credentials")
    google.write_key(folder / "account.json")
    (folder / "hub.yaml").write_text(yaml.safe_dump(raw))
    environment = {
        "AWS_ACCESS_KEY_ID": store.keys[0],
        "AWS_SECRET_ACCESS_KEY": store.keys[1],
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "account.json"),
        "SCALABLEHUB_KEY_SECONDS": str(KEY_SECONDS),
    }
    arguments = (folder / "data", "--config", str(folder / "hub.yaml"))
    with running_stack(*arguments, environment=environment) as stack:
        yield stack


@pytest.fixture(scope="module")
def alice(hub: Stack) -> Iterator[Client]:
    client = hub.sign_in("alice")
    client.start_server({"size": "small"})
    yield client
    client.stop_server()


@pytest.fixture(scope="module")
def bob(hub: Stack) -> Iterator[Client]:
    client = hub.sign_in("bob")
    client.start_server({"size": "small"})
    yield client
    client.stop_server()


def keys(client: Client, token: str) -> tuple[int, Any]:
    url = client.environment()["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    return call("GET", url, Authorization=token)


def test_zarr_of_both_versions_through_s3fs_and_obstore(alice: Client) -> None:
    assert alice.run_python(ZARR) == [True] * 4


def test_work_goes_on_across_the_ends_of_keys(alice: Client, google: FakeGoogle) -> None:
    """On a server and on a Dask worker at once, with every client: nothing pauses over two ends."""
    alice.run_python(START)
    programs = [make(google.url, str(aws_cli())) for make in (on_server, on_workers)]
    with ThreadPoolExecutor() as at_once:
        running = [at_once.submit(alice.run_python, program) for program in programs]
    server, found = (each.result() for each in running)
    alice.run_python(STOP)
    for clients in (server, found["clients"]):
        assert {client: turns for client, (turns, _) in clients.items() if turns < TURNS[client]} == {}
        assert clients["boto3"][1] >= 3, "keys that were seen"
    assert found["zarr"] == [True] * 4
    for part in ("worker", "scheduler"):
        said = found[part]
        assert (said["user"], said["server"], said["cluster"]) == ("alice", "", found["cluster"]), part


def test_what_is_somebody_elses_stays_theirs(alice: Client, bob: Client) -> None:
    alice.run_python(WRITE)
    assert bob.run_python(FOREIGN) == ["AccessDenied"] * 7


def test_a_token_is_in_a_file_of_its_own_that_nobody_writes(alice: Client) -> None:
    file = Path(alice.environment()["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == file.read_text().strip()


def test_no_server_has_the_keys_of_the_service(alice: Client, hub: Stack, store: VersityGW) -> None:
    environment = str(alice.environment())
    secrets = (*store.keys, hub.secrets["credentials_token"], "account.json", "PRIVATE KEY", OWN)
    assert [secret for secret in secrets if secret in environment] == []


def test_the_token_ends_with_its_server(alice: Client, hub: Stack) -> None:
    bob = hub.sign_in("admin")
    bob.start_server({"size": "small"}, server="short")
    token = Path(bob.environment("short")["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    written = token.read_text()
    assert keys(alice, written)[0] == 200
    bob.stop_server("short")
    until(lambda: keys(alice, written)[0] == 401, "the token of a stopped server is refused", 10)
    assert not token.exists()


@pytest.fixture
def secrets(alice: Client, hub: Stack, store: VersityGW) -> set[str]:
    """What only the service, or only Alice's own processes, may know."""
    token = alice.run_python(TOKEN)
    status, given = keys(alice, token)
    assert status == 200, given
    return {
        given["SecretAccessKey"],
        store.keys[1],
        hub.secrets["credentials_token"],
        token,
        OWN,
        "canary-narrowed",
        "PRIVATE KEY",
    }


def test_no_secret_is_in_any_log(hub: Stack, secrets: set[str]) -> None:
    logs = "".join(log.read_text(errors="replace") for log in (hub.data_dir / "logs").rglob("*.log"))
    assert '"user": "alice"' in logs, "the audit log is there"
    assert seen_in(logs + hub.output, secrets) == []


def test_no_secret_is_on_any_page_or_in_metrics(hub: Stack, secrets: set[str]) -> None:
    seen = pages(hub.url, hub.secrets["user_password"], hub.secrets["admin_password"])
    assert "scratch" in seen
    assert seen_in(seen, secrets) == []


def test_no_secret_is_in_a_list_of_processes(secrets: set[str]) -> None:
    seen = command_lines()
    assert "jupyterhub" in seen
    assert seen_in(seen, secrets) == []
