from __future__ import annotations

from typing import Any

import pytest
from jupyterhub import orm
from tornado import web

from scalablehub.decisions import Amount
from scalablehub.spawner.choosing import ChoosingSpawner
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.ledger import Holder, Ledger
from tests.spawner.stubs import around, config

CAPS: dict[str, Any] = {
    "everybody": {"cores": 2, "servers": 3},
    "course": {"groups": ["course"], "together": True, "memory": "8G"},
}


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())


def make(server: str = "", *groups: str, user: int = 1, **options: str) -> ScalableKubeSpawner:
    given = around("alice", *groups, options={"size": "small", **options}, server=server)
    given["user"].id = user
    return ScalableKubeSpawner(config=config(caps=CAPS), _mock=True, **given)


def refused(spawner: ScalableKubeSpawner) -> str:
    with pytest.raises(web.HTTPError) as refusal:
        spawner.select()
    assert refusal.value.status_code == 403
    return str(refusal.value.log_message)


# small is a quarter of 3.5 cores and 15 GB.
async def test_all_servers_of_a_user_together_stay_within_the_cap() -> None:
    make().select()
    make("second").select()
    assert refused(make("third")) == (
        "2 cores is the most that you may have at a time; in use already: 1.75 cores. "
        "Stop a server first, or choose a smaller size."
    )


async def test_a_server_that_has_ended_counts_no_more() -> None:
    first = make()
    first.select()
    make("second").select()
    first.clear_state()
    make("third").select()


async def test_a_server_that_starts_again_counts_once() -> None:
    for _ in range(3):
        make().select()
        make("second").select()


async def test_another_users_servers_do_not_count() -> None:
    for user in range(4):
        make(user=user).select()
        make("second", user=user).select()


async def test_a_start_that_is_refused_counts_nothing() -> None:
    make().select()
    make("second").select()
    with pytest.raises(web.HTTPError):
        make("third").select()
    assert ChoosingSpawner.ledger.total([1], besides=Holder(0, "")).servers == 2


async def test_a_restarted_hub_knows_what_its_servers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = make(), make("second")
    states = []
    for server in servers:
        server.select()
        states.append(server.get_state())
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())
    for server, state in zip((make(), make("second")), states, strict=True):
        server.load_state(state)
    assert refused(make("third")).startswith("2 cores is the most")


async def test_a_state_from_before_scalablehub_is_taken() -> None:
    make().load_state({"pod_name": "jupyter-alice"})
    assert ChoosingSpawner.ledger.total([1], besides=Holder(0, "")) == Amount()


async def test_members_of_a_group_share_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    members = orm.Group(name="course", users=[orm.User(id=number, name=f"u{number}") for number in (1, 2, 3)])
    monkeypatch.setattr(orm.Group, "find", lambda _db, name: members if name == "course" else None)
    make("", "course", user=1).select()
    make("", "course", user=2).select()
    assert refused(make("", "course", user=3)) == (
        "8 GB is the most that the members of course together may have at a time; in use already: 7.5 GB. "
        "Try again later."
    )
    make("", user=4).select()
