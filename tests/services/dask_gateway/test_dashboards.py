from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from scalablehub.services.dask_gateway.settings import Limits
from tests.services.dask_gateway.conftest import PREFIX, Place, bearer, open_descriptors, with_limits

STATUS = "clusters/a1/status"
NAVIGATE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
SAME = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


async def test_the_owner_s_cookie_opens_the_dashboard(place: Place) -> None:
    async with place.client.get(
        place.url(STATUS), headers={**place.cookie("alice-token"), **NAVIGATE}
    ) as answer:
        assert (answer.status, await answer.text()) == (200, "dashboard /clusters/a1/status")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["ETag"] == '"v1"'
        assert "Set-Cookie" not in answer.headers


async def test_the_user_s_scheduler_never_sees_a_token_or_cookie(place: Place) -> None:
    for headers in (place.cookie("alice-token"), bearer("alice-token")):
        async with place.client.get(place.url(STATUS), headers=headers) as answer:
            assert answer.status == 200
    for seen in place.gateway.seen:
        if seen.path.startswith("/clusters/"):
            assert {"Authorization", "Cookie"}.isdisjoint(seen.headers)


async def test_the_lab_s_own_fetch_with_the_cookie_works(place: Place) -> None:
    url = place.url("clusters/a1/individual-plots.json")
    async with place.client.get(url, headers={**place.cookie("alice-token"), **SAME}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("cluster", ["b1", "zz"])
async def test_somebody_else_s_dashboard_is_the_page_of_one_that_does_not_exist(
    place: Place, cluster: str
) -> None:
    pages = []
    for name in (cluster, "nothing"):
        headers = {**place.cookie("alice-token"), **NAVIGATE}
        async with place.client.get(place.url(f"clusters/{name}/status"), headers=headers) as answer:
            pages.append((answer.status, await answer.text()))
    assert pages[0][0] == 404
    assert pages[0] == pages[1]
    assert not [path for path in place.gateway.paths() if path.startswith("/clusters/")]


async def test_a_stranger_s_browser_goes_to_sign_in_and_back(place: Place) -> None:
    async with place.client.get(
        f"{place.url(STATUS)}?a=b&c=d", headers=NAVIGATE, allow_redirects=False
    ) as answer:
        assert answer.status == 302
        assert answer.headers["Location"] == (
            "/services/dask-gateway/sign-in?next=/services/dask-gateway/clusters/a1/status?a%3Db%26c%3Dd"
        )
    assert place.gateway.seen == []


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", SAME, 401),
        ("GET", {}, 401),
        ("GET", {"X-Requested-With": "XMLHttpRequest"}, 401),
        ("POST", {"Accept": "text/html"}, 403),
        ("GET", {"Authorization": "token"}, 401),
    ],
)
async def test_a_stranger_s_script_gets_json_and_no_redirect(
    place: Place, method: str, headers: dict[str, str], status: int
) -> None:
    async with place.client.request(
        method, place.url(STATUS), headers=headers, allow_redirects=False
    ) as answer:
        assert answer.status == status
    assert place.gateway.seen == []


async def test_an_expired_sign_in_goes_to_sign_in_again(place: Place) -> None:
    headers = {**place.cookie("old-token"), **NAVIGATE}
    async with place.client.get(place.url(STATUS), headers=headers, allow_redirects=False) as answer:
        assert answer.status == 302


@pytest.mark.parametrize(
    "cookie", ["service-dask-gateway=alice-token", 'service-dask-gateway="2|1:0|10:1|20:x|4:eA==|00"']
)
async def test_a_forged_cookie_is_no_sign_in(place: Place, cookie: str) -> None:
    async with place.client.get(place.url(STATUS), headers={"Cookie": cookie}) as answer:
        assert answer.status == 401


async def test_two_sign_ins_at_once_are_refused(place: Place) -> None:
    one, two = place.cookie("alice-token")["Cookie"], place.cookie("bob-token")["Cookie"]
    async with place.client.get(place.url(STATUS), headers={"Cookie": f"{one}; {two}"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}, 200),
        (
            "GET",
            {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "same-origin", "Service-Worker": "script"},
            403,
        ),
        ("POST", {}, 403),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        (
            "POST",
            {"Origin": "https://evil.example", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
            403,
        ),
        ("POST", {"Origin": "own"}, 200),
        ("DELETE", {"Origin": "own"}, 200),
    ],
    ids=str,
)
async def test_a_cookie_counts_only_for_our_own_pages(
    place: Place, method: str, headers: dict[str, str], status: int
) -> None:
    headers = {k: place.origin if v == "own" else v for k, v in headers.items()}
    async with place.client.request(
        method, place.url(STATUS), headers={**place.cookie("alice-token"), **headers}
    ) as answer:
        assert answer.status == status
    assert bool(place.gateway.seen) == (status == 200)


async def test_what_a_dashboard_may_not_say_for_the_hub_s_origin_is_dropped(place: Place) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            headers={
                "Clear-Site-Data": '"cookies"',
                "Service-Worker-Allowed": "/",
                "Access-Control-Allow-Origin": "https://evil.example",
                "Set-Cookie": "jupyterhub-session-id=x",
                "Strict-Transport-Security": "max-age=1",
                "Content-Security-Policy": "frame-ancestors *",
                "Location": "/clusters/a1/status",
            }
        )

    place.gateway.dashboard = page
    async with place.client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
        assert {name for name in answer.headers if not name.startswith(("Content-", "Date"))} == {
            "Location",
            "Referrer-Policy",
            "Server",
            "X-Content-Type-Options",
        }
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert answer.headers["Location"] == f"{PREFIX}clusters/a1/status"


async def test_ownership_is_asked_again_before_a_change(place: Place) -> None:
    headers = {**place.cookie("alice-token"), "Origin": place.origin}
    async with place.client.get(place.url(STATUS), headers=headers) as answer:
        assert answer.status == 200
    place.gateway.owners["a1"] = "bob"
    async with place.client.post(place.url(STATUS), headers=headers) as answer:
        assert answer.status == 404


async def test_ranges_conditions_and_encodings_are_the_two_ends_affair(place: Place) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            status=206, body=b"\x1f\x8b", headers={"Content-Range": "bytes 0-1/9", "Content-Encoding": "gzip"}
        )

    place.gateway.dashboard = page
    headers = {**bearer("alice-token"), "Range": "bytes=0-1", "If-Range": '"v1"', "Accept-Encoding": "gzip"}
    async with place.client.get(place.url(STATUS), headers=headers) as answer:
        assert (answer.status, await answer.read()) == (206, b"\x1f\x8b")
        assert answer.headers["Content-Range"] == "bytes 0-1/9"
        assert answer.headers["Content-Encoding"] == "gzip"
    assert place.gateway.seen[-1].headers["Range"] == "bytes=0-1"
    assert place.gateway.seen[-1].headers["If-Range"] == '"v1"'


async def test_not_modified_has_no_body(place: Place) -> None:
    async def page(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=304, headers={"ETag": '"v1"'})

    place.gateway.dashboard = page
    async with place.client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
        assert (answer.status, answer.headers["ETag"], await answer.read()) == (304, '"v1"', b"")


async def test_head_tells_the_length_and_sends_nothing(place: Place) -> None:
    head = f"HEAD {PREFIX}{STATUS} HTTP/1.1\r\nHost: x\r\nAuthorization: token alice-token\r\n"
    answer = await place.raw(f"{head}Connection: close\r\n\r\n".encode())
    assert b"Content-Length: 29\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_body_of_a_read_stays_with_us_and_so_does_what_is_said_of_it(
    place: Place, method: str
) -> None:
    body = "GET /api/v1/clusters/ HTTP/1.1\r\nHost: x\r\n\r\n"
    await place.raw(
        f"{method} {PREFIX}{STATUS} HTTP/1.1\r\nHost: x\r\nAuthorization: token alice-token\r\n"
        f"Connection: close\r\nContent-Type: text/x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    (seen,) = [seen for seen in place.gateway.seen if seen.path.startswith("/clusters/")]
    assert {"Content-Length", "Content-Type", "Transfer-Encoding"} & set(seen.headers) == set()
    assert seen.body == b""


async def test_a_large_upload_streams_to_the_scheduler(place: Place) -> None:
    received = 0

    async def sink(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal received
        async for piece in request.content.iter_any():
            received += len(piece)
        return web.Response(text="thanks")

    async def source() -> object:
        for _ in range(64):
            yield b"x" * 65536

    async with place.client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
        assert answer.status == 200
    place.gateway.owners["a1"] = "alice"
    original = place.gateway.answer

    async def answer_(request: web.BaseRequest) -> web.StreamResponse:
        return await (sink(request) if request.path.startswith("/clusters/") else original(request))

    place.gateway.server.handler = answer_
    async with place.client.post(place.url(STATUS), data=source(), headers=bearer("alice-token")) as answer:
        assert (answer.status, await answer.text()) == (200, "thanks")
    assert received == 64 * 65536


async def test_a_slow_reader_slows_the_upstream_and_memory_stays_flat(place: Place) -> None:
    sent = 0
    stalled = asyncio.Event()

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    async with asyncio.timeout(0.5):
                        await answer.write(b"x" * 262144)
                except TimeoutError:
                    stalled.set()
                    raise ConnectionResetError from None
                sent += 262144
        return answer

    place.gateway.dashboard = flood
    async with place.client.get(place.url(STATUS), headers=bearer("alice-token"), read_bufsize=65536):
        await stalled.wait()
    assert sent < 64 * 1024 * 1024


async def test_an_upstream_that_dies_half_way_is_not_a_complete_answer(place: Place) -> None:
    async def die(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x" * 100_000)
        assert request.transport is not None
        request.transport.abort()
        return answer

    place.gateway.dashboard = die
    async with place.client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_caller_who_leaves_ends_the_upstream_s_work(place: Place) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"x")
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return answer

    place.gateway.dashboard = endless
    answer = await place.client.get(place.url(STATUS), headers=bearer("alice-token"))
    await began.wait()
    answer.close()
    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: a\r\n b\r\n",
        "X: a\x00b\r\n",
    ],
)
async def test_ambiguous_requests_are_refused_and_the_connection_closed(place: Place, head: str) -> None:
    start = f"POST {PREFIX}{STATUS} HTTP/1.1\r\nHost: x\r\nAuthorization: token alice-token\r\n"
    answer = await place.raw(
        f"{start}{head}\r\n0\r\n\r\nGET {PREFIX}healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    )
    assert answer.split(b" ")[1] == b"400"
    assert answer.count(b"HTTP/1.") == 1
    assert place.gateway.seen == []


async def connect(
    place: Place, headers: dict[str, str], path: str = "clusters/a1/status/ws"
) -> aiohttp.ClientWebSocketResponse:
    return await place.client.ws_connect(
        place.url(path), headers=headers, protocols=("bokeh", "a-session-token")
    )


async def test_the_owner_s_websocket_carries_text_bytes_and_the_protocol(place: Place) -> None:
    socket = await connect(place, {**place.cookie("alice-token"), "Origin": place.origin})
    assert socket.protocol == "bokeh"
    await socket.send_str("hello")
    assert await socket.receive_str() == "echo hello"
    await socket.send_bytes(b"\x00" * 2_000_000)
    assert len(await socket.receive_bytes()) == 2_000_000
    await socket.close(code=4000)
    await place.gateway.socket_closed.wait()
    assert place.gateway.close_code == 4000
    assert {"Cookie", "Authorization"}.isdisjoint(place.gateway.seen[-1].headers)


async def test_a_program_s_websocket_needs_no_origin(place: Place) -> None:
    socket = await connect(place, bearer("alice-token"))
    await socket.send_str("x")
    assert await socket.receive_str() == "echo x"
    await socket.close()


@pytest.mark.parametrize(
    ("token", "origin", "path", "status"),
    [
        (None, "own", "clusters/a1/ws", 403),
        ("alice-token", None, "clusters/a1/ws", 403),
        ("alice-token", "https://evil.example", "clusters/a1/ws", 403),
        ("alice-token", "null", "clusters/a1/ws", 403),
        ("old-token", "own", "clusters/a1/ws", 403),
        ("carol-token", "own", "clusters/a1/ws", 403),
        ("bob-token", "own", "clusters/a1/ws", 404),
        ("alice-token", "own", "clusters/zz/ws", 404),
        (None, "own", "api/v1/clusters/", 401),
        (None, "own", "x", 404),
    ],
)
async def test_a_websocket_is_refused_before_anything_is_connected(
    place: Place, token: str | None, origin: str | None, path: str, status: int
) -> None:
    headers = place.cookie(token) if token else {}
    if origin:
        headers["Origin"] = place.origin if origin == "own" else origin
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect(place, headers, path)
    assert refusal.value.status == status
    assert place.gateway.sockets == 0


async def test_a_websocket_to_a_dead_gateway_is_a_502(place: Place) -> None:
    async with place.client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
        assert answer.status == 200
    await place.gateway.server.stop()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await connect(place, bearer("alice-token"))
    assert refusal.value.status == 502


async def test_open_websockets_are_told_that_the_service_ends(place: Place) -> None:
    socket = await connect(place, bearer("alice-token"))
    closing = asyncio.create_task(place.front.websockets.close())
    assert (await socket.receive()).type is WSMsgType.CLOSE
    assert socket.close_code == 1001
    await closing


async def test_a_browser_that_vanishes_frees_the_upstream(place: Place) -> None:
    socket = await connect(place, bearer("alice-token"))
    assert socket._response.connection is not None
    transport = socket._response.connection.transport
    assert transport is not None
    transport.abort()
    await asyncio.wait_for(place.gateway.socket_closed.wait(), 10)


class TestWatched:
    @pytest.fixture
    def limits(self) -> Limits:
        return with_limits(recheck_seconds=0.05, message_bytes=1000)

    @pytest.mark.parametrize("loss", ["token", "scope", "cluster"])
    async def test_a_websocket_ends_with_1008_when_its_right_does(self, place: Place, loss: str) -> None:
        socket = await connect(place, bearer("alice-token"))
        if loss == "token":
            del place.hub.people["alice-token"]
        elif loss == "scope":
            place.hub.scopes["alice"] = []
        else:
            place.gateway.owners["a1"] = "bob"
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1008

    async def test_a_hub_in_trouble_ends_no_websocket(self, place: Place) -> None:
        socket = await connect(place, bearer("alice-token"))
        place.hub.status = 503
        for _ in range(3):
            place.hub.asked.clear()
            await place.hub.asked.wait()
        await socket.send_str("still here")
        assert await socket.receive_str() == "echo still here"
        await socket.close()

    async def test_a_message_over_the_limit_ends_the_websocket(self, place: Place) -> None:
        socket = await connect(place, bearer("alice-token"))
        await socket.send_bytes(b"x" * 2000)
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1009


class TestPinged:
    @pytest.fixture
    def limits(self) -> Limits:
        return with_limits(ping_seconds=0.1)

    async def test_a_browser_that_answers_no_ping_is_dropped(self, place: Place) -> None:
        socket = await place.client.ws_connect(
            place.url("clusters/a1/ws"), headers=bearer("alice-token"), autoping=False
        )
        assert (await socket.receive()).type is WSMsgType.PING
        await asyncio.wait_for(place.gateway.socket_closed.wait(), 10)
        await socket.close()


async def test_a_hundred_visits_leave_no_descriptor_behind(place: Place) -> None:
    async def visit() -> None:
        async with aiohttp.ClientSession() as client:
            async with client.get(place.url(STATUS), headers=bearer("alice-token")) as answer:
                await answer.read()
            socket = await client.ws_connect(place.url("clusters/a1/ws"), headers=bearer("alice-token"))
            await socket.close()

    async def settled() -> int:
        async with asyncio.timeout(10):
            while place.front.websockets or place.front._runner.server.connections:  # type: ignore[union-attr]  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return open_descriptors()

    await visit()
    before = await settled()
    for _ in range(100):
        await visit()
    assert await settled() <= before + 2
