"""The calls that we make to Amazon's STS, checked with moto's server: it answers, and enforces nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.request
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from scalablehub.services.credentials.backends import StoreError, Wanted
from scalablehub.services.credentials.backends.sts import Sts
from tests.services.dask_gateway.conftest import TinyServer

ROLE = "arn:aws:iam::123456789012:role/hub-buckets"
KEYS = ("AKIDHUB", "canary-of-the-hub")
POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # It loads a service when that is first asked for, which takes longer than we wait for Amazon.
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    with urllib.request.urlopen(f"http://{host}:{port}/", body, timeout=60) as answer:
        answer.read()
    yield f"http://{host}:{port}"
    server.stop()


class Amazon:
    """A server that keeps what it is asked and answers what a test says."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status, self.body = 200, ""
        self.server = TinyServer(self.answer)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append({name: value[0] for name, value in parse_qs(await request.text()).items()})
        return web.Response(status=self.status, text=self.body, content_type="text/xml")


@pytest.fixture
async def amazon() -> AsyncIterator[tuple[Amazon, Sts]]:
    made = Amazon()
    await made.server.start()
    sts = Sts(ROLE, "eu-west-1", f"http://127.0.0.1:{made.server.port}", KEYS)
    await sts.start()
    yield made, sts
    await sts.close()
    await made.server.stop()


def wanted(**changes: Any) -> Wanted:
    return Wanted(**{"user": "a/b", "policy": POLICY, "expires": 0, "lifetime_seconds": 3600} | changes)


async def test_amazons_api_takes_our_call_and_its_keys_come_back(moto: str) -> None:
    sts = Sts(ROLE, "eu-west-1", moto, KEYS)
    await sts.start()
    try:
        keys = await sts.issue(wanted())
    finally:
        await sts.close()
    assert keys.access_key.startswith("ASIA")
    assert keys.token
    assert 3500 < keys.expires - time.time() <= 3601


@pytest.mark.parametrize(("lifetime", "asked"), [(3600, "3600"), (60, "900")])
async def test_the_session_has_the_policy_the_name_and_the_tag(
    amazon: tuple[Amazon, Sts], lifetime: int, asked: str
) -> None:
    server, sts = amazon
    # No answer at all to what was asked; the call is what counts here.
    server.status = 200
    with pytest.raises(StoreError, match="did not answer"):
        await sts.issue(wanted(lifetime_seconds=lifetime))
    assert [
        {name: value for name, value in one.items() if name not in {"Version"}} for one in server.asked
    ] == [
        {
            "Action": "AssumeRole",
            "RoleArn": ROLE,
            "RoleSessionName": "a-b=c14cddc033f6",
            "Policy": POLICY,
            "DurationSeconds": asked,
            "Tags.member.1.Key": "scalablehub-user",
            "Tags.member.1.Value": "a-b=c14cddc033f6",
        }
    ]


async def test_a_server_that_takes_its_time_is_no_answer(amazon: tuple[Amazon, Sts]) -> None:
    server, sts = amazon
    never = asyncio.Event()

    async def wait(request: web.BaseRequest) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    server.server.handler = wait
    with pytest.raises(StoreError, match="did not answer"):
        await sts.issue(wanted())


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("body", ["", "<html>canary</html>", "<a", "<AssumeRoleResponse/>"])
async def test_a_page_in_place_of_an_answer_is_no_answer(
    amazon: tuple[Amazon, Sts], status: int, body: str
) -> None:
    server, sts = amazon
    server.status, server.body = status, body
    with pytest.raises(StoreError) as refusal:
        await sts.issue(wanted())
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AccessDenied", 502, "refuses the hub"),
        ("MalformedPolicyDocument", 502, "refuses the hub"),
        ("PackedPolicyTooLarge", 500, "takes no policy as large"),
        ("Throttling", 503, "did not answer"),
        ("InternalFailure", 503, "did not answer"),
    ],
)
async def test_refusals_are_said_in_our_words(
    amazon: tuple[Amazon, Sts], caplog: pytest.LogCaptureFixture, code: str, status: int, words: str
) -> None:
    server, sts = amazon
    server.status = 400
    server.body = (
        f"<ErrorResponse><Error><Code>{code}</Code><Message>canary-text</Message></Error></ErrorResponse>"
    )
    caplog.set_level(logging.DEBUG, "scalablehub")
    with pytest.raises(StoreError, match=words) as refusal:
        await sts.issue(wanted())
    assert refusal.value.status == status
    assert "canary" not in str(refusal.value) + caplog.text
    assert len(server.asked) == 1
