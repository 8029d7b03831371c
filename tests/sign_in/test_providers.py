"""What each identity provider sends, in the shapes that their documentation gives: they cannot be had."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp.web
import jwt
import pytest
from aiohttp.test_utils import TestServer
from oauthenticator.auth0 import Auth0OAuthenticator
from oauthenticator.azuread import AzureAdOAuthenticator
from oauthenticator.cilogon import CILogonOAuthenticator
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.github import GitHubOAuthenticator
from oauthenticator.gitlab import GitLabOAuthenticator
from oauthenticator.globus import GlobusOAuthenticator
from oauthenticator.google import GoogleOAuthenticator
from tornado import web

from scalablehub.authenticator import KNOWN_AT, GroupsFromProvider, with_groups
from scalablehub.description.grouping import Grouping
from scalablehub.providers import groups_reader

TABLE = {"lab:gpu": "gpu", "lab/gpu": "gpu", "gpu@*": "gpu", "CO:members:gpu:*": "gpu", "8f3c*": "gpu"}

CLASSES = {
    "github": GitHubOAuthenticator,
    "gitlab": GitLabOAuthenticator,
    "google": GoogleOAuthenticator,
    "cilogon": CILogonOAuthenticator,
    "globus": GlobusOAuthenticator,
    "azuread": AzureAdOAuthenticator,
    "auth0": Auth0OAuthenticator,
    "generic": GenericOAuthenticator,
}
TOLD: dict[str, dict[str, Any]] = {"generic": {"userdata_from_id_token": True}}
"""What lets a class look into the ID token, if it does not by itself."""
SETTINGS: dict[str, dict[str, Any]] = {
    "auth0": {"auth0_domain": "ex.auth0.com"},
    "azuread": {"tenant_id": "tenant"},
    "cilogon": {"idps": {"https://idp.ex.org": {"username_derivation": {"username_claim": "eppn"}}}},
}


def tokens(**said: Any) -> dict[str, Any]:
    """Return what a provider answers for a code, with an ID token that says so, signed by nobody."""
    said = {"aud": "hub", "exp": time.time() + 3600} | said
    return {"access_token": "a", "token_type": "Bearer", "id_token": jwt.encode(said, "", algorithm="none")}


class Signed:
    """JupyterHub's user, with what it keeps of the sign-in."""

    name = "alice"

    def __init__(self, **state: Any) -> None:
        self.state = state

    async def get_auth_state(self) -> dict[str, Any]:
        return self.state


def make(provider: str, **words: Any) -> GroupsFromProvider:
    return with_groups(CLASSES[provider])(
        grouping=Grouping(table=TABLE),
        manage_groups=True,
        enable_auth_state=True,
        client_id="hub",
        log=logging.getLogger("hub"),
        **SETTINGS.get(provider, {}),
        **words,
    )


@pytest.mark.parametrize(
    ("provider", "auth_state"),
    [
        ("github", {"teams": [{"slug": "gpu", "organization": {"login": "lab"}, "name": "GPU team"}]}),
        ("gitlab", {"gitlab_groups": ["lab/gpu"], "gitlab_user": {"username": "a"}}),
        ("google", {"google_user": {"google_groups": ["gpu"], "domain": "ex.org", "email": "a@ex.org"}}),
        ("cilogon", {"cilogon_user": {"isMemberOf": ["CO:members:gpu:active"]}}),
        ("globus", {"globus_groups": ["8f3c0e2c-0000-11ee-0000-000000000000"]}),
        ("azuread", {"user": {"groups": ["8f3c0e2c-1111-4a57-0000-000000000000"]}}),
        ("auth0", {"auth0_user": {"groups": ["lab:gpu"]}}),
        ("generic", {"oauth_user": {"groups": ["lab:gpu"]}}),
    ],
)
async def test_groups_are_found_where_the_provider_has_them(
    provider: str, auth_state: dict[str, Any]
) -> None:
    assert await make(provider).get_user_groups(auth_state) == {"gpu"}


ANSWERS: dict[str, dict[str, Any]] = {
    "github": {
        "/user": {"login": "Alice", "id": 1, "email": None, "name": "Alice A."},
        "/user/teams": [{"slug": "gpu", "name": "GPU team", "organization": {"login": "lab", "id": 7}}],
    },
    "gitlab": {
        "/api/v4/user": {"id": 1, "username": "alice", "email": "a@ex.org", "is_admin": False},
        "/api/v4/groups": [{"id": 7, "name": "GPU", "path": "gpu", "full_path": "lab/gpu"}],
    },
    "cilogon": {
        "/oauth2/userinfo": {
            "sub": "http://cilogon.org/serverA/users/1",
            "idp": "https://idp.ex.org",
            "eppn": "alice@ex.org",
            "isMemberOf": ["CO:members:gpu:active"],
        },
    },
    "globus": {
        "/v2/oauth2/userinfo": {"sub": "5c4a", "preferred_username": "alice@ex.org", "email": "a@ex.org"},
        "/v2/groups/my_groups": [{"id": "8f3c0e2c-0000-11ee-0000-000000000000", "name": "GPU"}],
    },
    "auth0": {
        "/userinfo": {"sub": "auth0|1", "email": "alice", "email_verified": True, "groups": ["lab:gpu"]},
    },
    "generic": {"/userinfo": {"sub": "alice", "groups": ["lab:gpu"]}},
}
"""What providers answer, by path."""
WHERE = {
    "github": {"github_url": "{url}", "github_api": "{url}", "userdata_url": "{url}/user"},
    "gitlab": {
        "gitlab_url": "{url}",
        "gitlab_api": "{url}/api/v4",
        "userdata_url": "{url}/api/v4/user",
    },
    "cilogon": {"userdata_url": "{url}/oauth2/userinfo"},
    "globus": {
        "userdata_url": "{url}/v2/oauth2/userinfo",
        "globus_groups_url": "{url}/v2/groups/my_groups",
    },
    "auth0": {"userdata_url": "{url}/userinfo"},
    "generic": {"userdata_url": "{url}/userinfo", "username_claim": "sub"},
}


@pytest.fixture
async def answering() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Start a server that answers so, and return its URL."""
    servers: list[TestServer] = []

    async def start(answers: Mapping[str, Any], status: int = 200) -> str:
        async def answer(request: aiohttp.web.Request) -> aiohttp.web.Response:
            if "secret-token" not in request.headers.get("Authorization", ""):
                return aiohttp.web.json_response({}, status=401)
            if request.path not in answers:
                return aiohttp.web.json_response({}, status=404)
            return aiohttp.web.json_response(answers[request.path], status=status)

        app = aiohttp.web.Application()
        app.router.add_route("*", "/{any:.*}", answer)
        servers.append(TestServer(app, host="127.0.0.1"))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


def token_of(provider: str) -> dict[str, Any]:
    token = {"access_token": "secret-token", "token_type": "Bearer", "scope": "read:org"}
    if provider == "globus":
        groups = token | {"resource_server": "groups.api.globus.org"}
        return token | {"resource_server": "auth.globus.org", "other_tokens": [groups]}
    return token


def made_for(provider: str, url: str) -> GroupsFromProvider:
    return make(provider, **{name: where.format(url=url) for name, where in WHERE[provider].items()})


@pytest.mark.parametrize("provider", ANSWERS)
async def test_a_whole_sign_in_brings_the_groups_of_each_provider(
    provider: str, answering: Callable[..., Awaitable[str]]
) -> None:
    made = made_for(provider, await answering(ANSWERS[provider]))
    signed_in = await made._token_to_auth_model(token_of(provider))
    assert signed_in["groups"] == ["gpu"]
    assert signed_in["name"] == ("alice@ex.org" if provider == "cilogon" else "alice")
    assert signed_in["admin"] is None
    assert signed_in["auth_state"][KNOWN_AT] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("provider", ANSWERS)
@pytest.mark.parametrize(("status", "kept"), [(500, True), (503, True), (401, False), (403, False)])
async def test_groups_are_kept_from_who_fails_and_not_from_who_says_no(
    provider: str, status: int, kept: bool, answering: Callable[..., Awaitable[str]]
) -> None:
    made = made_for(provider, await answering(ANSWERS[provider], status=status))
    alice = Signed(token_response=token_of(provider), **{KNOWN_AT: time.time() - 60})
    assert await made.refresh_user(alice) is kept


@pytest.mark.parametrize("provider", ANSWERS)
async def test_groups_that_were_told_too_long_ago_are_not_kept(
    provider: str, answering: Callable[..., Awaitable[str]]
) -> None:
    made = made_for(provider, await answering(ANSWERS[provider], status=500))
    for state in ({KNOWN_AT: time.time() - 86_460}, {KNOWN_AT: "now"}, {}):
        with pytest.raises(web.HTTPError, match="the identity provider does not answer") as refused:
            await made.refresh_user(Signed(token_response=token_of(provider), **state))
        assert refused.value.status_code == 503


@pytest.mark.parametrize("answer", [None, [], "alice", 7], ids=str)
async def test_an_answer_that_says_nothing_of_a_user_is_refused(
    answer: object, answering: Callable[..., Awaitable[str]]
) -> None:
    made = made_for("generic", await answering({"/userinfo": answer}))
    with pytest.raises(web.HTTPError, match="does not say who you are") as refused:
        await made._token_to_auth_model(token_of("generic"))
    assert refused.value.status_code == 403


@pytest.mark.parametrize("provider", ANSWERS)
async def test_a_user_without_a_name_is_refused(
    provider: str, answering: Callable[..., Awaitable[str]]
) -> None:
    nothing = {path: {"idp": "https://idp.ex.org"} for path in ANSWERS[provider]}
    made = made_for(provider, await answering(nothing))
    with pytest.raises(web.HTTPError, match="does not say your name") as refused:
        await made._token_to_auth_model(token_of(provider))
    assert refused.value.status_code == 403


@pytest.mark.parametrize("provider", CLASSES)
@pytest.mark.parametrize("auth_state", [{}, {"teams": None}, {"teams": [{}]}, {"oauth_user": None}], ids=str)
async def test_a_provider_that_says_nothing_gives_none(provider: str, auth_state: dict[str, Any]) -> None:
    assert await make(provider).get_user_groups(auth_state) == set()


@pytest.mark.parametrize(
    ("words", "auth_state"),
    [
        (
            {"groups_claim": "oauth_user.realm_access.roles"},
            {"oauth_user": {"realm_access": {"roles": ["lab:gpu"]}}},
        ),
        (
            {"groups_claim": "oauth_user.https://ex.org/roles"},
            {"oauth_user": {"https://ex.org/roles": "lab:gpu"}},
        ),
        ({"auth_state_groups_key": "oauth_user.roles"}, {"oauth_user": {"roles": ["lab:gpu"]}}),
        ({"auth_state_groups_key": lambda state: state["mine"]}, {"mine": ["lab:gpu"]}),
    ],
    ids=["Keycloak", "a URL", "oauthenticator's", "a function"],
)
async def test_an_admin_may_say_where_they_are(words: dict[str, Any], auth_state: dict[str, Any]) -> None:
    assert await make("generic", **words).get_user_groups(auth_state) == {"gpu"}


async def test_a_function_that_waits_is_waited_for() -> None:
    async def key(_state: Any) -> list[str]:
        return ["lab:gpu"]

    assert await make("generic", auth_state_groups_key=key).get_user_groups({}) == {"gpu"}


@pytest.mark.parametrize(
    ("provider", "scopes"),
    [
        ("github", {"read:org"}),
        ("gitlab", {"read_user", "read_api"}),
        ("globus", {"urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships"}),
    ],
)
def test_what_groups_need_is_asked_for(provider: str, scopes: set[str]) -> None:
    assert scopes <= set(make(provider).scope)
    assert set(make(provider, scope=["mine"]).scope) >= scopes | {"mine"}


def test_github_is_asked_for_teams() -> None:
    assert make("github").populate_teams_in_auth_state is True


@pytest.mark.parametrize(
    ("said", "admin"),
    [
        ({"groups": ["lab:gpu"]}, True),
        ({"groups": "lab:gpu"}, True),
        ({"groups": ["gpu"]}, False),
        ({}, False),
    ],
    ids=str,
)
async def test_admin_rights_come_from_a_group_of_the_table_and_from_no_missing_claim(
    said: dict[str, Any], admin: bool
) -> None:
    generic = make("generic", username_claim="sub", admin_groups={"gpu"}, userdata_from_id_token=True)
    signed_in = await generic._token_to_auth_model(tokens(sub="alice", **said))
    assert signed_in["admin"] is admin


async def test_who_has_no_groups_is_in_the_log_by_name(caplog: pytest.LogCaptureFixture) -> None:
    generic = make("generic", username_claim="sub", userdata_from_id_token=True)
    assert (await generic._token_to_auth_model(tokens(sub="alice")))["groups"] == []
    assert "says nothing about the groups of alice" in caplog.text


@pytest.mark.parametrize("provider", ["generic", "azuread"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "another hub"},
        {"aud": ["another hub"]},
        {"aud": None},
        {"exp": 1_500_000_000},
        {"exp": None},
        {"exp": "never"},
    ],
    ids=str,
)
async def test_an_id_token_for_another_or_of_another_time_is_refused_without_being_shown(
    provider: str, wrong: dict[str, Any]
) -> None:
    token = tokens(sub="alice", **wrong)
    with pytest.raises(web.HTTPError) as refused:
        await make(provider, **TOLD.get(provider, {})).token_to_user(token)
    assert refused.value.status_code == 403
    assert token["id_token"] not in str(refused.value)


@pytest.mark.parametrize("provider", ["generic", "azuread"])
@pytest.mark.parametrize("token", [{}, {"id_token": "nonsense"}, {"id_token": ""}], ids=str)
async def test_what_is_no_id_token_is_refused(provider: str, token: dict[str, Any]) -> None:
    with pytest.raises(web.HTTPError) as refused:
        await make(provider, **TOLD.get(provider, {})).token_to_user(token)
    assert refused.value.status_code == 403


@pytest.mark.parametrize("provider", ["generic", "azuread"])
async def test_the_id_token_of_the_sign_in_says_nothing_new(provider: str) -> None:
    made = make(provider, username_claim="sub", **TOLD.get(provider, {}))
    known = tokens(sub="alice", groups=["lab:gpu"])
    assert (await made._token_to_auth_model(known))["groups"] == ["gpu"]
    assert await made.refresh_user(Signed(token_response=known)) is False


def test_a_hub_that_is_told_in_id_tokens_asks_for_what_gets_a_new_one() -> None:
    assert "offline_access" in make("azuread").scope
    assert "offline_access" in make("generic", userdata_from_id_token=True).scope
    assert "offline_access" not in make("generic").scope


@pytest.mark.parametrize(("groups", "pages"), [(0, 1), (99, 1), (100, 2), (250, 3), (5000, 10)])
async def test_all_groups_of_gitlab_count_up_to_a_thousand(
    groups: int, pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [{"full_path": f"g{number}"} for number in range(groups)]
    asked: list[int] = []

    async def fetch(url: str, **_: Any) -> list[dict[str, str]]:
        asked.append(int(url.rpartition("=")[2]))
        return names[(asked[-1] - 1) * 100 : asked[-1] * 100]

    gitlab = make("gitlab")
    monkeypatch.setattr(gitlab, "httpfetch", fetch)
    found = await gitlab._gitlab_groups({"token_response": {"access_token": "t", "token_type": "Bearer"}})
    assert found == [f"g{number}" for number in range(min(groups, 1000))]
    assert asked == list(range(1, pages + 1))


@pytest.mark.parametrize(
    ("email", "groups"), [("a@ex.org", ["gpu"]), ("a@gmail.example", [])], ids=["of the domain", "a visitor"]
)
async def test_google_is_asked_for_groups_of_its_domains_only(
    email: str, groups: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    google = make("google", gsuite_administrator={"ex.org": "admin"})

    async def fetch(*_: Any, **__: Any) -> set[str]:
        return {"gpu"}

    async def said(_: Any) -> dict[str, Any]:
        return {"email": email, "verified_email": True}

    monkeypatch.setattr(google, "_fetch_member_groups", fetch)
    monkeypatch.setattr(google, "token_to_user", said)
    assert (await google._token_to_auth_model({"access_token": "t"}))["groups"] == groups


def test_a_group_of_google_is_not_that_of_another_domain() -> None:
    read = groups_reader(GoogleOAuthenticator)
    assert read is not None
    assert read({"google_user": {"google_groups": ["gpu"], "domain": "b.org"}}) == ["gpu@b.org"]
    assert read({"google_user": {"google_groups": ["gpu"]}}) is None


@pytest.mark.parametrize("name", ["alice", "é", "jane.doe@ex.org", "a-b_c+d", "李"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert make("generic").normalize_username(name) == name


@pytest.mark.parametrize(
    "name", ["a\u200bb", "e\u0301", "\uff41", "a\nb", "a ", ".a", "a.", "\u202ea", "a\x00"], ids=ascii
)
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(web.HTTPError) as refused:
        make("generic").normalize_username(name)
    assert refused.value.status_code == 403


@pytest.mark.parametrize("said", [{"email_verified": "false"}, {}, {"email_verified": 1}])
def test_a_name_that_is_no_address_needs_no_verified_one(said: dict[str, Any]) -> None:
    generic = make("generic", username_claim="sub")
    assert generic.user_info_to_username({"sub": "alice", "email": "a@ex.org", **said}) == "alice"


@pytest.mark.parametrize(
    ("provider", "words", "said"),
    [
        ("generic", {"username_claim": lambda said: said["email"].split("@")[0]}, {}),
        ("generic", {"username_claim": lambda said: said.get("email").split("@")[0]}, {}),
        ("generic", {"username_claim": "preferred_username"}, {"preferred_username": "Alice@Ex.org"}),
        ("google", {"hosted_domain": ["ex.org"]}, {}),
        ("globus", {"username_from_email": True}, {}),
        ("auth0", {}, {}),
    ],
    ids=["a function", "a function that asks", "the same text", "Google", "Globus", "Auth0"],
)
def test_a_name_made_from_an_address_needs_a_verified_one(
    provider: str, words: dict[str, Any], said: dict[str, Any]
) -> None:
    made = make(provider, **words)
    told = {"email": "alice@ex.org", **said}
    assert made.user_info_to_username({**told, "email_verified": True}).lower().startswith("alice")
    with pytest.raises(web.HTTPError, match="Your e-mail address is not verified"):
        made.user_info_to_username({**told, "email_verified": "false"})


def test_a_provider_that_says_no_name_is_told_in_a_sentence() -> None:
    with pytest.raises(web.HTTPError, match="does not say your name") as refused:
        make("generic", username_claim="sub").user_info_to_username({"email": "a@ex.org"})
    assert refused.value.status_code == 403


def test_an_admin_may_trust_the_provider_with_addresses() -> None:
    generic = make("generic", username_claim="email", require_verified_email=False)
    assert generic.user_info_to_username({"email": "a@ex.org"}) == "a@ex.org"


def test_one_class_is_made_for_each_provider_and_keeps_its_configuration() -> None:
    made = with_groups(CLASSES["github"])
    assert with_groups(CLASSES["github"]) is made
    assert [base.__name__ for base in made.__mro__[:3]] == [
        "GitHubOAuthenticatorWithGroups",
        "GroupsFromProvider",
        "GitHubOAuthenticator",
    ]
