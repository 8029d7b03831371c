from __future__ import annotations

import asyncio
import io
import json

import aiohttp
import pytest
from aiohttp import web

from scalablehub.services.dask_gateway.settings import Limits
from tests.services.dask_gateway.conftest import PREFIX, Place, bearer, with_limits

CLUSTERS = "api/v1/clusters/"


@pytest.mark.parametrize(
    "value",
    [
        "jupyterhub alice-token",
        "token alice-token",
        "Bearer alice-token",
        "JUPYTERHUB alice-token",
        "tOkEn alice-token",
    ],
)
async def test_every_spelling_of_the_scheme_reaches_dask_gateway_as_its_own(place: Place, value: str) -> None:
    async with place.client.get(place.url(CLUSTERS), headers={"Authorization": value}) as answer:
        assert answer.status == 200
        assert list(await answer.json()) == ["a1"]
    assert place.gateway.seen[-1].headers.getall("Authorization") == ["jupyterhub alice-token"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "token")],
        [("Authorization", "token ")],
        [("Authorization", "jupyterhub")],
        [("Authorization", "Basic YWxpY2U6eA==")],
        [("Authorization", "token\talice-token")],
        [("Authorization", "token  alice-token")],
        [("Authorization", "token alice token")],
        [("Authorization", "alice-token")],
        [("Authorization", "token alice-token"), ("Authorization", "token alice-token")],
        [("Authorization", "token nobody-s-token")],
        [("Cookie", "service-dask-gateway=x")],
        [("Cookie", "dask-gateway-x=alice")],
        [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")],
    ],
    ids=lambda headers: "; ".join(f"{k}: {v}" for k, v in headers) or "none",
)
async def test_without_a_good_token_the_api_answers_401_and_never_redirects(
    place: Place, headers: list[tuple[str, str]]
) -> None:
    async with place.client.get(
        place.url(CLUSTERS), headers=[*headers, ("Accept", "application/json")], allow_redirects=False
    ) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "jupyterhub"
        assert set((await answer.json())["error"]) == {"code", "message", "request_id"}
    assert place.gateway.seen == []


async def test_an_authorization_header_of_a_megabyte_is_refused_as_too_large(place: Place) -> None:
    head = f"GET {PREFIX}{CLUSTERS} HTTP/1.1\r\nHost: x\r\nAuthorization: token {'a' * 1_000_000}\r\n\r\n"
    answer = await place.raw(head.encode())
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ") or answer.startswith(b"HTTP/1.0 431 ")
    assert place.gateway.seen == []


async def test_a_valid_cookie_does_not_open_the_api(place: Place) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=place.cookie("alice-token")) as answer:
        assert answer.status == 401


async def test_a_token_without_the_access_scope_is_refused_with_whom_to_ask(place: Place) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=bearer("carol-token")) as answer:
        assert answer.status == 403
        assert "Ask the people who run this hub" in (await answer.json())["error"]["message"]
        assert "Ask the people who run this hub" in str(answer.reason)
    assert place.gateway.seen == []


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("access:services", 200),
        ("access:services!service=dask-gateway", 200),
        ("access:services!service=dask-gateway2", 403),
        ("access:services!service=dask", 403),
        ("access:services!user=alice", 403),
        ("access:servers", 403),
    ],
)
async def test_scopes_count_exactly(place: Place, scope: str, status: int) -> None:
    place.hub.scopes["alice"] = [scope]
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == status


async def test_alice_then_bob_on_one_connection_each_get_their_own_answer(place: Place) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as client:
        for token, owner in [("alice-token", "a1"), ("bob-token", "b1")] * 5:
            async with client.get(place.url(CLUSTERS), headers=bearer(token)) as answer:
                assert list(await answer.json()) == [owner]


async def test_pipelined_requests_each_get_their_own_answer(place: Place) -> None:
    def ask(token: str, end: str) -> str:
        return f"GET {PREFIX}{CLUSTERS} HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\r\n{end}\r\n"

    answer = await place.raw((ask("alice-token", "") + ask("bob-token", "Connection: close\r\n")).encode())
    assert [answer.count(b'"a1": {'), answer.count(b'"b1": {')] == [1, 1]
    assert answer.index(b'"a1"') < answer.index(b'"b1"')


async def test_bob_with_alice_s_dask_gateway_cookie_acts_as_bob(place: Place) -> None:
    headers = {**bearer("bob-token"), "Cookie": "dask-gateway-x=alice"}
    async with place.client.get(place.url(CLUSTERS), headers=headers) as answer:
        assert list(await answer.json()) == ["b1"]
    assert "Cookie" not in place.gateway.seen[-1].headers


async def test_dask_gateway_s_cookie_never_reaches_the_caller(place: Place) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-User",
        "X_Forwarded_User",
        "X-Original-URL",
        "X-Forwarded-Host",
        "X-Real-IP",
        "Forwarded",
        "Remote-User",
    ],
)
async def test_headers_that_claim_an_identity_or_an_address_stay_outside(place: Place, name: str) -> None:
    for path in (CLUSTERS, "clusters/a1/status"):
        async with place.client.get(
            place.url(path), headers={**bearer("alice-token"), name: "admin"}
        ) as answer:
            assert answer.status == 200
        assert name not in place.gateway.seen[-1].headers


async def test_a_token_in_the_address_is_refused_and_not_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for query in ("token=canary-secret", "%74oken=canary-secret", "wait&Token=canary-secret"):
        async with place.client.get(
            f"{place.url(CLUSTERS)}?{query}", headers=bearer("alice-token")
        ) as answer:
            assert answer.status == 400
            assert "canary" not in await answer.text()
    assert place.gateway.seen == []
    assert "canary" not in caplog.text
    assert "token-in-url" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "api/health", 200),
        ("GET", "api/version", 200),
        ("GET", "api/v1/options", 200),
        ("HEAD", "api/v1/clusters/", 200),
        ("GET", "api/v1/clusters/a1", 200),
        ("POST", "api/v1/clusters/a1/heartbeat", 404),
        ("GET", "api/v1/routes", 404),
        ("GET", "api/v1/clusters", 404),
        ("GET", "api/v1/clusters/a1/tls", 404),
        ("GET", "api/v2/options", 404),
        ("PUT", "api/v1/clusters/a1", 405),
        ("DELETE", "api/v1/clusters/", 405),
        ("GET", "api/v1/clusters/a1/scale", 405),
        ("OPTIONS", "api/v1/options", 405),
        ("TRACE", "api/v1/options", 405),
    ],
)
async def test_only_known_addresses_and_methods_pass(
    place: Place, method: str, path: str, status: int
) -> None:
    async with place.client.request(method, place.url(path), headers=bearer("alice-token")) as answer:
        assert answer.status == status
    assert len(place.gateway.seen) == (1 if status == 200 else 0)


async def test_another_person_s_cluster_looks_exactly_like_none(place: Place) -> None:
    answers = []
    for method in ("GET", "DELETE"):
        for name in ("b1", "zz"):
            async with place.client.request(
                method, place.url(CLUSTERS + name), headers=bearer("alice-token")
            ) as answer:
                error = (await answer.json())["error"]
                del error["request_id"]
                answers.append((answer.status, answer.reason, error))
    assert answers[0][0] == 404
    assert answers.count(answers[0]) == 4


async def test_dask_gateway_s_own_client_gets_sentences_it_can_show(place: Place) -> None:
    headers = {"Authorization": "jupyterhub alice-token"}
    async with (
        aiohttp.ClientSession() as client,
        client.get(place.url(CLUSTERS + "zz"), headers=headers) as answer,
    ):
        assert answer.status == 404
        assert await answer.json() == {"error": "There is no such cluster among yours, or no such address."}


async def test_a_refusal_of_dask_gateway_keeps_its_sentence(place: Place) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"error": "You may have 2 clusters."}, status=422)

    place.gateway.override = refuse
    async with place.client.post(place.url(CLUSTERS), json={}, headers=bearer("alice-token")) as answer:
        assert answer.status == 422
        assert (await answer.json())["error"]["message"] == "You may have 2 clusters."


async def test_a_failure_of_dask_gateway_is_a_502_that_hides_its_text(place: Place) -> None:
    async def fail(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500, text="canary traceback")

    place.gateway.override = fail
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 502
        assert answer.headers["Retry-After"] == "5"
        assert "canary" not in await answer.text()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (CLUSTERS, b"", "JSON object"),
        (CLUSTERS, b"[]", "JSON object"),
        (CLUSTERS, b"\xff\xfe", "JSON object"),
        (CLUSTERS, b"[" * 100_000, "JSON object"),
        (CLUSTERS, b'{"cluster_options": []}', "'cluster_options'"),
        (CLUSTERS, b'{"cluster_options": {"x": NaN}}', "JSON object"),
        ("api/v1/clusters/a1/scale", b"{}", "'count' is missing"),
        ("api/v1/clusters/a1/scale", b'{"count": true}', "'count'"),
        ("api/v1/clusters/a1/scale", b'{"count": -1}', "'count'"),
        ("api/v1/clusters/a1/scale", b'{"count": 1.5}', "'count'"),
        ("api/v1/clusters/a1/scale", b'{"count": "3"}', "'count'"),
        ("api/v1/clusters/a1/adapt", b'{"minimum": "x"}', "'minimum'"),
        ("api/v1/clusters/a1/adapt", b'{"minimum": 5, "maximum": 2}', "'minimum' is 5"),
        ("api/v1/clusters/a1/adapt", b'{"active": 1}', "'active'"),
    ],
)
async def test_a_body_that_would_break_dask_gateway_is_a_sentence(
    place: Place, path: str, body: bytes, message: str
) -> None:
    async with place.client.post(place.url(path), data=body, headers=bearer("alice-token")) as answer:
        assert answer.status == 422
        assert message in (await answer.json())["error"]["message"]
    assert place.gateway.seen == []


async def test_a_good_body_goes_on_as_it_was_understood(place: Place) -> None:
    body = b'{"count": true, "count": 3, "extra": 1}'
    async with place.client.post(
        place.url("api/v1/clusters/a1/scale"), data=body, headers=bearer("alice-token")
    ) as answer:
        assert answer.status == 200
    assert json.loads(place.gateway.seen[-1].body) == {"count": 3}


async def test_a_body_over_a_mebibyte_is_refused_whether_announced_or_not(place: Place) -> None:
    async def endless() -> object:
        while True:
            yield b" " * 65536

    for data in (io.BytesIO(b" " * (1024 * 1024 + 1)), endless()):
        try:
            async with place.client.post(
                place.url(CLUSTERS), data=data, headers=bearer("alice-token")
            ) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # closed while we were still sending: as good a refusal
    assert place.gateway.seen == []


async def test_reads_within_seconds_ask_the_hub_once(place: Place) -> None:
    for _ in range(5):
        async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
            assert answer.status == 200
    assert place.hub.questions == ["alice-token"]


async def test_reads_that_meet_share_one_question(place: Place) -> None:
    place.hub.gate.clear()
    reads = [
        asyncio.create_task(place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")))
        for _ in range(20)
    ]
    await place.hub.asked.wait()
    # All twenty are in our hands when the service has counted them.
    while place.front._runner.server.requests_count < 20:  # type: ignore[union-attr]  # noqa: ASYNC110
        await asyncio.sleep(0)
    place.hub.gate.set()
    for answer in await asyncio.gather(*reads):
        assert answer.status == 200
        answer.release()
    assert place.hub.questions == ["alice-token"]


async def test_a_mutation_asks_the_hub_every_time(place: Place) -> None:
    for _ in range(3):
        async with place.client.post(place.url(CLUSTERS), json={}, headers=bearer("alice-token")) as answer:
            assert answer.status == 200
    assert place.hub.questions == ["alice-token"] * 3


async def test_losing_access_refuses_the_next_mutation_though_a_read_is_still_remembered(
    place: Place,
) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 200
    place.hub.scopes["alice"] = []
    async with place.client.delete(place.url(CLUSTERS + "a1"), headers=bearer("alice-token")) as answer:
        assert answer.status == 403
    assert "a1" in place.gateway.owners


async def test_a_refused_mutation_ends_remembered_reads_too(place: Place) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 200
    del place.hub.people["alice-token"]
    async with place.client.delete(place.url(CLUSTERS + "a1"), headers=bearer("alice-token")) as answer:
        assert answer.status == 401
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 401


async def test_a_token_that_becomes_good_can_change_things_at_once(place: Place) -> None:
    async with place.client.get(place.url(CLUSTERS), headers=bearer("new-token")) as answer:
        assert answer.status == 401
    place.hub.people["new-token"] = "alice"
    place.gateway.names["jupyterhub new-token"] = "alice"
    async with place.client.delete(place.url(CLUSTERS + "a1"), headers=bearer("new-token")) as answer:
        assert answer.status == 204


@pytest.mark.parametrize("status", [500, 502, 429])
async def test_a_hub_in_trouble_is_a_503_and_not_a_no(place: Place, status: int) -> None:
    place.hub.status = status
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
    place.hub.status = 200
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 200


async def test_a_hub_that_is_gone_is_a_503(place: Place) -> None:
    await place.hub.server.stop()
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"


class TestImpatient:
    @pytest.fixture
    def limits(self) -> Limits:
        return with_limits(hub_timeout_seconds=0.2, headers_timeout_seconds=0.2)

    async def test_a_hub_that_is_silent_is_a_503(self, place: Place) -> None:
        place.hub.gate.clear()
        async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
            assert answer.status == 503

    async def test_a_dask_gateway_that_is_silent_is_a_504(self, place: Place) -> None:
        async def never(request: web.BaseRequest) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        place.gateway.override = never
        for path in (CLUSTERS, "clusters/a1/status"):
            async with place.client.get(place.url(path), headers=bearer("alice-token")) as answer:
                assert answer.status == 504
                assert answer.headers["Retry-After"] == "5"

    async def test_an_answer_that_stalls_is_a_504_and_keeps_nobody_else(self, place: Place) -> None:
        async def stall(request: web.BaseRequest) -> web.StreamResponse:
            answer = web.StreamResponse()
            await answer.prepare(request)
            await answer.write(b"{")
            await asyncio.Event().wait()
            return answer

        place.gateway.override = stall
        async with place.client.get(place.url("clusters/a1/status"), headers=bearer("alice-token")) as answer:
            assert answer.status == 504
        place.gateway.override = None
        async with place.client.get(place.url("clusters/a1/status"), headers=bearer("alice-token")) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("part", ["hub", "gateway"])
@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_of_another_kind_puts_no_token_into_the_log(
    place: Place, caplog: pytest.LogCaptureFixture, part: str, status: int
) -> None:
    caplog.set_level("DEBUG")

    async def page(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<p>We are back soon.", content_type="text/html", status=status)

    getattr(place, part).server.handler = page
    for path in (CLUSTERS, "clusters/a1/status"):
        async with place.client.get(place.url(path), headers=bearer("alice-token")) as answer:
            assert answer.status in (200, 502, 503)
    assert [line for line in caplog.messages if "alice-token" in line] == []


async def test_bytes_that_are_no_http_put_no_token_into_the_log(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    port = place.gateway.server.port
    await place.gateway.server.stop()

    async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-junk\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with (
        await asyncio.start_server(junk, "127.0.0.1", port),
        place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer,
    ):
        assert answer.status == 502
    assert [line for line in caplog.messages if "dask-gateway is not reachable" in line]
    assert [line for line in caplog.messages if "token" in line] == []


async def test_a_dask_gateway_that_is_gone_is_a_502(place: Place) -> None:
    await place.gateway.server.stop()
    async with place.client.get(place.url(CLUSTERS), headers=bearer("alice-token")) as answer:
        assert answer.status == 502
        assert answer.headers["Retry-After"] == "5"


async def test_the_hub_s_check_needs_nobody_else(place: Place) -> None:
    await place.hub.server.stop()
    await place.gateway.server.stop()
    async with place.client.get(place.url("healthz")) as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_no_secret_is_ever_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    headers = {"Authorization": "token canary-token", "Cookie": "canary=1"}
    for path in (
        CLUSTERS,
        "clusters/a1/status?q=canary",
        "x?canary",
        "api/%00canary?canary",
        CLUSTERS + "canary?x=1",
    ):
        async with place.client.get(place.url(path), headers=headers) as answer:
            assert answer.status >= 400
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("scalablehub")]
    assert lines
    for line in lines:
        assert "canary-token" not in line
        assert "?" not in line
        assert len(line) < 300
