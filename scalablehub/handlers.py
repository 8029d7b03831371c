"""What the hub itself serves to our services: its description, at ``/hub/api/scalablehub/description``."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from scalablehub.description import Description
from scalablehub.description.sharing import SharedDescription, share

PATH = "/api/scalablehub/description"
SCOPE = "custom:scalablehub:read:description"
_SHARED = "scalablehub_description"


class DescriptionHandler(APIHandler):  # type: ignore[misc]
    """The description that this hub's spawner decides with, as canonical JSON with its hash as the ETag.

    Tokens need our own scope for it. As everywhere in JupyterHub's API, who may not is answered 403 in JSON.
    """

    async def get(self) -> None:
        """Send the description; nothing but 304 to who has it already."""
        self._require_scope()
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "private, no-cache")
        self.write(self._shared().body)

    head = get

    def compute_etag(self) -> str | None:
        """Return the hash of the description; Tornado compares it with If-None-Match."""
        shared = self.settings.get(_SHARED)
        return f'"{shared.hash}"' if shared is not None else None

    def _require_scope(self) -> None:
        if not self.current_user:
            raise web.HTTPError(403, "Missing or invalid credentials.")
        if SCOPE not in self.expanded_scopes:
            raise web.HTTPError(403, f"The hub's description is for tokens with the scope {SCOPE}.")

    def _shared(self) -> SharedDescription:
        shared = self.settings.get(_SHARED)
        if shared is None:
            description: Any = self.settings["config"].ChoosingSpawner.get("description")
            if not isinstance(description, Description):
                raise web.HTTPError(404, "This hub has no description: its spawner is not scalablehub's.")
            shared = self.settings[_SHARED] = share(description)
        found: SharedDescription = shared
        return found
