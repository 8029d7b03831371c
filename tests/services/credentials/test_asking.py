"""Who gets credentials, and which requests are not heard at all."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from scalablehub.services.credentials.backends.static import Static
from scalablehub.services.credentials.tokens import sign
from scalablehub.services.credentials.vending import Limits
from tests.services.credentials.conftest import KEY, Place, buckets_at, claims_of, token_of

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture
async def service(place: Place) -> Place:
    """The service with a static key: what matters here is who gets it."""
    await place.start(Static("AK", "canary-secret"), buckets_at(ENDPOINT), Limits(), freshness_seconds=0)
    return place


async def test_the_owner_of_a_running_server_gets_keys_in_amazons_form(service: Place) -> None:
    status, keys = await service.get(token=token_of("alice"))
    assert status == 200
    assert sorted(keys) == ["AccessKeyId", "Expiration", "SecretAccessKey", "Token"]
    assert keys["AccessKeyId"] == "AK"


async def test_whoami_tells_everything_but_secrets(service: Place) -> None:
    status, said = await service.get("/whoami", token=token_of("alice"))
    assert status == 200
    assert (said["user"], said["server"], said["groups"]) == ("alice", "", ["team-a"])
    assert {one["name"]: (one["url"], one["access"]) for one in said["buckets"]} == {
        "scratch": ("s3://scratch/alice", "write"),
        "team-a": ("s3://teams/team-a", "read"),
        "public": ("s3://public", "read"),
    }
    assert "canary" not in json.dumps(said)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Host": "127.0.0.1.evil.example:{port}"}, 403),
        ({"Host": "10.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": "http://evil.example/"}, 403),
        ({"Cookie": "a=b"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"X-Forwarded-Host": "127.0.0.1"}, 403),
        ({"X-Forwarded-Context": "/user/alice"}, 403),
        ({"X-ProxyContextPath": "/user/alice"}, 403),
        ({"Forwarded": "for=127.0.0.1"}, 403),
        ({"X-Real-IP": "127.0.0.1"}, 403),
        ({"Via": "1.1 proxy"}, 403),
        ({"Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-WebSocket-Key": "x"}, 403),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "LOCALHOST:{port}"}, 200),
        ({"User-Agent": "aws-sdk"}, 200),
    ],
    ids=str,
)
async def test_pages_and_proxies_are_not_heard(service: Place, headers: dict[str, str], status: int) -> None:
    sent = {name: value.replace("{port}", str(service.service.port)) for name, value in headers.items()}
    sent["Authorization"] = token_of("alice")
    async with service.client.get(f"{service.url}/aws/credentials", headers=sent) as answer:
        text = await answer.text()
        assert answer.status == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert ("canary-secret" in text) is (status == 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/aws/credentials", 405),
        ("OPTIONS", "/aws/credentials", 405),
        ("PUT", "/aws/credentials", 405),
        ("GET", "/aws/credentials?user=bob", 400),
        ("GET", "/aws/credentials?token=x", 400),
        ("GET", "/aws/credentials/", 404),
        ("GET", "/aws/../aws/credentials%2f", 404),
        ("GET", "//aws/credentials", 404),
        ("GET", "/", 404),
    ],
)
async def test_there_is_one_address_and_one_way(service: Place, method: str, path: str, status: int) -> None:
    from yarl import URL

    url = URL(f"{service.url}{path}", encoded=True)
    headers = {"Authorization": token_of("alice")}
    async with service.client.request(method, url, headers=headers) as answer:
        assert answer.status == status
        assert b"canary" not in await answer.read()


@pytest.mark.parametrize("lines", [[], [""], ["a", "a"], ["Bearer x"], ["token x"], ["x\ty"]], ids=str)
async def test_one_token_as_it_is(service: Place, lines: list[str]) -> None:
    headers = [("Authorization", line) for line in lines]
    async with service.client.get(f"{service.url}/aws/credentials", headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["code"] in {"token-missing", "token-refused"}


def server(**changes: Any) -> dict[str, Any]:
    from tests.services.credentials.conftest import STARTED

    return {"name": "", "started": STARTED, "ready": True, "pending": None, "stopped": False} | changes


@pytest.mark.parametrize(
    ("servers", "status"),
    [
        ({"": server()}, 200),
        ({"": server(ready=False, pending="spawn")}, 200),
        ({}, 401),
        (None, 401),
        ({"": server(stopped=True, ready=False)}, 401),
        ({"": server(pending="stop")}, 401),
        ({"": server(ready=False)}, 401),
        ({"": server(started="2026-11-26T02:00:00Z")}, 401),
        ({"": server(started=None)}, 401),
        ({"other": server()}, 401),
    ],
    ids=[
        "runs",
        "starts",
        "none",
        "no answer about servers",
        "stopped",
        "stops",
        "not ready",
        "another start",
        "no start",
        "another server",
    ],
)
async def test_the_server_of_the_token_has_to_run(
    service: Place, servers: dict[str, Any] | None, status: int
) -> None:
    service.hub.people["alice"]["servers"] = servers
    found, _ = await service.get(token=token_of("alice"))
    assert found == status


async def test_a_stopped_server_gets_nothing_although_its_keys_still_live(service: Place) -> None:
    assert (await service.get(token=token_of("alice")))[0] == 200
    service.hub.people["alice"]["servers"] = {}
    status, said = await service.get(token=token_of("alice"))
    assert (status, said["code"]) == (401, "server-stopped")


async def test_somebody_who_is_deleted_gets_nothing(service: Place) -> None:
    del service.hub.people["alice"]
    assert (await service.get(token=token_of("alice")))[0] == 401


async def test_a_token_for_one_name_is_never_another_persons(service: Place) -> None:
    """The hub normalises names; the service takes no answer about anybody else."""
    service.hub.people["Alice"] = service.hub.people["alice"]
    assert (await service.get(token=token_of("Alice")))[0] == 503


@pytest.mark.parametrize(
    "token",
    [
        sign(claims_of("alice", expires=1), KEY),
        sign(claims_of("alice"), b"x"),
        sign(claims_of("alice"), KEY, "other"),
    ],
    ids=["expired", "foreign", "another audience"],
)
async def test_tokens_that_are_none_do_not_even_reach_the_hub(service: Place, token: str) -> None:
    assert (await service.get(token=token))[0] == 401
    assert service.hub.asked == []


@pytest.mark.parametrize("status", [500, 502, 403, 302])
async def test_a_hub_that_does_not_answer_is_not_a_no(service: Place, status: int) -> None:
    service.hub.status = status
    found, said = await service.get(token=token_of("alice"))
    assert (found, said["code"]) == (503, "hub-unavailable")
    assert "canary" not in json.dumps(said)


async def test_a_hub_that_does_not_tell_groups_is_not_a_hub_without(service: Place) -> None:
    del service.hub.people["alice"]["groups"]
    assert (await service.get(token=token_of("alice")))[0] == 503


async def test_workers_go_on_for_the_grace_and_then_end(place: Place) -> None:
    now = [1_000_000.0]
    await place.start(
        Static("AK", "canary-secret"),
        buckets_at(ENDPOINT),
        Limits(),
        freshness_seconds=0,
        grace_seconds=300,
        clock=lambda: now[0],
    )
    worker = sign(claims_of("alice", cluster="c1"), KEY)
    assert (await place.get(token=worker))[0] == 200
    place.hub.people["alice"]["servers"] = {}
    for seconds, status in ((299, 200), (300, 401), (301, 401)):
        now[0] = 1_000_000 + seconds
        assert (await place.get(token=worker))[0] == status, seconds
    assert (await place.get(token=token_of("alice")))[0] == 401


async def test_the_audit_log_says_who_what_and_until_when(
    service: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await service.get(token=token_of("alice"))
    lines = [
        json.loads(one.getMessage()) for one in caplog.records if one.name.startswith("scalablehub.audit")
    ]
    assert [(one["user"], one["access_key"], one["buckets"]) for one in lines] == [
        ("alice", "AK", {"scratch": "write", "team-a": "read", "public": "read"})
    ]
    assert all(record.levelno >= logging.INFO for record in caplog.records if "audit" in record.name)


async def test_somebody_without_a_bucket_hears_why(service: Place) -> None:
    service.description = buckets_at("http://127.0.0.1:10")
    status, said = await service.get(token=token_of("alice"))
    assert (status, said["code"]) == (403, "no-bucket")


async def test_alice_and_bob_over_one_connection_get_their_own(service: Place) -> None:
    for _ in range(5):
        for name in ("alice", "bob"):
            assert (await service.get("/whoami", token=token_of(name)))[1]["user"] == name
    answers = await asyncio.gather(
        *(service.get("/whoami", token=token_of(name)) for name in ("alice", "bob") * 50)
    )
    assert [said["user"] for _, said in answers] == ["alice", "bob"] * 50
