"""The service as a hub starts it, between a real JupyterHub and a real dask-gateway with real schedulers."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.services.dask_gateway.real import PREFIX, Stack, running

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def alice(stack: Stack) -> str:
    return stack.token("alice")["token"]


@pytest.fixture(scope="session")
def cluster(stack: Stack) -> str:
    """Return the name of a running cluster of alice's, without a worker."""
    url = f"{stack.address}/api/v1/clusters/"
    headers = {"Authorization": f"token {stack.token('alice')['token']}"}

    def ask(url: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return json.loads(answer.read())

    name = str(ask(url, b"{}")["name"])
    while (status := ask(f"{url}{name}?wait")["status"]) == "PENDING":
        pass  # dask-gateway answers when something happens
    assert status == "RUNNING"
    return name


class Browser:
    """A browser without the screen: cookies, redirects and the headers that browsers send."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = aiohttp.ClientSession()

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()

    async def log_in(self, name: str) -> None:
        url = URL(f"http://localhost:{self.stack.port}/hub/login")
        async with self.client.get(url) as answer:
            assert answer.status == 200
        xsrf = self.client.cookie_jar.filter_cookies(url)["_xsrf"].value
        form = {"username": name, "password": "x", "_xsrf": xsrf}
        async with self.client.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302, await answer.text()

    async def visit(self, path: str) -> tuple[int, str, str]:
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        async with self.client.get(f"{self.stack.address}{path}", headers=headers) as answer:
            return answer.status, str(answer.url), await answer.text()

    async def fetch(self, path: str) -> int:
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
        async with self.client.get(f"{self.stack.address}{path}", headers=headers) as answer:
            return answer.status


def test_a_member_computes_through_the_service(stack: Stack, alice: str) -> None:
    code = """
with gateway.new_cluster(shutdown_on_close=True) as cluster:
    cluster.scale(1)
    with cluster.get_client(set_as_default=False) as client:
        print("sum", client.submit(sum, [1, 2, 3]).result(timeout=120))
    print("link", cluster.dashboard_link)
"""
    printed = stack.run_client(alice, code)
    assert "sum 6\n" in printed
    assert f"link {stack.address}/clusters/" in printed


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        (
            "carol",
            "gateway.list_clusters()",
            "ClientResponseError: 403, message='You may not use Dask clusters",
        ),
        (
            "nobody",
            "gateway.list_clusters()",
            "ClientResponseError: 401, message='The hub does not accept this",
        ),
        ("alice", "gateway.get_cluster('x')", "ValueError: There is no such cluster among yours"),
        ("alice", "gateway.scale_cluster('x', -1)", "ValueError: 'count' must be a whole number of workers"),
    ],
)
def test_dask_s_own_client_shows_our_sentence(stack: Stack, name: str, code: str, sentence: str) -> None:
    token = "revoked-long-ago" if name == "nobody" else stack.token(name)["token"]
    assert sentence in stack.run_client(token, code)


async def test_a_revoked_token_changes_nothing_from_that_moment(stack: Stack) -> None:
    made = stack.token("alice")
    async with aiohttp.ClientSession(headers={"Authorization": f"token {made['token']}"}) as client:
        async with client.get(f"{stack.address}/api/v1/clusters/") as answer:
            assert answer.status == 200
        stack.hub_api("DELETE", f"/users/alice/tokens/{made['id']}")
        async with client.post(f"{stack.address}/api/v1/clusters/", json={}) as answer:
            assert answer.status == 401


async def test_leaving_the_group_ends_changes_at_once(stack: Stack) -> None:
    bob = stack.token("bob")["token"]
    async with aiohttp.ClientSession(headers={"Authorization": f"token {bob}"}) as client:
        async with client.get(f"{stack.address}/api/v1/clusters/") as answer:
            assert answer.status == 200
        stack.hub_api("DELETE", "/groups/dask/users", {"users": ["bob"]})
        try:
            async with client.post(f"{stack.address}/api/v1/clusters/", json={}) as answer:
                assert answer.status == 403
        finally:
            stack.hub_api("POST", "/groups/dask/users", {"users": ["bob"]})


async def test_the_owner_s_browser_signs_in_and_sees_the_dashboard(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        status, url, text = await browser.visit(f"/clusters/{cluster}/status")
        assert (status, url) == (200, f"{stack.address}/clusters/{cluster}/status")
        assert "Bokeh" in text or "bokeh" in text
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 200


async def test_the_dashboard_s_bokeh_websocket_opens_for_the_owner_only(stack: Stack, cluster: str) -> None:
    url = f"{stack.address}/clusters/{cluster}/status/ws"
    origin = f"http://localhost:{stack.port}"
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        _, _, text = await browser.visit(f"/clusters/{cluster}/status")
        token = text.partition('"token":"')[2].partition('"')[0]
        assert token
        async with browser.client.ws_connect(
            url, protocols=("bokeh", token), headers={"Origin": origin}
        ) as socket:
            assert socket.protocol == "bokeh"
            assert "ACK" in await socket.receive_str(timeout=30)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await browser.client.ws_connect(url, headers={"Origin": "https://evil.example"})
        assert refusal.value.status == 403
    async with Browser(stack) as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await stranger.client.ws_connect(url, headers={"Origin": origin})
        assert refusal.value.status == 403


async def test_another_member_and_even_an_admin_see_no_dashboard(stack: Stack, cluster: str) -> None:
    stack.hub_api("POST", "/groups/dask/users", {"users": ["root"]})
    for name in ("bob", "root"):
        async with Browser(stack) as browser:
            await browser.log_in(name)
            status, _, text = await browser.visit(f"/clusters/{cluster}/status")
            assert status == 404
            assert cluster not in text


async def test_somebody_without_access_is_refused_by_the_hub_or_by_us(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("carol")
        for path in ("/", f"/clusters/{cluster}/status", "/sign-in"):
            assert (await browser.visit(path))[0] == 403


async def test_a_stranger_s_browser_ends_at_the_hub_s_sign_in(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        status, url, _ = await browser.visit(f"/clusters/{cluster}/status")
        assert status == 200
        assert url.startswith(f"http://localhost:{stack.port}/hub/login?")


async def test_the_embedded_image_signs_in_for_later_fetches(stack: Stack, cluster: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 401
        headers = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
        async with browser.client.get(f"{stack.address}/sign-in", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "image/gif")
        assert await browser.fetch(f"/clusters/{cluster}/individual-plots.json") == 200


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/hub/logout", f"{PREFIX}../../hub/logout"]
)
async def test_sign_in_leads_nowhere_else(stack: Stack, target: str) -> None:
    async with Browser(stack) as browser:
        await browser.log_in("alice")
        url = URL(f"{stack.address}/sign-in").with_query(next=target)
        async with browser.client.get(url, allow_redirects=False) as answer:
            assert answer.status == 400
            assert "Location" not in answer.headers


async def test_my_clusters_shows_mine_and_stops_them_only_with_the_page_s_own_form(
    stack: Stack, alice: str
) -> None:
    async with Browser(stack) as browser:
        token = {"Authorization": f"token {alice}"}
        url = f"{stack.address}/api/v1/clusters/"
        async with browser.client.post(url, json={}, headers=token) as answer:
            name = (await answer.json())["name"]
        await browser.log_in("alice")
        status, _, text = await browser.visit("/")
        assert status == 200
        assert name in text
        xsrf = text.partition('name="_xsrf" value="')[2].partition('"')[0]
        url = f"{stack.address}/stop"
        async with browser.client.post(url, data={"cluster": name}) as answer:
            assert answer.status == 403
        async with browser.client.post(url, data={"cluster": "nothing", "_xsrf": xsrf}) as answer:
            assert answer.status == 404
        async with browser.client.post(url, data={"cluster": name, "_xsrf": xsrf}) as answer:
            assert (answer.status, str(answer.url)) == (200, f"{stack.address}/")
            assert name not in await answer.text()
    async with Browser(stack) as browser:
        await browser.log_in("bob")
        _, _, text = await browser.visit("/")
        assert "cluster = Gateway().new_cluster()" in text


async def test_of_two_hundred_mixed_requests_each_answer_is_its_owners(stack: Stack, cluster: str) -> None:
    tokens = {name: {"Authorization": f"token {stack.token(name)['token']}"} for name in ("alice", "bob")}
    kinds = ("api/v1/clusters/", f"api/v1/clusters/{cluster}", "api/v1/options")
    chance = random.Random(7)
    asked = [(chance.choice(("alice", "bob")), chance.choice(kinds)) for _ in range(200)]

    async def ask(client: aiohttp.ClientSession, name: str, kind: str) -> Any:
        async with client.get(f"{stack.address}/{kind}", headers=tokens[name]) as answer:
            return answer.status, await answer.json()

    # Both people's requests share a few connections, in both directions.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8)) as client:
        answers = await asyncio.gather(*(ask(client, name, kind) for name, kind in asked))
    for (name, kind), (status, answer) in zip(asked, answers, strict=True):
        if kind == kinds[0]:
            assert (status, cluster in answer) == (200, name == "alice")
        elif kind == kinds[1]:
            assert status == (200 if name == "alice" else 404)
            assert (answer.get("name") == cluster) is (name == "alice")
        else:
            assert (status, list(answer)) == (200, ["cluster_options"])
