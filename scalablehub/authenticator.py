"""Groups from the identity provider: one mixin over any class of oauthenticator.

What each provider sends: https://oauthenticator.readthedocs.io/
"""

from __future__ import annotations

import functools
import inspect
import time
import unicodedata
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Any as AnyTrait
from traitlets import Bool, Unicode

from scalablehub.description.grouping import Grouping, claim, hub_groups

KNOWN_AT = "scalablehub_groups_at"
"""Key of the auth state with the time, in seconds since 1970, at which the provider last told the groups."""

_provider_is_away: ContextVar[bool] = ContextVar("_provider_is_away", default=False)


class GroupsFromProvider(OAuthenticator):  # type: ignore[misc]
    """What makes a class of oauthenticator, named after it in a class's bases, bring the hub's groups.

    * What the provider sends goes through the description's table, however it is written there.
    * Groups are asked for anew before each server starts. A provider that does not answer takes nothing away
      for a while, or refuses, as the description says; one that says no sends the user to sign in again.
    * A name that looks like another's, or rests on an e-mail address that nobody verified, is refused.
    """

    grouping = AnyTrait(help="The description's Grouping; set by scalablehub's drop-ins.").tag(config=True)

    groups_claim = Unicode(
        help="Dotted path of the groups in the auth state, such as 'oauth_user.realm_access.roles'. Default: "
        "where the provider has them."
    ).tag(config=True)

    require_verified_email = Bool(
        True,
        help="Whether a user name that is an e-mail address needs the provider's word that it was verified.",
    ).tag(config=True)

    # What the class beside it brings.
    scope: list[str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for base in type(self).__mro__:
            for name, value in _NEEDS.get(base.__name__, {}).items():
                setattr(self, name, value)
            missing = [scope for scope in _SCOPES.get(base.__name__, ()) if scope not in self.scope]
            if missing:
                self.scope = [*self.scope, *missing]

    async def get_user_groups(self, auth_state: Mapping[str, Any]) -> set[str]:
        """Return the hub's groups of a user, from what the provider said."""
        raw = await self._provider_groups(auth_state)
        if raw is None:
            self.log.warning("The identity provider says nothing about the groups of a user: they have none")
        grouping: Grouping = self.grouping or Grouping()
        return set(hub_groups(grouping, raw))

    def build_auth_state_dict(self, token_info: Any, user_info: Any) -> dict[str, Any]:
        """Return the auth state, with the time of the provider's answer."""
        state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        return state | {KNOWN_AT: time.time()}

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add groups that a provider tells only where it is asked for them."""
        updated: dict[str, Any] = await super().update_auth_model(auth_model)
        provider = {base.__name__ for base in type(self).__mro__}
        state = updated["auth_state"]
        if "GitLabOAuthenticator" in provider:
            state["gitlab_groups"] = await self._gitlab_groups(state)
        if "GoogleOAuthenticator" in provider and self.gsuite_administrator:
            person = state[self.user_auth_state_key]
            groups = await self._fetch_member_groups(person["email"], person["domain"])
            person["google_groups"] = sorted(groups)
        return updated

    def user_info_to_username(self, user_info: Mapping[str, Any]) -> str:
        """Return the user's name.

        Raises:
            tornado.web.HTTPError: it rests on an e-mail address that the provider does not call verified.
        """
        name = str(super().user_info_to_username(user_info))
        is_address = "@" in name and name.lower() == str(user_info.get("email", "")).lower()
        if is_address and self.require_verified_email and not _is_verified(user_info):
            raise _refused("Your e-mail address is not verified. Verify it with your identity provider.")
        return name

    def normalize_username(self, username: str) -> str:
        """Return the one form of a name.

        Raises:
            tornado.web.HTTPError: it could be mistaken for another name.
        """
        name: str = super().normalize_username(username)
        if (
            unicodedata.normalize("NFKC", name) != name
            or any(unicodedata.category(letter)[0] in "CZ" for letter in name)
            or name.strip(".") != name
        ):
            raise _refused("Your name at the identity provider has signs that this hub does not take.")
        return name

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        """Ask the provider about the user again.

        Returns:
            JupyterHub's answer: a model with what changed, True for no change, False for "sign in again".

        Raises:
            tornado.web.HTTPError: the provider does not answer, and what it said before is too old.
        """
        _provider_is_away.set(False)
        try:
            answer = await super().refresh_user(user, handler, **kwargs)
        except HTTPClientError as error:
            self._log_away(user.name, error)
        except (OSError, TimeoutError) as error:
            self._log_away(user.name, error)
        else:
            if answer is False and not _provider_is_away.get():
                _require_sign_in(handler)
            if answer is not False or not _provider_is_away.get():
                return answer
        return await self._without_provider(user)

    async def get_token_info(self, handler: Any, params: Any) -> Any:
        """Exchange a code or a refresh token; note whether it was the provider's failure if that fails."""
        try:
            return await super().get_token_info(handler, params)
        except HTTPClientError as error:
            _provider_is_away.set(error.code >= 500)
            raise
        except (OSError, TimeoutError):
            _provider_is_away.set(True)
            raise

    async def _without_provider(self, user: Any) -> bool:
        grouping: Grouping = self.grouping or Grouping()
        known_at = (await user.get_auth_state() or {}).get(KNOWN_AT)
        age = time.time() - known_at if isinstance(known_at, int | float) else None
        if grouping.when_away == "keep" and age is not None and age <= grouping.keep_for:
            self.log.warning("%s keeps their groups of %d s ago", user.name, age)
            return True
        error = web.HTTPError(
            503, "Your groups cannot be looked up: the identity provider does not answer. Try again later."
        )
        error.jupyterhub_message = error.log_message  # type: ignore[attr-defined]
        raise error

    async def _provider_groups(self, auth_state: Mapping[str, Any]) -> object:
        """Return what the provider said about groups; None is nothing."""
        configured = self.auth_state_groups_key
        if callable(configured):
            found = configured(auth_state)
            return await found if inspect.isawaitable(found) else found
        if path := self.groups_claim or configured:
            return claim(auth_state, path)
        for base in type(self).__mro__:
            if (read := _GROUPS.get(base.__name__)) is not None:
                return read(auth_state)
        return claim(auth_state, f"{self.user_auth_state_key}.groups")

    async def _gitlab_groups(self, auth_state: Mapping[str, Any]) -> list[str]:
        url = f"{self.gitlab_api}/groups?min_access_level=10&per_page=100"
        headers = self.get_default_headers() | {"Authorization": f"Bearer {auth_state['access_token']}"}
        groups = await self.httpfetch(url, method="GET", headers=headers)
        return [group["full_path"] for group in groups]

    def _log_away(self, name: str, error: Exception) -> None:
        # The error's own words may have a token in them.
        code = getattr(error, "code", "")
        self.log.warning(
            "The identity provider does not answer about %s: %s %s", name, type(error).__name__, code
        )


@functools.cache
def with_groups(authenticator: type[OAuthenticator]) -> type[GroupsFromProvider]:
    """Return a class of oauthenticator that brings the hub's groups; its configuration is that of both."""
    name = f"{authenticator.__name__}WithGroups"
    return type(name, (GroupsFromProvider, authenticator), {"__doc__": authenticator.__doc__})


def _require_sign_in(handler: Any) -> None:
    """Let JupyterHub send somebody to sign in again; who has sent a form is told to.

    JupyterHub 6.1 looks at a mark that only requests with a token have, and fails without it.
    """
    if handler is None:
        return
    if not hasattr(handler, "_token_authenticated"):
        handler._token_authenticated = False
    if handler.request.method == "POST" and not handler._token_authenticated:
        raise _refused(
            "Your sign-in at the identity provider has ended. Log out and sign in again, then start your "
            "server."
        )


def _is_verified(user_info: Mapping[str, Any]) -> bool:
    """Return whether a provider says so; some say it in a text, and "false" is no yes."""
    said = user_info.get("email_verified", user_info.get("verified_email"))
    return said is True or (isinstance(said, str) and said.lower() == "true")


def _refused(sentence: str) -> web.HTTPError:
    error = web.HTTPError(403, sentence)
    error.jupyterhub_message = sentence  # type: ignore[attr-defined]
    return error


def _github_teams(auth_state: Mapping[str, Any]) -> object:
    teams = auth_state.get("teams")
    if not isinstance(teams, list):
        return None
    return [
        f"{team['organization']['login']}:{team['slug']}"
        for team in teams
        if isinstance(team, Mapping) and "slug" in team and "organization" in team
    ]


# Where providers have their groups, if not in 'groups' of what they say about a user.
_GROUPS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "GitHubOAuthenticator": _github_teams,
    "GitLabOAuthenticator": lambda state: state.get("gitlab_groups"),
    "GlobusOAuthenticator": lambda state: state.get("globus_groups"),
    "GoogleOAuthenticator": lambda state: claim(state, "google_user.google_groups"),
    "CILogonOAuthenticator": lambda state: claim(state, "cilogon_user.isMemberOf"),
}
# What has to be asked for, so that they send them.
_SCOPES: dict[str, tuple[str, ...]] = {
    "GitHubOAuthenticator": ("read:org",),
    "GitLabOAuthenticator": ("read_user", "read_api"),
    "GlobusOAuthenticator": ("urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships",),
}
_NEEDS: dict[str, dict[str, object]] = {"GitHubOAuthenticator": {"populate_teams_in_auth_state": True}}
