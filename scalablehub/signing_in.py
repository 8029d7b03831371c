"""Which class signs people in: the admin's choice among those of oauthenticator, made to bring groups."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from traitlets.utils.importstring import import_item

from scalablehub.errors import PublicError, shown


def provider_class(configured: object) -> Any:
    """Return the configured authenticator with groups from its provider.

    Args:
        configured: JupyterHub.authenticator_class: a class, its full name, or the name of an entry point.

    Raises:
        PublicError: it is none of oauthenticator's, so that it knows no groups; status 500.
    """
    try:
        from oauthenticator.oauth2 import OAuthenticator  # noqa: PLC0415 (it may not be installed)

        from scalablehub.authenticator import GroupsFromProvider, with_groups  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise PublicError(
            "not-installed",
            f"ScalableHub.groups needs what is not installed ({error.name}); run: pip install "
            "'scalablehub[oauth]'",
            500,
        ) from None
    found = _load(configured)
    if not (isinstance(found, type) and issubclass(found, OAuthenticator)):
        raise PublicError(
            "authenticator-without-groups",
            f"ScalableHub.groups needs an authenticator that knows groups; JupyterHub.authenticator_class is "
            f"{shown(_name(configured))}. Choose one of oauthenticator's, such as 'github' or "
            "'generic-oauth', or remove ScalableHub.groups.",
            500,
        )
    return found if issubclass(found, GroupsFromProvider) else with_groups(found)  # type: ignore[arg-type]


def _load(configured: object) -> object:
    if not isinstance(configured, str):
        return configured
    for entry in entry_points(group="jupyterhub.authenticators", name=configured):
        return entry.load()
    try:
        return import_item(configured)
    except ImportError:
        return None


def _name(configured: object) -> str:
    return configured.__name__ if isinstance(configured, type) else str(configured or "not set")
