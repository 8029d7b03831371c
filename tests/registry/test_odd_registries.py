"""Registries that do what a real one here would not: these are servers of ours."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scalablehub.errors import PublicError
from scalablehub.registry import Credential, FoundImage, ImageFinder, Registries, addresses, parse_reference
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
        (b"[" * 1_000_000, OCI_MANIFEST),
        (b'{"layers": 1, "config": 2}', OCI_MANIFEST),
        (gzip.compress(MANIFEST), OCI_MANIFEST),
    ],
    ids=[
        "empty",
        "text",
        "list",
        "nothing",
        "page",
        "path",
        "no digest",
        "no size",
        "negative",
        "long",
        "deep",
        "no parts",
        "packed",
    ],
)
async def test_what_is_no_image_is_odd(odd: Odd, body: bytes, kind: str) -> None:
    odd.has_image()
    odd.answers("/manifests/", body, content_type=kind)
    error = await odd.refusal()
    assert (error.code, error.status) == ("registry-odd", 503)


@pytest.mark.parametrize(
    "manifests",
    [1, None, "x", [1, None, []], [{}], [{"platform": "x"}], [{"platform": {"os": ["linux"]}}]],
    ids=str,
)
async def test_an_index_of_no_images_has_no_platform(odd: Odd, manifests: object) -> None:
    odd.answers("/manifests/", json.dumps({"manifests": manifests}).encode(), content_type=OCI_INDEX)
    error = await odd.refusal()
    assert error.message == f"{odd.host}/lab/x:1 is for no platform; this hub needs linux/amd64."


async def test_what_is_kept_in_a_registry_and_is_no_image_is_told(odd: Odd) -> None:
    chart = b'{"name": "a-helm-chart"}'
    manifest = MANIFEST.replace(digest_of(CONFIG).encode(), digest_of(chart).encode())
    odd.answers("/manifests/", manifest, content_type=OCI_MANIFEST)
    odd.answers("/blobs/", chart)
    error = await odd.refusal()
    assert (error.code, error.status) == ("image-unfit", 400)
    assert error.message == f"{odd.host}/lab/x:1 is not a container image."


async def test_what_is_packed_is_not_unpacked_into_the_hubs_memory(odd: Odd) -> None:
    odd.has_image()
    headers = {"Content-Encoding": "gzip"}
    odd.answers("/manifests/", gzip.compress(MANIFEST), content_type=OCI_MANIFEST, headers=headers)
    assert (await odd.refusal()).code == "registry-odd"


async def test_tags_that_are_no_tags_are_not_shown(odd: Odd) -> None:
    tags = ["1.1", "1<script>", "1\nx", "1" * 200, 1, None, {}]
    odd.answers("/tags/", json.dumps({"tags": tags}).encode(), content_type="application/json")
    assert (await odd.refusal()).message == f"{odd.host}/lab/x has no '1'; there is 1.1."


@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
async def test_an_image_that_is_not_there_needs_no_list_of_tags(odd: Odd, status: int) -> None:
    odd.answers("/tags/", b"no json", status=status)
    error = await odd.refusal()
    assert (error.code, error.status) == ("image-absent", 400)
    assert error.message == f"There is no image {odd.host}/lab/x:1 that this hub can see."


async def test_an_image_that_is_not_there_does_not_wait_for_tags(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalablehub.registry.client._NEAR_TAGS_SECONDS", 0.1)
    released = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    odd.handlers["/tags/"] = hang
    assert (await odd.refusal()).code == "image-absent"
    released.set()


async def test_a_thousand_tags_are_looked_at_and_no_more(odd: Odd) -> None:
    odd.answers("/tags/", json.dumps({"tags": ["far"] * 1000 + ["1.1"]}).encode())
    assert (await odd.refusal()).message == f"{odd.host}/lab/x has no '1'."


async def test_the_whole_question_has_one_time_limit(odd: Odd) -> None:
    """A registry that takes nearly as long as it may for each of its answers does not get that each time."""
    waits = asyncio.Event()

    async def slow(_request: web.Request) -> web.StreamResponse:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(waits.wait(), 0.3)
        return web.Response(body=MANIFEST, content_type=OCI_MANIFEST)

    odd.handlers |= {"/manifests/": slow, "/blobs/": slow}
    error = await odd.refusal(timeout_seconds=0.5)
    assert error.message.endswith("cannot be asked about images: it does not answer in time.")


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
async def test_a_digest_of_either_kind_is_held_against_the_content(odd: Odd, kind: str) -> None:
    odd.has_image()
    client = Registries(insecure=[odd.host])
    right = f"{kind}:{hashlib.new(kind, MANIFEST).hexdigest()}"
    found = await client.find(parse_reference(f"{odd.host}/lab/x@{right}"))
    assert (found.digest, found.pinned) == (right, f"{odd.host}/lab/x@{right}")
    wrong = f"{kind}:{hashlib.new(kind, b'another').hexdigest()}"
    with pytest.raises(PublicError, match="its content is not what its digest says"):
        await client.find(parse_reference(f"{odd.host}/lab/x@{wrong}"))


async def test_a_registry_whose_name_nobody_knows_is_no_registry() -> None:
    # RFC 6761: this name never has an address.
    with pytest.raises(PublicError) as raised:
        await Registries().find(parse_reference("quay.invalid/x:1"))
    told = (raised.value.code, raised.value.status, raised.value.message)
    assert told in {
        ("registry-unknown", 400, "There is no registry quay.invalid."),
        # A machine without any name server cannot know.
        (
            "registry-away",
            503,
            "quay.invalid cannot be asked about images: its name cannot be looked up at the moment.",
        ),
    }


async def test_words_of_the_network_are_not_told_to_users() -> None:
    with pytest.raises(PublicError) as raised:
        await Registries(insecure=["127.0.0.1:9"]).find(parse_reference("127.0.0.1:9/x:1"))
    assert raised.value.message == "127.0.0.1:9 cannot be asked about images: it cannot be reached."


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
    [
        "http://169.254.169.254/token",
        "http://localhost:9/token",
        "file:///etc/passwd",
        "",
        "gopher://x",
        "https://user:password@quay.io/token",
        "https://[::1/token",
        "https://quay.io:99999/token",
        "https:///token",
        "/token",
        "//quay.io/token",
        "https://" + "x" * 64 + ".io/token",
        "https://quay.io/to ken",
    ],
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


async def test_an_address_of_a_blob_is_asked_as_it_is_written(odd: Odd) -> None:
    """It is signed, letter by letter; and it may leave out the host."""
    address = "/elsewhere/a%2Fb?signature=x%2Fy%7E"
    asked = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.raw_path)
        return web.Response(body=CONFIG)

    odd.handlers["/elsewhere"] = elsewhere
    odd.has_image()
    odd.answers("/blobs/", status=302, headers={"Location": address})
    assert await odd.find()
    assert asked == [address]


async def test_blobs_are_not_looked_for_in_circles(odd: Odd) -> None:
    odd.has_image()
    odd.answers("/blobs/", status=302, headers={"Location": "/v2/lab/x/blobs/again"})
    assert (await odd.refusal()).message.endswith("it answers 302.")
    assert len(odd.sent) == 5


async def test_a_registry_on_a_public_address_sends_the_hub_to_no_other(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing here is on a public address; the test says that 127.0.0.1 is.
    monkeypatch.setattr(addresses, "_is_private", lambda host: host == "127.0.0.2")
    odd.answers("/manifests/", status=401, headers=challenge("https://127.0.0.2/token"))
    assert (await odd.refusal()).message.endswith("it asks for a sign-in where this hub does not.")
    odd.has_image()
    odd.answers("/blobs/", status=307, headers={"Location": "https://127.0.0.2/x"})
    assert (await odd.refusal()).message.endswith("it is kept where this hub does not ask.")


async def test_a_name_that_leads_to_the_hubs_own_network_is_not_followed(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As above; localhost is a name that leads to a private address.
    monkeypatch.setattr(addresses.Addresses, "allow", lambda self, host: host == "localhost")
    odd.answers("/manifests/", status=401, headers=challenge("https://localhost:9/token"))
    assert (await odd.refusal()).message.endswith("it sends this hub to an address that is not public.")


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


async def test_while_a_registry_is_away_it_is_as_it_was(odd: Odd) -> None:
    odd.has_image()
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    reference = parse_reference(f"{odd.host}/lab/x:1")
    found = await finder.find(reference)
    odd.answers("/manifests/", status=500)
    clock.now = 86399
    assert await finder.find(reference) == found
    asked = len(odd.sent)
    clock.now += 0.5
    assert await finder.find(reference) == found
    assert len(odd.sent) == asked
    clock.now = 86410
    with pytest.raises(PublicError, match="it answers 500"):
        await finder.find(reference)


async def test_an_image_that_was_removed_is_not_as_it_was(odd: Odd) -> None:
    odd.has_image()
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    reference = parse_reference(f"{odd.host}/lab/x:1")
    await finder.find(reference)
    del odd.handlers["/manifests/"]
    clock.now = 301
    for later in (0, 1, 6):
        clock.now = 301 + later
        with pytest.raises(PublicError, match="There is no image"):
            await finder.find(reference)
    odd.answers("/manifests/", status=500)
    clock.now = 320
    with pytest.raises(PublicError, match="it answers 500"):
        await finder.find(reference)


async def test_nobody_waits_long_for_what_is_known(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalablehub.registry.finding._PATIENCE_SECONDS", 0.05)
    odd.has_image()
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    reference = parse_reference(f"{odd.host}/lab/x:1")
    found = await finder.find(reference)
    released = asyncio.Event()
    another = MANIFEST + b" "

    async def slow(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response(body=another, content_type=OCI_MANIFEST)

    odd.handlers["/manifests/"] = slow
    clock.now = 301
    assert await finder.find(reference) == found
    released.set()
    monkeypatch.setattr("scalablehub.registry.finding._PATIENCE_SECONDS", 5)
    assert (await finder.find(reference)).digest == digest_of(another)


async def test_what_was_heard_last_is_remembered_longest(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalablehub.registry.finding._MOST_REMEMBERED", 2)
    odd.has_image()
    clock = Clock()
    finder = ImageFinder(Registries(insecure=[odd.host]), clock=clock)
    for seconds, tag in ((0, 1), (200, 2), (301, 1), (302, 3), (303, 1), (304, 2)):
        clock.now = seconds
        await finder.find(parse_reference(f"{odd.host}/lab/x:{tag}"))
    manifests = [path[-1] for path, _ in odd.sent if "/manifests/" in path]
    assert manifests == ["1", "2", "1", "3", "2"]


async def test_who_goes_away_does_not_take_the_answer_from_others(odd: Odd) -> None:
    odd.has_image()
    finder = ImageFinder(Registries(insecure=[odd.host]))
    reference = parse_reference(f"{odd.host}/lab/x:1")
    first = asyncio.create_task(finder.find(reference))
    second = asyncio.create_task(finder.find(reference))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
