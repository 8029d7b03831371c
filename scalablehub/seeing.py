"""For admins: what somebody may choose, what not, and why, at ``/hub/scalablehub/see-as``."""

from __future__ import annotations

from typing import Any

from jupyterhub import orm
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from scalablehub.configured import values_of
from scalablehub.decisions import User, decide, explain
from scalablehub.description import Description

PATH = "/scalablehub/see-as"
_MOST_GROUPS = 100


class SeeAsHandler(BaseHandler):  # type: ignore[misc]
    """The decision for any user and any groups; it changes nothing, and nobody learns what a user stored."""

    @web.authenticated
    @needs_scope("admin-ui")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Show the page: for ``user``, in the groups that the hub knows and each ``group`` beside them."""
        name = self.get_argument("user", "").strip()
        extra = {group.strip() for group in self.get_arguments("group")[:_MOST_GROUPS]} - {""}
        known = orm.User.find(self.db, name) if name else None
        groups = {group.name for group in known.groups} if known is not None else set()
        description = self._description()
        lacks = values_of(self.settings["config"].ChoosingSpawner).get("lacks") or {}
        rows = None
        if name:
            user = User(name, frozenset(groups | extra), admin=bool(known and known.admin))
            rows = list(explain(decide(description, user, lacks)))
        html = await self.render_template(
            "see_as.html",
            asked=name,
            known=known is not None,
            groups=sorted(groups),
            extra=sorted(extra),
            rows=rows,
            names=[user.name for user in self.db.query(orm.User).order_by(orm.User.name).limit(1000)],
            group_names=sorted(_groups_of(description) | {group.name for group in self.db.query(orm.Group)}),
        )
        self.finish(html)

    def _description(self) -> Description:
        description: Any = self.settings["config"].ChoosingSpawner.get("description")
        if not isinstance(description, Description):
            raise web.HTTPError(404, "This hub has no description: its spawner is not scalablehub's.")
        return description


def _groups_of(description: Description) -> set[str]:
    """Return every group that the description names."""
    gated = (
        *(section.allowed_groups for section in description.nodes.values()),
        *(section.allowed_groups for section in description.sizes.values()),
        *(section.allowed_groups for section in description.images.values()),
        *(section.allowed_groups for section in description.interfaces.values()),
        *(section.allowed_groups for section in description.buckets.values()),
        *(section.write_groups for section in description.buckets.values()),
        *(section.allowed_groups for section in description.directories.values()),
        *(section.allowed_groups for section in (description.own_image, description.dask) if section),
        *(cap.groups for cap in description.caps.values()),
    )
    return {group for groups in gated for group in groups or ()}
