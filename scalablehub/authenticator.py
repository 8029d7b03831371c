"""Groups from the identity provider: one mixin over any class of oauthenticator."""

from __future__ import annotations

import functools
import inspect
import time
import unicodedata
from collections.abc import Mapping
from contextvars import ContextVar
from json import JSONDecodeError
from typing import Any

import jwt
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.handlers.pages import SpawnHandler
from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import Any as AnyTrait
from traitlets import Bool, Unicode

from scalablehub.description.grouping import Grouping, claim, hub_groups
from scalablehub.providers import groups_reader, is_a, needed_scopes, needed_settings

KNOWN_AT = "scalablehub_groups_at"
"""Key of the auth state with the time, in seconds since 1970, at which the provider last told the groups."""

_AWAY = (OSError, TimeoutError, JSONDecodeError)
"""How a provider that does not answer shows, beside statuses; a page in place of JSON is no answer either."""
_MOST_PAGES = 10
_CLOCKS_DIFFER = 60

_provider_is_away: ContextVar[bool] = ContextVar("_provider_is_away", default=False)
_known_id_token: ContextVar[str | None] = ContextVar("_known_id_token", default=None)
_whose: ContextVar[str] = ContextVar("_whose", default="somebody")


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
        for name, value in needed_settings(type(self)).items():
            setattr(self, name, value)
        needed = needed_scopes(type(self))
        if self.userdata_from_id_token:
            needed = (*needed, "offline_access")
        missing = [scope for scope in needed if scope not in self.scope]
        if missing:
            self.scope = [*self.scope, *missing]

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> Any:
        """Sign somebody in.

        Raises:
            tornado.web.HTTPError: the provider refuses what it is asked (403), or does not answer (503).
        """
        try:
            return await super().authenticate(handler, data, **kwargs)
        except HTTPClientError as error:
            self._log_away("a sign-in", error)
            if error.code < 500:
                raise _refused("The identity provider did not accept the sign-in. Sign in again.") from None
        except _AWAY as error:
            self._log_away("a sign-in", error)
        raise _saying(503, "The identity provider does not answer. Try again later.")

    async def token_to_user(self, token_info: Any) -> Any:
        """Return what the provider says about a user.

        Raises:
            tornado.web.HTTPError: it is said in an ID token that is not for this hub, or not valid any more.
            tornado.httpclient.HTTPClientError: the ID token is the one of the sign-in, and says nothing new.
        """
        if not (self.userdata_from_id_token or is_a(type(self), "AzureAdOAuthenticator")):
            said = await super().token_to_user(token_info)
            if not isinstance(said, dict):
                raise _refused("The identity provider does not say who you are. Sign in again.")
            return said
        known = _known_id_token.get()
        if known is not None and token_info.get("id_token") == known:
            # As for an access token that has expired, oauthenticator now uses the refresh token.
            raise HTTPClientError(401, "the ID token is the one of the sign-in")
        try:
            said = await super().token_to_user(token_info)
        except (web.HTTPError, jwt.PyJWTError, KeyError):
            said = None  # what is raised has the token in its words
        if said is None or not _is_for(self.client_id, said):
            raise _refused("The identity provider's answer is not for this hub. Sign in again.")
        return said

    async def get_user_groups(self, auth_state: Mapping[str, Any]) -> set[str]:
        """Return the hub's groups of a user, from what the provider said."""
        raw = await self._provider_groups(auth_state)
        if raw is None:
            self.log.warning(
                "The identity provider says nothing about the groups of %s: they have none", _whose.get()
            )
        grouping: Grouping = self.grouping or Grouping()
        return set(hub_groups(grouping, raw))

    def build_auth_state_dict(self, token_info: Any, user_info: Any) -> dict[str, Any]:
        """Return the auth state, with the time of the provider's answer."""
        state: dict[str, Any] = super().build_auth_state_dict(token_info, user_info)
        return state | {KNOWN_AT: time.time()}

    async def update_auth_model(self, auth_model: dict[str, Any]) -> dict[str, Any]:
        """Add groups that a provider tells only where it is asked for them."""
        _whose.set(auth_model["name"])
        updated: dict[str, Any] = await super().update_auth_model(auth_model)
        state = updated["auth_state"]
        if is_a(type(self), "GitLabOAuthenticator"):
            state["gitlab_groups"] = await self._gitlab_groups(state)
        if is_a(type(self), "GoogleOAuthenticator"):
            person = state[self.user_auth_state_key]
            # People of other domains sign in as well; whether they may come in is asked later.
            if person["domain"] in self.gsuite_administrator:
                person["google_groups"] = await self._google_groups(person)
        return updated

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Return the user's name.

        Raises:
            tornado.web.HTTPError: the provider says none, or it rests on an e-mail address that the provider
                does not call verified.
        """
        read = _Read(user_info)
        try:
            name = str(super().user_info_to_username(read))
        except (ValueError, KeyError, AttributeError):  # each class has its way to miss it
            raise _nameless() from None
        except web.HTTPError as error:
            if error.status_code == 403:
                raise  # it is somebody that the class does not let in
            raise _nameless() from None
        user_info.update(read)  # some classes note more there
        is_address = "@" in name and name.lower() == str(user_info.get("email", "")).lower()
        rests_on_address = is_address or "email" in read.keys_read
        if rests_on_address and self.require_verified_email and not _is_verified(user_info):
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
        state = await user.get_auth_state() or {}
        _known_id_token.set((state.get("token_response") or {}).get("id_token"))
        try:
            answer = await super().refresh_user(user, handler, **kwargs)
        except HTTPClientError as error:
            self._log_away(user.name, error)
            return self._without_provider(user.name, state, handler)
        except _AWAY as error:
            self._log_away(user.name, error)
            return self._without_provider(user.name, state, handler)
        finally:
            _known_id_token.set(None)
        if answer is False and _provider_is_away.get():
            return self._without_provider(user.name, state, handler)
        if isinstance(answer, dict) and answer.get("name", user.name) != user.name:
            # JupyterHub would give the groups, and the rights, of that name to this one.
            self.log.warning("The identity provider has another name for %s now", user.name)
            answer = False
        if answer is False:
            _require_sign_in(handler)
        return answer

    async def get_token_info(self, handler: Any, params: Any) -> Any:
        """Exchange a code or a refresh token; note whether it was the provider's failure if that fails."""
        try:
            return await super().get_token_info(handler, params)
        except HTTPClientError as error:
            _provider_is_away.set(error.code >= 500)
            raise
        except _AWAY:
            _provider_is_away.set(True)
            raise

    def _without_provider(self, name: str, state: Mapping[str, Any], handler: Any) -> bool:
        if not _starts_a_server(handler):
            return True  # what runs stays within reach
        grouping: Grouping = self.grouping or Grouping()
        known_at = state.get(KNOWN_AT)
        age = time.time() - known_at if isinstance(known_at, int | float) else None
        if grouping.when_away == "keep" and age is not None and age <= grouping.keep_for:
            self.log.warning("%s keeps their groups of %d s ago", name, age)
            return True
        raise _saying(
            503, "Your groups cannot be looked up: the identity provider does not answer. Try again later."
        )

    async def _provider_groups(self, auth_state: Mapping[str, Any]) -> object:
        """Return what the provider said about groups; None is nothing."""
        configured = self.auth_state_groups_key
        if callable(configured):
            found = configured(auth_state)
            return await found if inspect.isawaitable(found) else found
        if path := self.groups_claim or configured:
            return claim(auth_state, path)
        if (read := groups_reader(type(self))) is not None:
            return read(auth_state)
        return claim(auth_state, f"{self.user_auth_state_key}.groups")

    async def _gitlab_groups(self, auth_state: Mapping[str, Any]) -> list[str]:
        token = auth_state["token_response"]
        headers = self.build_userdata_request_headers(token["access_token"], token["token_type"])
        found: list[str] = []
        for page in range(1, _MOST_PAGES + 1):
            url = f"{self.gitlab_api}/groups?min_access_level=10&per_page=100&page={page}"
            groups = await self.httpfetch(url, method="GET", headers=headers)
            found += [group["full_path"] for group in groups]
            if len(groups) < 100:
                break
        return found

    async def _google_groups(self, person: Mapping[str, Any]) -> list[str]:
        try:
            return sorted(await self._fetch_member_groups(person["email"], person["domain"]))
        except Exception as error:
            # Only who uses Google has its library, whose errors are of no common kind.
            if type(error).__module__.startswith("google."):
                raise ConnectionError(type(error).__name__) from None
            raise

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


class _Read(dict[str, Any]):
    """What a provider says about a user, which notes what of it was read."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        super().__init__(said)
        self.keys_read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.keys_read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_read.add(key)
        return super().get(key, default)


def _starts_a_server(handler: Any) -> bool:
    if isinstance(handler, UserServerAPIHandler):
        return bool(handler.request.method == "POST")
    return handler is None or isinstance(handler, SpawnHandler)


def _is_for(client_id: str, said: Mapping[str, Any]) -> bool:
    """Return whether an ID token is for a client, and valid still."""
    audience, expires = said.get("aud"), said.get("exp")
    audiences = audience if isinstance(audience, list) else [audience]
    return (
        client_id in audiences and isinstance(expires, int | float) and expires > time.time() - _CLOCKS_DIFFER
    )


def _is_verified(user_info: Mapping[str, Any]) -> bool:
    """Return whether a provider says so; some say it in a text, and "false" is no yes."""
    said = user_info.get("email_verified", user_info.get("verified_email"))
    return said is True or (isinstance(said, str) and said.lower() == "true")


def _nameless() -> web.HTTPError:
    return _refused(
        "The identity provider does not say your name. Ask the admin of this hub to check what it asks for."
    )


def _refused(sentence: str) -> web.HTTPError:
    return _saying(403, sentence)


def _saying(status: int, sentence: str) -> web.HTTPError:
    error = web.HTTPError(status, sentence)
    error.jupyterhub_message = sentence  # type: ignore[attr-defined]
    return error
