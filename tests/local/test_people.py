"""People in JupyterHub's database after a start with another file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from scalablehub.local.people import LocalAuthenticator

People = dict[str, tuple[bool, list[str]]]
Start = Callable[[People], Awaitable[JupyterHub]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    hubs: list[JupyterHub] = []

    async def start(people: People) -> JupyterHub:
        """Read the database and the file, as JupyterHub does when it starts."""
        groups = {group for _, theirs in people.values() for group in theirs}
        c = Config()
        c.JupyterHub.db_url = f"sqlite:///{tmp_path}/hub.sqlite"
        c.JupyterHub.load_groups = {
            group: {"users": [name for name, (_, theirs) in people.items() if group in theirs]}
            for group in groups
        }
        c.Authenticator.allowed_users = set(people)
        c.Authenticator.admin_users = {name for name, (admin, _) in people.items() if admin}
        c.LocalAuthenticator.groups_of = {name: groups for name, (_, groups) in people.items()}
        hub = JupyterHub(config=c)
        hub.init_db()
        hub.authenticator = LocalAuthenticator(parent=hub)
        await hub.init_role_creation()
        await hub.init_users()
        await hub.init_groups()
        hubs.append(hub)
        return hub

    yield start
    for hub in hubs:
        hub.db.close()
        hub.db.get_bind().dispose()


def known(hub: JupyterHub) -> People:
    return {
        user.name: (user.admin, sorted(group.name for group in user.groups))
        for user in hub.db.query(orm.User).order_by(orm.User.name)
    }


BEFORE: People = {"alice": (False, ["research"]), "bob": (False, ["research"]), "boss": (True, ["staff"])}


@pytest.mark.parametrize(
    "after",
    [
        BEFORE,
        BEFORE | {"alice": (False, ["guests"])},
        BEFORE | {"alice": (False, [])},
        BEFORE | {"boss": (False, ["staff"])},
        BEFORE | {"carol": (False, ["staff"])},
        {"alice": (True, ["research", "staff"])},
    ],
    ids=["the same", "another group", "no group", "no admin", "one more", "two fewer"],
)
async def test_after_a_start_people_are_those_of_the_file(start: Start, after: People) -> None:
    assert known(await start(BEFORE)) == BEFORE
    assert known(await start(after)) == after


async def test_what_the_admin_page_changed_is_there_until_the_next_start(start: Start) -> None:
    hub = await start(BEFORE)
    orm.User.find(hub.db, "alice").groups.append(orm.Group.find(hub.db, "staff"))
    hub.db.commit()
    assert known(hub)["alice"] == (False, ["research", "staff"])
    assert known(await start(BEFORE)) == BEFORE


async def test_who_is_not_in_the_file_can_neither_be_added_nor_sign_in(start: Start) -> None:
    hub = await start(BEFORE)
    stranger: Any = orm.User(name="mallory")
    with pytest.raises(ValueError, match=r"'mallory' is not in LocalHub\.users; write it there"):
        hub.authenticator.add_user(stranger)
    assert "mallory" not in hub.authenticator.allowed_users
