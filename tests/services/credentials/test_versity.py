"""Keys that are users of VersityGW: made whole, ended at once, and found again after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scalablehub.services.credentials.backends import StoreError, Wanted
from scalablehub.services.credentials.backends.versity import Versity
from scalablehub.services.credentials.vending import Limits
from tests.services.credentials.conftest import Place, buckets_at, token_of
from tests.services.credentials.versitygw import VersityGW
from tests.stack import free_port

WATCHFUL = Limits(recheck_seconds=0.1)
POLICY = '{"Statement":[{"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::public/*"]}]}'


@pytest.fixture
async def backend(gateway: VersityGW) -> AsyncIterator[Versity]:
    made = Versity(gateway.iam_endpoint, keys=gateway.keys)
    await made.start()
    yield made
    await made.close()


def wanted(seconds: int, user: str = "alice") -> Wanted:
    return Wanted(user, POLICY, int(time.time()) + seconds, seconds)


async def soon(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another server's state
            await asyncio.sleep(0.05)
    assert condition(), what


def denied(client: Any) -> bool:
    try:
        client.get_object(Bucket="public", Key="none")
    except ClientError as error:
        return str(error.response["Error"]["Code"]) == "InvalidAccessKeyId"
    return False


async def test_a_restart_of_ours_ends_what_has_expired_and_nothing_that_lives(
    backend: Versity, gateway: VersityGW
) -> None:
    old, living = await backend.issue(wanted(1)), await backend.issue(wanted(3600))
    gateway.client("iam").create_user(UserName="somebody-elses", Path="/other/")
    another = Versity(gateway.iam_endpoint, keys=gateway.keys)
    await another.start()
    assert await another.sweep(time.time() + 2) >= 1
    await another.close()
    assert old.handle not in gateway.users()
    assert living.handle in gateway.users()
    assert gateway.client("iam").get_user(UserName="somebody-elses")
    await backend.end(living)


async def test_ending_twice_is_ending(backend: Versity, gateway: VersityGW) -> None:
    keys = await backend.issue(wanted(60))
    client = gateway.client(aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key)
    assert not denied(client)
    assert [await backend.end(keys), await backend.end(keys)] == [True, True]
    assert denied(client)


async def test_a_store_that_is_away_is_said_in_our_words(gateway: VersityGW) -> None:
    away = Versity(f"http://127.0.0.1:{free_port()}", keys=gateway.keys)
    await away.start()
    try:
        with pytest.raises(StoreError, match="try again in a few seconds") as refusal:
            await away.issue(wanted(60))
        assert refusal.value.status == 503
        assert "canary" not in str(refusal.value)
    finally:
        await away.close()


@pytest.mark.parametrize("change", ["stopped", "deleted", "left the group"])
async def test_keys_end_when_their_owner_may_not_have_them_any_more(
    place: Place, gateway: VersityGW, change: str
) -> None:
    await place.start(
        Versity(gateway.iam_endpoint, keys=gateway.keys), buckets_at(gateway.endpoint), WATCHFUL
    )
    alice, bob = await place.boto(gateway, "alice"), await place.boto(gateway, "bob")
    assert not denied(alice)
    match change:
        case "stopped":
            place.hub.people["alice"]["servers"] = {}
        case "deleted":
            del place.hub.people["alice"]
        case _:
            place.hub.people["alice"]["groups"] = []
    await soon(lambda: denied(alice), f"alice's keys end: {change}")
    assert not denied(bob)


async def test_while_the_hub_is_away_no_keys_end(place: Place, gateway: VersityGW) -> None:
    await place.start(
        Versity(gateway.iam_endpoint, keys=gateway.keys), buckets_at(gateway.endpoint), WATCHFUL
    )
    alice = await place.boto(gateway, "alice")
    place.hub.status = 502
    asked = len(place.hub.asked)
    await soon(lambda: len(place.hub.asked) >= asked + 3, "the service asked three times")
    assert not denied(alice)


async def test_a_look_that_fails_is_not_the_last_one(
    place: Place, gateway: VersityGW, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await place.start(
        Versity(gateway.iam_endpoint, keys=gateway.keys), buckets_at(gateway.endpoint), WATCHFUL
    )
    alice = await place.boto(gateway, "alice")
    sweep, fails = Versity.sweep, [RuntimeError("canary of a store"), StopAsyncIteration()]

    async def odd(backend: Versity, now: float) -> int:
        if fails:
            raise fails.pop()
        return await sweep(backend, now)

    monkeypatch.setattr(Versity, "sweep", odd)
    place.hub.people["alice"]["servers"] = {}
    await soon(lambda: denied(alice), "alice's keys end")
    assert "Who has keys could not be looked at: RuntimeError" in caplog.text


async def test_a_restart_of_ours_ends_nobodys_work(place: Place, gateway: VersityGW) -> None:
    description = buckets_at(gateway.endpoint)
    await place.start(Versity(gateway.iam_endpoint, keys=gateway.keys), description, WATCHFUL)
    alice = await place.boto(gateway, "alice")
    await place.service.close()
    await place.identity.close()
    await place.start(Versity(gateway.iam_endpoint, keys=gateway.keys), description, WATCHFUL)
    await place.get(token=token_of("bob"))
    assert not denied(alice)
