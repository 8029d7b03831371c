"""Who may sign in to a hub on one machine, and their groups: what the file says, at each start."""

from __future__ import annotations

from typing import Any

from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from traitlets import Dict, default


class LocalAuthenticator(SharedPasswordAuthenticator):  # type: ignore[misc]
    """People of the file, with the passwords of the hub.

    JupyterHub itself only ever adds: who was once there, in a group or an admin, stays so.
    """

    groups_of = Dict(help="Names of the groups of everybody who may sign in, by name.").tag(config=True)

    @default("allow_existing_users")
    def _only_those_of_the_file(self) -> bool:
        return False

    @default("delete_invalid_users")
    def _forget_others(self) -> bool:
        return True

    def add_user(self, user: Any) -> None:
        """Take in a user of the hub's database, or a new one; what the file does not give, they lose.

        Raises:
            ValueError: they are not in the file; the hub then deletes them, and keeps their home.
        """
        if user.name not in self.groups_of:
            raise ValueError(
                f"{user.name!r} is not in LocalHub.users; write it there and start the hub again"
            )
        super().add_user(user)
        row = getattr(user, "orm_user", user)
        row.admin = user.name in self.admin_users
        row.groups = [group for group in row.groups if group.name in self.groups_of[user.name]]
