"""What each identity provider sends, in the shapes that their documentation gives: they cannot be had."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from oauthenticator.auth0 import Auth0OAuthenticator
from oauthenticator.azuread import AzureAdOAuthenticator
from oauthenticator.cilogon import CILogonOAuthenticator
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.github import GitHubOAuthenticator
from oauthenticator.gitlab import GitLabOAuthenticator
from oauthenticator.globus import GlobusOAuthenticator
from oauthenticator.google import GoogleOAuthenticator
from tornado import web

from scalablehub.authenticator import GroupsFromProvider, with_groups
from scalablehub.description.grouping import Grouping

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
SETTINGS: dict[str, dict[str, Any]] = {
    "auth0": {"auth0_domain": "ex.auth0.com"},
    "azuread": {"tenant_id": "tenant"},
    "cilogon": {"allowed_idps": {"https://idp.ex.org": {"username_derivation": {"username_claim": "eppn"}}}},
}


def make(provider: str, **words: Any) -> GroupsFromProvider:
    return with_groups(CLASSES[provider])(
        grouping=Grouping(table=TABLE),
        manage_groups=True,
        enable_auth_state=True,
        log=logging.getLogger("hub"),
        **SETTINGS.get(provider, {}),
        **words,
    )


@pytest.mark.parametrize(
    ("provider", "auth_state"),
    [
        ("github", {"teams": [{"slug": "gpu", "organization": {"login": "lab"}, "name": "GPU team"}]}),
        ("gitlab", {"gitlab_groups": ["lab/gpu"], "gitlab_user": {"username": "a"}}),
        ("google", {"google_user": {"google_groups": ["gpu@ex.org"], "email": "a@ex.org"}}),
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


def test_admin_rights_come_from_no_missing_claim() -> None:
    assert make("generic", admin_groups={"gpu"}).admin_groups == {"gpu"}


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
