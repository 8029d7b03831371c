from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from dask_gateway_server.routes import default_routes
from traitlets.config import Config

from scalablehub.dask.authenticator import ScalableHubAuthenticator
from tests.dask.hub import Hub, a_hub, serving

# dask-gateway names what it keeps by texts.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
ACCESS = "access:services!service=dask-gateway"


class Backend:
    """Has no clusters, and keeps who asked for them."""

    def __init__(self) -> None:
        self.users: list[Any] = []

    async def list_clusters(self, username: str, statuses: object) -> list[Any]:
        return []

    async def get_cluster(self, name: str) -> None:
        return None


class Gateway:
    """dask-gateway's own routes with our authenticator."""

    def __init__(self, hub: Hub, url: str, authenticator: ScalableHubAuthenticator) -> None:
        self.hub = hub
        self.url = url
        self.authenticator = authenticator

    async def ask(
        self, authorization: str | None, method: str = "GET", path: str = "", **words: Any
    ) -> tuple[int, Any, Any]:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = f"{self.url}/api/v1/clusters/{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers, **words) as answer,
        ):
            assert "Set-Cookie" not in answer.headers
            return answer.status, await answer.json(content_type=None), answer.headers


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.delenv("JUPYTERHUB_SERVICE_NAME", raising=False)
    async with a_hub() as hub:
        c = Config()
        c.JupyterHubAuthenticator.jupyterhub_api_url = hub.url
        authenticator = ScalableHubAuthenticator(config=c)
        app = web.Application()
        app.add_routes(default_routes)
        app["authenticator"], app["backend"] = authenticator, Backend()
        await authenticator.setup(app)
        async with serving(app) as url:
            yield Gateway(hub, url, authenticator)
        await authenticator.cleanup()


async def test_a_token_with_the_access_scope_gets_in(gateway: Gateway) -> None:
    gateway.hub.has_user("good", "alice")
    assert (await gateway.ask("jupyterhub good"))[:2] == (200, {})


@pytest.mark.parametrize("scheme", ["JupyterHub", "JUPYTERHUB"])
async def test_the_scheme_is_read_whatever_its_case(gateway: Gateway, scheme: str) -> None:
    gateway.hub.has_user("good", "alice")
    assert (await gateway.ask(f"{scheme} good"))[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "good",
        "jupyterhub",
        "jupyterhub ",
        "jupyterhub  good",
        "jupyterhub good good",
        "jupyterhub\tgood",
        "token good",
        "Bearer good",
        "Basic Z29vZA==",
        "jupyterhub \u00fcber",
        "jupyterhub " + "x" * 2000,
    ],
    ids=lambda header: str(header)[:20],
)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", "x"), ("POST", "x/scale")])
async def test_what_is_no_token_is_401_and_not_asked_about(
    gateway: Gateway, header: str | None, method: str, path: str
) -> None:
    gateway.hub.has_user("good", "alice")
    status, body, headers = await gateway.ask(header, method, path)
    assert (status, list(body)) == (401, ["error"])
    assert headers["WWW-Authenticate"] == "jupyterhub"
    assert gateway.hub.asked == []


async def test_a_token_that_the_hub_does_not_know_is_401(gateway: Gateway) -> None:
    status, body, headers = await gateway.ask("jupyterhub bad")
    assert (status, body) == (
        401,
        {"error": "The hub does not accept this token: it may be revoked or expired."},
    )
    assert headers["WWW-Authenticate"] == "jupyterhub"


@pytest.mark.parametrize(
    "scopes",
    [
        ["self"],
        ["access:services!service=other"],
        ["access:services!service-dask-gateway"],
        ["access:servers"],
    ],
    ids=str,
)
async def test_a_token_without_the_access_scope_is_401(gateway: Gateway, scopes: list[str]) -> None:
    gateway.hub.has_user("good", "alice", *scopes)
    status, body, _ = await gateway.ask("jupyterhub good")
    assert (status, body) == (
        401,
        {
            "error": "This token may not use Dask clusters: it lacks the access scope of the service "
            "dask-gateway."
        },
    )


async def test_the_access_scope_is_needed_whatever_the_configuration_says(gateway: Gateway) -> None:
    gateway.authenticator.use_service_access_scopes = False
    gateway.hub.has_user("good", "alice", "self")
    assert (await gateway.ask("jupyterhub good"))[0] == 401


async def test_a_token_that_is_revoked_is_refused_at_once(gateway: Gateway) -> None:
    gateway.hub.has_user("good", "alice")
    async with aiohttp.ClientSession() as session:
        url, headers = f"{gateway.url}/api/v1/clusters/", {"Authorization": "jupyterhub good"}
        async with session.get(url, headers=headers) as first:
            assert first.status == 200
        gateway.hub.tokens.clear()
        async with session.get(url, headers=headers) as second:
            assert second.status == 401


async def test_no_cookie_of_one_caller_goes_with_the_next(gateway: Gateway) -> None:
    gateway.hub.has_user("good", "alice")
    for _ in range(2):
        await gateway.ask("jupyterhub good")
    assert [request.headers.get("Cookie") for request in gateway.hub.asked] == [None, None]


@pytest.mark.parametrize(
    "broken",
    [
        web.Response(status=500),
        web.Response(status=503),
        web.Response(status=302, headers={"Location": "/hub/login"}),
        web.Response(text="<html>"),
        web.json_response([]),
        web.json_response({"name": "alice"}),
        web.json_response({"name": "", "kind": "user", "scopes": [ACCESS]}),
        web.json_response({"name": "alice", "kind": "user", "scopes": ACCESS}),
    ],
    ids=["500", "503", "redirect", "html", "list", "no scopes", "no name", "scopes are a text"],
)
async def test_a_hub_that_gives_no_answer_is_503_and_says_nothing_about_the_token(
    gateway: Gateway, broken: web.Response
) -> None:
    gateway.hub.broken = broken
    status, body, headers = await gateway.ask("jupyterhub good")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert body == {"error": "The hub cannot be asked who you are just now. Try again in a few seconds."}


async def test_a_hub_that_is_away_is_503(gateway: Gateway) -> None:
    gateway.authenticator.jupyterhub_api_url = "http://127.0.0.1:9/hub/api"
    assert (await gateway.ask("jupyterhub good"))[0] == 503


@pytest.mark.parametrize(
    ("scopes", "server"),
    [
        (["access:servers!server=alice/"], ""),
        (["access:servers!server=alice/gpu", "users:activity!user=alice"], "gpu"),
        ([], None),
        (["access:servers!user=alice"], None),
        (["access:servers!server=alice/a", "access:servers!server=alice/b"], None),
        (["access:servers!server=bob/gpu"], None),
        (["access:servers!server=alicea/gpu"], None),
    ],
    ids=str,
)
async def test_the_server_comes_from_the_scopes_of_its_token(
    gateway: Gateway, scopes: list[str], server: str | None
) -> None:
    gateway.hub.has_user("good", "alice", ACCESS, *scopes, groups=["research"], admin=True)
    user = await gateway.authenticator.authenticate(_request("good"))
    assert (user.name, user.groups, user.admin, user.server) == ("alice", {"research"}, True, server)


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("service", "alice", "service:alice"),
        ("user", "service:alice", "user:service:alice"),
        ("user", "user:service:alice", "user:user:service:alice"),
        ("user", "jane.doe@ex.org", "jane.doe@ex.org"),
        ("user", "a:b", "a:b"),
    ],
)
async def test_a_service_is_never_taken_for_a_user(
    gateway: Gateway, kind: str, name: str, found: str
) -> None:
    gateway.hub.has_user("good", name, ACCESS, kind=kind, admin=False)
    assert (await gateway.authenticator.authenticate(_request("good"))).name == found


def _request(token: str) -> Any:
    class Request:
        headers = {"Authorization": f"jupyterhub {token}"}  # noqa: RUF012

    return Request()
