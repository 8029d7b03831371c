from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import re
from typing import Any

import pytest
from aiohttp import web

from tests.services.dask_gateway.conftest import PREFIX, Place, bearer

NAVIGATE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}


async def visit(place: Place, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with place.client.get(
        place.url(path), headers={**headers, **NAVIGATE}, allow_redirects=False
    ) as answer:
        return answer.status, await answer.text()


async def test_my_clusters_are_mine_with_status_start_dashboard_and_stop(place: Place) -> None:
    status, text = await visit(place, "", place.cookie("alice-token"))
    assert status == 200
    assert "My Dask clusters" in text
    assert 'href="/services/dask-gateway/clusters/a1/status"' in text
    assert "<b>running</b> · started" in text
    assert "01 January, 00:00 UTC" in text
    assert "Stop" in text
    assert "b1" not in text


async def test_nobody_s_clusters_are_two_lines_to_start_one(place: Place) -> None:
    place.gateway.owners.clear()
    _, text = await visit(place, "", place.cookie("alice-token"))
    assert "from dask_gateway import Gateway\ncluster = Gateway().new_cluster()" in text


async def test_a_person_without_access_reads_whom_to_ask(place: Place) -> None:
    status, text = await visit(place, "", place.cookie("carol-token"))
    assert status == 403
    assert "Ask the people who run this hub" in text


@pytest.mark.parametrize("path", ["", "sign-in", "sign-in?next=/services/dask-gateway/"])
async def test_a_stranger_goes_to_the_hub_with_our_relative_address_and_pkce(place: Place, path: str) -> None:
    async with place.client.get(place.url(path), headers=NAVIGATE, allow_redirects=False) as answer:
        assert answer.status == 302
        target = answer.headers["Location"]
        assert target.startswith("/hub/api/oauth2/authorize?client_id=service-dask-gateway")
        assert "redirect_uri=%2Fservices%2Fdask-gateway%2Foauth_callback" in target
        assert "HttpOnly" in answer.headers["Set-Cookie"]


async def test_signed_in_and_nowhere_to_go_is_a_pixel(place: Place) -> None:
    async with place.client.get(place.url("sign-in"), headers=place.cookie("alice-token")) as answer:
        assert (answer.status, answer.content_type) == (200, "image/gif")
        assert (await answer.read())[:6] == b"GIF89a"


async def test_signed_in_goes_on_to_next(place: Place) -> None:
    target = f"{PREFIX}clusters/a1/status?x=1"
    async with place.client.get(
        place.url("sign-in"),
        params={"next": target},
        headers=place.cookie("alice-token"),
        allow_redirects=False,
    ) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, target)


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/hub/logout", f"{PREFIX}..%2f..%2fhub"]
)
async def test_a_hostile_next_is_refused_even_before_sign_in(place: Place, target: str) -> None:
    for headers in ({}, place.cookie("alice-token")):
        async with place.client.get(
            place.url("sign-in"), params={"next": target}, headers=headers, allow_redirects=False
        ) as answer:
            assert answer.status == 400
            assert "evil" not in await answer.text()


async def test_a_cookie_is_secure_when_the_browser_came_by_https(place: Place) -> None:
    headers = {**NAVIGATE, "X-Forwarded-Proto": "https"}
    async with place.client.get(place.url("sign-in"), headers=headers, allow_redirects=False) as answer:
        assert "; Secure" in answer.headers["Set-Cookie"]


async def test_stopping_needs_the_form_of_our_own_page(place: Place) -> None:
    headers = {**place.cookie("alice-token"), "Origin": "https://evil.example"}
    async with place.client.post(place.url("stop"), data={"cluster": "a1"}, headers=headers) as answer:
        assert answer.status == 403
        assert "reload the page" in await answer.text()
    assert "a1" in place.gateway.owners


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("oauth_callback", 400),
        ("oauth_callback?code=x&state=y", 403),
        ("oauth_callback?error=<b>canary</b>", 400),
    ],
)
async def test_a_sign_in_that_nobody_began_ends_in_a_page_of_ours(
    place: Place, path: str, status: int
) -> None:
    got, text = await visit(place, path, {})
    assert got == status
    assert "My Dask clusters" in text
    assert "canary" not in text


async def test_nothing_that_was_sent_is_echoed_in_a_page(place: Place) -> None:
    for path in ("<script>canary", "clusters/canary/x?canary", "%3Ccanary%3E", "canary"):
        status, text = await visit(place, path, place.cookie("alice-token"))
        assert status in (400, 404)
        assert "canary" not in text


async def test_a_page_says_which_of_the_two_is_down(place: Place) -> None:
    place.hub.status = 500
    status, text = await visit(place, "", place.cookie("alice-token"))
    assert (status, "The hub cannot be asked" in text) == (503, True)
    place.hub.status = 200
    await place.gateway.server.stop()
    status, text = await visit(place, "", place.cookie("alice-token"))
    assert (status, "dask-gateway is not reachable" in text) == (502, True)


async def test_the_prefix_without_its_slash_leads_home(place: Place) -> None:
    async with place.client.get(f"{place.origin}{PREFIX.rstrip('/')}", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, PREFIX)


async def test_a_token_signs_nobody_in_to_the_pages(place: Place) -> None:
    assert (await visit(place, "", bearer("alice-token")))[0] == 302


# What our own backend tells beyond dask-gateway's API

DETAILS = {
    **{"name": "a1", "owner": "alice", "status": "RUNNING", "size": "large", "image": "geo", "alone": True},
    **{"wanted": 6, "granted": 4, "running": 2, "pending": 2, "price": 0.8, "cost": 12.345},
    "groups": ["research"],
    "why": "4 workers is the most that you may have at a time",
}
OTHERS = DETAILS | {"name": "b1", "owner": "bob", "groups": ["guests"], "why": "<script>canary"}
ENDED = {"name": "a0", "size": "small", "image": "geo", "ended": 3600, "reason": "Its <b>canary</b>"}
COUNTS: dict[str, Any] = {"tasks": 90, "processing": 8, "waiting": 60, "erred": 2, "bytes": 3 * 2**30}


LOGS = [
    {"part": "scheduler", "name": "s", "text": "Clear <b>state</b>", "over": False, "how": ""},
    {"part": "worker", "name": "w", "text": "", "over": True, "how": "it failed (exit code 1)"},
    {"part": "worker", "name": "v", "text": "bye", "over": True, "how": ""},
]


def tell(place: Place, *, admin: bool = False, counts: Any = COUNTS, logs: Any = LOGS) -> None:
    """Let the gateway tell what our backend would."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        if path == "/api/scalablehub/clusters":
            everybody = admin and request.rel_url.query.get("everybody") == "1"
            clusters = [DETAILS, OTHERS] if everybody else [DETAILS]
            answered = {"admin": admin, "everybody": everybody, "clusters": clusters}
            return web.json_response(answered | {"ended": [ENDED], "currency": "€"})
        if path.endswith("/json/counts.json"):
            assert "Authorization" not in request.headers
            if isinstance(counts, asyncio.Event):
                await counts.wait()
            return web.json_response(counts)
        if path == "/api/scalablehub/clusters/a1/logs":
            assert request.headers["Authorization"] == "jupyterhub alice-token"
            return web.json_response({"logs": logs})
        if path.startswith("/api/scalablehub/clusters/"):
            return web.Response(status=204 if admin else 404)
        if path.endswith("/scale"):
            return web.json_response({"ok": False, "msg": "The cluster gets 4 of 9 workers for now."})
        place.gateway.override = None
        try:
            return await place.gateway.answer(request)
        finally:
            place.gateway.override = answer

    place.gateway.override = answer


async def test_a_cluster_says_what_it_wants_has_and_waits_for(place: Place) -> None:
    tell(place)
    _, text = await visit(place, "", place.cookie("alice-token"))
    for words in (
        "Workers: 2 running · 2 on the way · 4 granted · 6 wanted",
        "large · geo",
        "€0.80 an hour, €12.35 so far",
        "Tasks: 90 in all · 8 at work · 60 waiting · 2 failed · 3 GB of results in memory",
        "Ended in the last hour",
        '<time datetime="1970-01-01T01:00:00+00:00">01 January, 01:00 UTC</time> · small · geo',
        "Its &lt;b&gt;canary&lt;/b&gt;",
        "4 workers is the most that you may have at a time",
        "Its server has stopped; it will end soon.",
    ):
        assert words in text
    assert "Everybody" not in text


async def test_an_admin_sees_everybodys_numbers_but_no_dashboard_of_theirs(place: Place) -> None:
    tell(place, admin=True)
    _, text = await visit(place, "", place.cookie("alice-token"))
    assert "Everybody's clusters" in html.unescape(text)
    assert "b1" not in text
    _, text = await visit(place, "?everybody=1", place.cookie("alice-token"))
    assert "of <b>bob</b>" in text
    assert "/clusters/b1/status" not in text
    assert "<script>canary" not in text
    assert "2 clusters of 2 people · 4 workers running · €1.60 an hour, €24.69 so far" in text


@pytest.mark.parametrize(
    ("query", "others"),
    [
        ("", True),
        ("&user=bob", True),
        ("&user=alice", False),
        ("&group=guests", True),
        ("&group=staff", False),
    ],
)
async def test_an_admin_filters_by_person_and_by_group(place: Place, query: str, others: bool) -> None:
    tell(place, admin=True)
    _, text = await visit(place, f"?everybody=1{query}", place.cookie("alice-token"))
    assert ('data-cluster="b1"' in text) is others
    assert 'data-cluster="a1"' in text
    for option in ("alice", "bob", "guests", "research"):
        assert re.search(rf"<option( selected)?>{option}</option>", text)


@pytest.mark.parametrize(
    "counts",
    [
        *("tasks", None, [], {}, {"tasks": 1}),
        *(
            COUNTS | {"bytes": "<b>"},
            COUNTS | {"tasks": -1},
            COUNTS | {"tasks": True},
            COUNTS | {"tasks": 1e3},
        ),
        *(COUNTS | {"tasks": 10**40}, COUNTS | {"padding": "x" * 70_000}),
    ],
    ids=lambda counts: str(counts)[:60],
)
async def test_a_scheduler_that_answers_nonsense_has_no_tasks(place: Place, counts: Any) -> None:
    tell(place, counts=counts)
    status, text = await visit(place, "", place.cookie("alice-token"))
    assert (status, "Tasks:" in text) == (200, False)


async def test_a_scheduler_that_does_not_answer_holds_up_no_page(place: Place) -> None:
    tell(place, counts=asyncio.Event())
    status, text = await asyncio.wait_for(visit(place, "", place.cookie("alice-token")), 5)
    assert (status, "Tasks:" in text) == (200, False)


async def test_only_the_script_of_the_page_itself_may_run(place: Place) -> None:
    headers = {**place.cookie("alice-token"), **NAVIGATE}
    async with place.client.get(place.url(""), headers=headers) as answer:
        policy, text = answer.headers["Content-Security-Policy"], await answer.text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


async def submit(place: Place, path: str, **fields: str) -> tuple[int, str]:
    """Send one of the page's own forms."""
    async with place.client.get(place.url(""), headers={**place.cookie("alice-token"), **NAVIGATE}) as page:
        token = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
        cookie = page.cookies["_xsrf"].value
    assert token
    headers = place.cookie("alice-token")
    headers["Cookie"] += f"; _xsrf={cookie}"
    async with place.client.post(
        place.url(path), data={**fields, "_xsrf": token[1]}, headers=headers, allow_redirects=False
    ) as answer:
        return answer.status, await answer.text()


async def test_who_scales_is_told_what_came_of_it(place: Place) -> None:
    tell(place)
    status, text = await submit(place, "scale", cluster="a1", count="9")
    assert status == 200
    assert "The cluster gets 4 of 9 workers for now." in text


@pytest.mark.parametrize("count", ["", "-1", "1.5", "many", "9999999", "\u0663"])
async def test_a_number_that_is_none_is_refused(place: Place, count: str) -> None:
    tell(place)
    status, text = await submit(place, "scale", cluster="a1", count=count)
    assert status == 400
    assert "Write how many workers there should be" in text


@pytest.mark.parametrize(("admin", "status"), [(False, 404), (True, 303)])
async def test_only_an_admin_stops_what_is_another_persons(place: Place, admin: bool, status: int) -> None:
    tell(place, admin=admin)
    assert (await submit(place, "stop", cluster="b1"))[0] == status


async def test_nobody_scales_what_is_another_persons(place: Place) -> None:
    tell(place, admin=True)
    assert (await submit(place, "scale", cluster="b1", count="9"))[0] == 404


async def test_the_logs_of_a_cluster_are_a_page_for_its_owner(place: Place) -> None:
    tell(place)
    _, text = await visit(place, "", place.cookie("alice-token"))
    for name in ("a1", "a0"):
        assert f'href="/services/dask-gateway/logs?cluster={name}"' in text
    status, text = await visit(place, "logs?cluster=a1", place.cookie("alice-token"))
    assert status == 200
    for words in (
        "Scheduler: it runs",
        "Clear &lt;b&gt;state&lt;/b&gt;",
        "Worker w: it failed (exit code 1)",
        "It wrote nothing.",
        "Worker v: it has ended",
    ):
        assert words in text


async def test_a_cluster_of_which_nothing_is_kept_says_so(place: Place) -> None:
    tell(place, logs=[])
    _, text = await visit(place, "logs?cluster=a1", place.cookie("alice-token"))
    assert "Nothing is kept of it" in text


@pytest.mark.parametrize("query", ["?cluster=b1", "?cluster=../x", "?cluster=", "", "?cluster=a1%2F..%2Fb1"])
async def test_there_are_no_logs_of_what_is_not_ones_own(place: Place, query: str) -> None:
    tell(place)
    status, text = await visit(place, f"logs{query}", place.cookie("alice-token"))
    assert status == 404
    assert "<pre" not in text


async def test_a_gateway_without_our_backend_offers_no_logs(place: Place) -> None:
    _, text = await visit(place, "", place.cookie("alice-token"))
    assert "logs?cluster" not in text
