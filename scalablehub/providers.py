"""What is particular to each identity provider: where its groups are, and what has to be asked for.

What each provider sends: https://oauthenticator.readthedocs.io/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scalablehub.description.grouping import claim


def groups_reader(authenticator: type) -> Callable[[Mapping[str, Any]], object] | None:
    """Return what finds the groups in a provider's auth state; None is 'groups' of what it says of a user."""
    return next((_GROUPS[name] for name in _names(authenticator) if name in _GROUPS), None)


def needed_scopes(authenticator: type) -> tuple[str, ...]:
    """Return the scopes without which the provider does not tell groups, or not anew."""
    return next((_SCOPES[name] for name in _names(authenticator) if name in _SCOPES), ())


def needed_settings(authenticator: type) -> Mapping[str, object]:
    """Return the settings without which the class does not ask for groups, by name."""
    return next((_SETTINGS[name] for name in _names(authenticator) if name in _SETTINGS), {})


def is_a(authenticator: type, name: str) -> bool:
    """Return whether a class is one of oauthenticator's, by its name: its module may lack what it needs."""
    return name in _names(authenticator)


def _names(authenticator: type) -> list[str]:
    return [base.__name__ for base in authenticator.__mro__]


def _github_teams(state: Mapping[str, Any]) -> object:
    teams = state.get("teams")
    if not isinstance(teams, list):
        return None
    return [
        f"{team['organization']['login']}:{team['slug']}"
        for team in teams
        if isinstance(team, Mapping) and "slug" in team and "organization" in team
    ]


def _google_groups(state: Mapping[str, Any]) -> object:
    groups, domain = claim(state, "google_user.google_groups"), claim(state, "google_user.domain")
    if not isinstance(groups, list) or not isinstance(domain, str):
        return None
    # They come without their domain, and 'gpu' of one domain is not that of another.
    return [f"{group}@{domain}" for group in groups]


_GROUPS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "GitHubOAuthenticator": _github_teams,
    "GitLabOAuthenticator": lambda state: state.get("gitlab_groups"),
    "GlobusOAuthenticator": lambda state: state.get("globus_groups"),
    "GoogleOAuthenticator": _google_groups,
    "CILogonOAuthenticator": lambda state: claim(state, "cilogon_user.isMemberOf"),
}
_SCOPES: dict[str, tuple[str, ...]] = {
    "GitHubOAuthenticator": ("read:org",),
    "GitLabOAuthenticator": ("read_user", "read_api"),
    "GlobusOAuthenticator": ("urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships",),
    # Its groups come in an ID token, and a new one only for a refresh token.
    "AzureAdOAuthenticator": ("openid", "profile", "offline_access"),
}
_SETTINGS: dict[str, dict[str, object]] = {"GitHubOAuthenticator": {"populate_teams_in_auth_state": True}}
