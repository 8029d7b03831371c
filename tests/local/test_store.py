from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import ClientError

from scalablehub.errors import PublicError
from scalablehub.local.store import (
    Store,
    make_buckets,
    rclone_path,
    signed_headers,
    store_command,
    store_environment,
    wait_until_ready,
)
from tests.stack import free_port


def a_store(folder: Path, secret_key: str | None = None) -> Store:
    return Store(free_port(), "scalablehub", secret_key or "mary had a little lamb", folder)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(store: Store, **variables: str) -> subprocess.Popen[bytes]:
        environment = store_environment(store, {**os.environ, **variables})
        processes.append(subprocess.Popen(store_command(store), env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def running(tmp_path: Path, start: Start) -> Store:
    store = a_store(tmp_path / "buckets")
    make_buckets(store, ["shared"])
    start(store)
    await wait_until_ready(store)
    return store


def client(store: Store, secret_key: str | None = None) -> object:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key,
        aws_secret_access_key=secret_key or store.secret_key,
    )


def test_rclone_comes_from_its_package() -> None:
    assert os.access(rclone_path(), os.X_OK)


def test_secret_is_in_no_argument_and_no_repr(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    assert not any("lamb" in argument for argument in [*store_command(store), repr(store)])


def test_secret_is_in_the_environment_as_csv(tmp_path: Path) -> None:
    store = a_store(tmp_path, 'say "hi"')
    assert store_environment(store, {}) == {"RCLONE_AUTH_KEY": '"scalablehub,say ""hi"""'}


def test_settings_of_the_users_own_rclone_are_dropped(tmp_path: Path) -> None:
    environment = store_environment(a_store(tmp_path), {"RCLONE_READ_ONLY": "true", "HOME": "here"})
    assert sorted(environment) == ["HOME", "RCLONE_AUTH_KEY"]


def test_store_listens_on_loopback(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    assert f"--addr=127.0.0.1:{store.port}" in store_command(store)


@pytest.mark.parametrize(
    ("access_key", "secret_key"),
    [("", "secret"), ("key", ""), ("a,b", "secret"), ("key", "a,b"), ("key", "a\nb")],
    ids=["no key", "no secret", "comma in key", "comma in secret", "line break"],
)
def test_keys_that_rclone_cannot_hold_are_refused(tmp_path: Path, access_key: str, secret_key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Store(1, access_key, secret_key, tmp_path)


def test_signature_is_the_one_that_botocore_makes(tmp_path: Path) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    store = a_store(tmp_path)
    theirs = AWSRequest("GET", f"{store.endpoint}/")
    S3SigV4Auth(Credentials(store.access_key, store.secret_key), "s3", "us-east-1").add_auth(theirs)
    moment = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = signed_headers(store, moment)
    assert ours["Authorization"] == theirs.headers["Authorization"]


async def test_objects_are_plain_files(running: Store) -> None:
    client(running).put_object(Bucket="shared", Key="a/b.txt", Body=b"hello")  # type: ignore[attr-defined]
    assert (running.folder / "shared" / "a" / "b.txt").read_bytes() == b"hello"


async def test_files_written_beside_the_store_are_objects(running: Store) -> None:
    (running.folder / "shared" / "new.txt").write_bytes(b"hello")
    found = client(running).get_object(Bucket="shared", Key="new.txt")  # type: ignore[attr-defined]
    assert found["Body"].read() == b"hello"


async def test_bucket_survives_the_deletion_of_its_last_object(running: Store) -> None:
    s3 = client(running)
    s3.put_object(Bucket="shared", Key="a/b.txt", Body=b"hello")  # type: ignore[attr-defined]
    s3.delete_object(Bucket="shared", Key="a/b.txt")  # type: ignore[attr-defined]
    assert list((running.folder / "shared").iterdir()) == []


async def test_another_secret_is_refused(running: Store) -> None:
    with pytest.raises(ClientError) as refusal:
        client(running, "mary had a wolf").list_buckets()  # type: ignore[attr-defined]
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


async def test_requests_without_a_key_are_refused(running: Store) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(running.endpoint) as response:
        assert response.status == 400


def test_buckets_are_private_to_the_user_of_the_machine(tmp_path: Path) -> None:
    store = a_store(tmp_path / "buckets")
    make_buckets(store, ["shared"])
    assert [path.stat().st_mode & 0o777 for path in (store.folder, store.folder / "shared")] == [0o700, 0o700]


async def test_store_that_never_answers_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublicError) as error:
        await wait_until_ready(a_store(tmp_path), timeout_seconds=0.2)
    assert error.value.code == "store-silent"


async def test_store_that_ended_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PublicError) as error:
        await wait_until_ready(a_store(tmp_path), timeout_seconds=60, exited=lambda: True)
    assert error.value.code == "store-ended"


async def test_something_else_at_the_address_is_not_our_store(running: Store) -> None:
    other = Store(running.port, running.access_key, "another secret", running.folder)
    with pytest.raises(PublicError) as error:
        await wait_until_ready(other)
    assert error.value.code == "store-foreign"
