"""Registries that do what a real one here would not: these are servers of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scalablehub.errors import PublicError
from scalablehub.registry import Credential, FoundImage, ImageFinder, Registries, parse_reference
from tests.registry.registries import OCI_INDEX, OCI_MANIFEST, digest_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CREDENTIAL = Credential("puller", "canary-pass-w0rd")
CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [{"digest": digest_of(b"x"), "size": 1}],
    }
).encode()


class Odd:
    """A registry that answers what a test says, and notes what it was sent."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.sent: list[tuple[str, str | None]] = []
        self.host = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.sent.append((request.path, request.headers.get("Authorization")))
        for part, handler in self.handlers.items():
            if part in request.path:
                return await handler(request)
        return web.Response(status=404, text="{}")

    def answers(self, part: str, body: bytes = b"", **words: Any) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=body, **words)

        self.handlers[part] = answer

    def has_image(self) -> None:
        self.answers("/manifests/", MANIFEST, content_type=OCI_MANIFEST)
        self.answers("/blobs/", CONFIG)

    async def find(self, **words: Any) -> FoundImage:
        client = Registries({self.host: CREDENTIAL}, insecure=[self.host], **{"timeout_seconds": 5, **words})
        return await client.find(parse_reference(f"{self.host}/lab/x:1"))

    async def refusal(self, **words: Any) -> PublicError:
        with pytest.raises(PublicError) as raised:
            await self.find(**words)
        assert "canary" not in raised.value.message
        assert len(raised.value.message) < 500
        return raised.value


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    odd = Odd()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", odd.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        odd.host = f"127.0.0.1:{server.port}"
        yield odd


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (429, {}, "it has been asked too often; try again later"),
        (429, {"Retry-After": "30"}, "it has been asked too often; try again in 30 seconds"),
        (500, {}, "it answers 500"),
        (503, {}, "it answers 503"),
        (302, {"Location": "https://elsewhere.example/"}, "it answers 302"),
    ],
)
async def test_a_registry_that_does_not_answer_is_away(
    odd: Odd, status: int, headers: dict[str, str], words: str
) -> None:
    odd.answers("/manifests/", status=status, headers=headers)
    error = await odd.refusal()
    assert (error.code, error.status) == ("registry-away", 503)
    assert words in error.message


async def test_a_registry_that_hangs_is_away_after_a_while(odd: Odd) -> None:
    released = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    odd.handlers["/manifests/"] = hang
    assert (await odd.refusal(timeout_seconds=0.2)).code == "registry-away"
    released.set()


async def test_a_registry_that_is_not_there_is_away() -> None:
    with pytest.raises(PublicError) as raised:
        await Registries(insecure=["127.0.0.1:9"]).find(parse_reference("127.0.0.1:9/x:1"))
    assert raised.value.code == "registry-away"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", OCI_MANIFEST),
        (b"no json", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"{}", OCI_MANIFEST),
        (b"{}", "text/html"),
        (b'{"config": {"digest": "../../etc"}}', OCI_MANIFEST),
        (b'{"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}', OCI_INDEX),
        (MANIFEST.replace(b'"size": 1}', b'"size": "many"}'), OCI_MANIFEST),
        (MANIFEST.replace(b'"size": 1}', b'"size": -5}'), OCI_MANIFEST),
        (b" " * (4 * 2**20 + 1), OCI_MANIFEST),
    ],
    ids=["empty", "text", "list", "nothing", "page", "path", "no digest", "no size", "negative", "long"],
)
async def test_what_is_no_image_is_odd(odd: Odd, body: bytes, kind: str) -> None:
    odd.has_image()
    odd.answers("/manifests/", body, content_type=kind)
    error = await odd.refusal()
    assert (error.code, error.status) == ("registry-odd", 503)


async def test_content_that_is_not_what_its_digest_says_is_odd(odd: Odd) -> None:
    odd.has_image()
    odd.answers("/blobs/", CONFIG + b" ")
    assert "not what its digest says" in (await odd.refusal()).message
    odd.has_image()
    odd.answers(
        "/manifests/",
        MANIFEST,
        content_type=OCI_MANIFEST,
        headers={"Docker-Content-Digest": digest_of(b"another")},
    )
    assert "not what its digest says" in (await odd.refusal()).message


# Sign-in


def challenge(realm: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="{realm}",service="tests",scope="repository:lab/x:pull"'}


async def test_a_token_is_asked_for_with_the_credential_and_sent_to_the_registry(odd: Odd) -> None:
    odd.has_image()

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer the-token":
            return web.Response(status=401, headers=challenge(f"http://{odd.host}/token"))
        return web.Response(body=MANIFEST, content_type=OCI_MANIFEST)

    async def token(request: web.Request) -> web.StreamResponse:
        assert dict(request.query) == {"service": "tests", "scope": "repository:lab/x:pull"}
        return web.json_response({"token": "the-token"})

    odd.handlers |= {"/manifests/": guarded, "/token": token}
    assert (await odd.find()).digest == digest_of(MANIFEST)
    assert [header.split()[0] for path, header in odd.sent if header and path == "/token"] == ["Basic"]


@pytest.mark.parametrize(
    "realm",
    ["http://169.254.169.254/token", "http://localhost:9/token", "file:///etc/passwd", "", "gopher://x"],
)
async def test_a_credential_is_not_taken_where_it_would_be_seen(odd: Odd, realm: str) -> None:
    odd.answers("/manifests/", status=401, headers=challenge(realm))
    error = await odd.refusal()
    assert error.code in {"registry-odd", "image-forbidden"}
    assert [header for _, header in odd.sent if header] == []


@pytest.mark.parametrize(
    "answer", [{"token": ""}, {}, {"token": "a b"}, {"token": "a\r\nX: y"}, {"token": 1}]
)
async def test_a_sign_in_without_a_token_is_odd(odd: Odd, answer: dict[str, Any]) -> None:
    odd.answers("/manifests/", status=401, headers=challenge(f"http://{odd.host}/token"))
    odd.answers("/token", json.dumps(answer).encode(), content_type="application/json")
    assert (await odd.refusal()).message.endswith("but its sign-in gives no token.")


async def test_who_keeps_blobs_elsewhere_gets_no_credential(odd: Odd) -> None:
    odd.has_image()
    odd.answers("/elsewhere", CONFIG)
    odd.answers("/blobs/", status=307, headers={"Location": f"http://{odd.host}/elsewhere"})

    async def guarded(request: web.Request) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
        return web.Response(body=MANIFEST, content_type=OCI_MANIFEST)

    odd.handlers["/manifests/"] = guarded
    assert await odd.find()
    assert dict(odd.sent)["/elsewhere"] is None


async def test_blobs_are_not_fetched_where_the_hub_does_not_ask(odd: Odd) -> None:
    odd.has_image()
    odd.answers("/blobs/", status=307, headers={"Location": "http://169.254.169.254/latest"})
    assert "kept where this hub does not ask" in (await odd.refusal()).message


# Remembering


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_one_image_is_asked_for_once_at_a_time_and_remembered(odd: Odd) -> None:
    odd.has_image()
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    reference = parse_reference(f"{odd.host}/lab/x:1")
    found = await asyncio.gather(*(finder.find(reference) for _ in range(50)))
    assert len(set(found)) == 1
    asked = len(odd.sent)
    assert asked == 2  # the manifest and its configuration
    clock.now = 299
    await finder.find(reference)
    assert len(odd.sent) == asked
    clock.now = 301
    await finder.find(reference)
    assert len(odd.sent) == 2 * asked


async def test_an_error_is_repeated_for_five_seconds_only(odd: Odd) -> None:
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    reference = parse_reference(f"{odd.host}/lab/x:1")
    for _ in range(3):
        with pytest.raises(PublicError):
            await finder.find(reference)
    odd.has_image()
    with pytest.raises(PublicError):
        await finder.find(reference)
    clock.now = 5.1
    assert await finder.find(reference)


async def test_who_goes_away_does_not_take_the_answer_from_others(odd: Odd) -> None:
    odd.has_image()
    finder = ImageFinder(Registries(insecure=[odd.host]))
    reference = parse_reference(f"{odd.host}/lab/x:1")
    first = asyncio.create_task(finder.find(reference))
    second = asyncio.create_task(finder.find(reference))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
