"""S3 clients as people have them: keys from the service, with the environment we set and nothing else.

Keys live 6 s here and nothing waits for them to end: each loop reads and writes without a pause until it has
had three different keys' worth of time. What clients do with keys that live an hour cannot be hurried: their
own thresholds (10 to 15 minutes for botocore, 5 for obstore) are theirs.
"""

from __future__ import annotations

import asyncio

import pytest

from scalablehub.services.credentials.backends.versity import Versity
from tests.clients import S3, script
from tests.keys import SAY, ZARR
from tests.services.credentials.conftest import Place, buckets_at, short_lived
from tests.services.credentials.versitygw import VersityGW

SHORT = short_lived(6)


@pytest.mark.once
async def test_every_client_works_across_two_ends_of_its_keys(place: Place, gateway: VersityGW) -> None:
    names = [f"user-of-{name}" for name in S3]
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
                group.create_task(place.run(user, script(name, client, 15)))
                for user, (name, client) in zip(names, S3.items(), strict=True)
            ]
    finally:
        looking.cancel()
    for client, done in zip(S3, running, strict=True):
        assert int(done.result().rsplit("turns ", 1)[1]) > 5, client
    for user in names:
        # Keys of 6 s, renewed each 3 s: at least the third of them was in use at the end.
        assert len([one for one in made if user in one]) >= 3, (user, made)


async def test_zarr_of_both_versions_through_s3fs_and_obstore(store: Place) -> None:
    assert await store.run("alice", SAY + ZARR) == "[true, true, true, true]\n"


@pytest.mark.parametrize("client", S3)
async def test_no_client_has_keys_from_anywhere_else(store: Place, client: str) -> None:
    """With a token that the service refuses the same client fails: it had its keys from the service."""
    store.hub.people["alice"]["servers"] = {}
    with pytest.raises(AssertionError, match=r"Error|Denied|401|403|credentials"):
        await store.run("alice", script(client, S3[client], 1))
