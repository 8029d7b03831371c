"""What the hub itself serves to dask-gateway's server.

* Its description, at ``/hub/api/scalablehub/description``.
* Who the owners of clusters are at this moment, at ``/hub/api/scalablehub/owners``: their groups, which of
  their servers run, and with which image.
"""

from __future__ import annotations

import json
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from scalablehub.description import Description
from scalablehub.description.sharing import SharedDescription, share

PATH = "/api/scalablehub/description"
SCOPE = "custom:scalablehub:read:description"
OWNERS_PATH = "/api/scalablehub/owners"
OWNERS_SCOPE = "custom:scalablehub:read:owners"
_MOST_OWNERS = 10_000
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
        _require(self, SCOPE, "The hub's description")

    def _shared(self) -> SharedDescription:
        shared = self.settings.get(_SHARED)
        if shared is None:
            description: Any = self.settings["config"].ChoosingSpawner.get("description")
            if not isinstance(description, Description):
                raise web.HTTPError(404, "This hub has no description: its spawner is not scalablehub's.")
            shared = self.settings[_SHARED] = share(description)
        found: SharedDescription = shared
        return found


class OwnersHandler(APIHandler):  # type: ignore[misc]
    """Who the named users are: what they are in and what they run, as the hub knows it at this moment.

    ``POST {"users": ["alice", …]}`` answers ``{"alice": {"groups": […], "admin": false, "servers":
    {"": {"image": "geo", "reference": "quay.io/hub/geo:1@sha256:…"}}}, "ghost": null}``: only servers that
    start or run are in it, and a user whom the hub does not have is null.
    """

    async def post(self) -> None:
        """Answer who they are.

        Raises:
            tornado.web.HTTPError: 403 for a token without the scope, 400 for a body that is not such a list.
        """
        _require(self, OWNERS_SCOPE, "Who the owners of clusters are")
        model = self.get_json_body()
        names = model.get("users") if isinstance(model, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise web.HTTPError(400, "Send an object with 'users', a list of names.")
        if len(names) > _MOST_OWNERS:
            raise web.HTTPError(400, f"Ask for at most {_MOST_OWNERS} users at a time.")
        self.set_header("Cache-Control", "no-store")
        self.write(json.dumps({name: self._owner(name) for name in names}))

    def _owner(self, name: str) -> dict[str, Any] | None:
        user = self.find_user(name)
        if user is None:
            return None
        servers = {}
        for server in user.orm_user.orm_spawners:
            spawner = user.spawners[server]
            if spawner.active:
                image, reference = getattr(spawner, "image_of_server", None) or ("", "")
                servers[server] = {"image": image, "reference": reference}
        return {
            "groups": sorted(group.name for group in user.groups),
            "admin": bool(user.admin),
            "servers": servers,
        }


def _require(handler: APIHandler, scope: str, what: str) -> None:
    if not handler.current_user:
        raise web.HTTPError(403, "Missing or invalid credentials.")
    if scope not in handler.expanded_scopes:
        raise web.HTTPError(403, f"{what} is for tokens with the scope {scope}.")
