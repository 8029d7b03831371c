"""S3 clients as people have them: keys from the service, with the environment we set and nothing else.

Keys live 6 s here and nothing waits for them to end: each loop reads and writes without a pause until it has
had three different keys' worth of time. What clients do with keys that live an hour cannot be hurried: their
own thresholds (10 to 15 minutes for botocore, 5 for obstore) are theirs.
"""

from __future__ import annotations

import asyncio

import pytest

from scalablehub.services.credentials.backends.versity import Versity
from scalablehub.services.credentials.vending import Limits
from tests.services.credentials.conftest import Place, buckets_at, loop_of
from tests.services.credentials.versitygw import VersityGW

SHORT = Limits(lifetime_seconds=6, keep_seconds=3, jitter_seconds=0, least_seconds=1, recheck_seconds=0.5)
LOOP = """
import os, time
place = os.environ["SCRATCH_BUCKET"]
bucket, prefix = place.removeprefix("s3://").split("/", 1)
{setup}
end, turns = time.monotonic() + {seconds}, 0
while time.monotonic() < end:
    key, value = f"{prefix}/{name}-{turns % 5}", str(turns).encode()
    {write}
    assert ({read}) == value, turns
    turns += 1
print("turns", turns)
"""
CLIENTS = {
    "boto3": (
        "import boto3; s3 = boto3.client('s3')",
        "s3.put_object(Bucket=bucket, Key=key, Body=value)",
        "s3.get_object(Bucket=bucket, Key=key)['Body'].read()",
    ),
    "s3fs": (
        "import s3fs; fs = s3fs.S3FileSystem(); fs.pipe(f'{place}/0', b''); assert len(fs.ls(place)) == 1",
        "fs.pipe(f'{bucket}/{key}', value)",
        "fs.cat(f'{bucket}/{key}')",
    ),
    "obstore": (
        "from obstore.store import S3Store; store = S3Store(bucket)",
        "store.put(key, value)",
        "bytes(store.get(key).bytes())",
    ),
    "pyarrow": (
        # Takes no endpoint from the environment; the keys it does.
        "from pyarrow.fs import S3FileSystem; "
        "fs = S3FileSystem(endpoint_override=os.environ['AWS_ENDPOINT_URL'])",
        "stream = fs.open_output_stream(f'{bucket}/{key}'); stream.write(value); stream.close()",
        "fs.open_input_stream(f'{bucket}/{key}').read()",
    ),
}


def script(name: str, seconds: float) -> str:
    return loop_of(LOOP, CLIENTS[name], name, seconds)


async def test_every_client_works_across_two_ends_of_its_keys(place: Place, gateway: VersityGW) -> None:
    names = [f"user-of-{name}" for name in CLIENTS]
    for name in names:
        place.hub.add(name)
    await place.start(Versity(gateway.iam_endpoint, keys=gateway.keys), buckets_at(gateway.endpoint), SHORT)
    before = set(gateway.users())
    made: set[str] = set()

    async def look() -> None:
        while True:
            made.update(set(await asyncio.to_thread(gateway.users)) - before)
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look())
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(place.run(user, script(client, 15)))
                for user, client in zip(names, CLIENTS, strict=True)
            ]
    finally:
        looking.cancel()
    for client, done in zip(CLIENTS, running, strict=True):
        assert int(done.result().rsplit("turns ", 1)[1]) > 5, client
    for user in names:
        # Keys of 6 s, renewed each 3 s: at least the third of them was in use at the end.
        assert len([one for one in made if user in one]) >= 3, (user, made)


ZARR = """
import os, numpy, xarray
from obstore.store import S3Store
from zarr.storage import ObjectStore
place = os.environ["SCRATCH_BUCKET"]
bucket, prefix = place.removeprefix("s3://").split("/", 1)
data = xarray.Dataset({"t": (("x", "y"), numpy.arange(64.0).reshape(8, 8))})
for version in (2, 3):
    through = f"{place}/v{version}.zarr"
    data.to_zarr(through, zarr_format=version, mode="w", consolidated=version == 2)
    read = xarray.open_zarr(through, chunks=None, consolidated=version == 2).load()
    assert read.equals(data), version
    store = ObjectStore(S3Store(bucket, prefix=f"{prefix}/o{version}.zarr"))
    data.to_zarr(store, zarr_format=version, mode="w", consolidated=version == 2)
    assert xarray.open_zarr(store, chunks=None, consolidated=version == 2).load().equals(data), version
print("same")
"""


async def test_zarr_of_both_versions_through_s3fs_and_obstore(store: Place) -> None:
    assert "same" in await store.run("alice", ZARR)


@pytest.mark.parametrize("client", CLIENTS)
async def test_no_client_has_keys_from_anywhere_else(store: Place, client: str) -> None:
    """With a token that the service refuses the same client fails: it had its keys from the service."""
    store.hub.people["alice"]["servers"] = {}
    with pytest.raises(AssertionError, match=r"Error|Denied|401|403|credentials"):
        await store.run("alice", script(client, 1))
