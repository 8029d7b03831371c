from __future__ import annotations

import pytest

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
    assert "<script" not in text


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
