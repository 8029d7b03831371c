"""What the spawn page selects: what was sent, what a link says, or what was chosen last; and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from bs4 import BeautifulSoup
from tornado import web

from scalablehub.decisions import Amount, Decision, User, decide
from scalablehub.description import resolve
from scalablehub.spawner.choosing import ChoosingSpawner, take_choice
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.ledger import Holder, Ledger
from scalablehub.spawner.offering import beside, used_up
from scalablehub.spawner.ready import AT_ONCE, Readiness
from tests.descriptions import described
from tests.spawner.stubs import around, config


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())
    yield


def make(*groups: str, server: str = "", options: Any = None, **sections: Any) -> ScalableKubeSpawner:
    words = around("alice", *groups, options=options, server=server)
    return ScalableKubeSpawner(_mock=True, config=config(**sections), **words)


async def opened(spawner: ScalableKubeSpawner, query: Mapping[str, str]) -> dict[str, list[bytes]]:
    """Open the page as JupyterHub does up to where it would start with what is left of the query."""
    arguments = {name: [value.encode()] for name, value in query.items()}
    spawner.handler = SimpleNamespace(request=SimpleNamespace(query_arguments=arguments))
    await spawner.run_auth_state_hook(None)
    return arguments


def checked(page: str) -> list[str]:
    return [radio["value"] for radio in BeautifulSoup(page, "html.parser").select("input[checked]")]


def notes(page: str) -> list[str]:
    return [note.get_text() for note in BeautifulSoup(page, "html.parser").find_all(role="status")]


@pytest.mark.parametrize(
    ("query", "choice", "left"),
    [
        ({"opt-size": "large"}, {"size": "large"}, []),
        ({"size": "large", "image": "geo"}, {"size": "large", "image": "geo"}, []),
        ({"opt-size": "large", "size": "small", "foo": "bar"}, {"size": "large"}, []),
        ({"next": "/user/alice/lab", "opt-image": "geo"}, {"image": "geo"}, ["next"]),
        ({"_xsrf": "2|a", "display_name": "x"}, {}, ["_xsrf", "display_name"]),
        ({"foo": "bar", "opt-foo": "bar", "opt-": "x"}, {}, []),
        ({}, {}, []),
    ],
    ids=str,
)
def test_a_links_choice_is_taken_out_of_the_address(
    query: dict[str, str], choice: dict[str, str], left: list[str]
) -> None:
    arguments = {name: [value.encode()] for name, value in query.items()}
    assert take_choice(arguments) == choice
    assert list(arguments) == left


def test_of_a_choice_that_stands_there_twice_the_last_holds_and_broken_text_is_no_error() -> None:
    assert take_choice({"size": [b"small", b"large"], "image": [b"\xff"], "interface": []}) == {
        "size": "large",
        "image": "�",
    }


@pytest.mark.parametrize("prefix", ["opt-", ""], ids=["JupyterHub 6", "5.5"])
async def test_a_link_selects_and_leaves_nothing_for_jupyterhub_to_start_with(prefix: str) -> None:
    spawner = make("research", options={"size": "small"})
    left = await opened(spawner, {f"{prefix}size": "large", f"{prefix}image": "geo"})
    assert left == {}
    page = await spawner.get_options_form()
    assert checked(page) == ["large", "geo", "lab"]
    assert notes(page) == []


async def test_what_a_link_asks_for_and_cannot_be_had_falls_to_the_nearest_with_a_note() -> None:
    spawner = make()
    await opened(spawner, {"opt-size": "large", "opt-image": "geo"})
    page = await spawner.get_options_form()
    assert checked(page) == ["small", "geo", "lab"]
    assert notes(page) == [
        "What the link asks for cannot be had: large cannot be chosen: Ask the research group."
    ]


async def test_the_page_that_is_opened_without_a_link_selects_the_last_choice_again() -> None:
    spawner = make("research", options={"size": "large"})
    await opened(spawner, {"opt-size": "small"})
    await opened(spawner, {"of-a-campaign": "x"})
    assert checked(await spawner.get_options_form())[0] == "large"


async def test_what_was_sent_and_refused_goes_before_the_link_and_the_last_choice() -> None:
    spawner = make("research", options={"image": "base"})
    await opened(spawner, {"opt-size": "small"})
    with pytest.raises(web.HTTPError):
        await spawner.choose_from_form({"size": ["large"], "image": ["geo"], "interface": ["nothing"]})
    page = await spawner.get_options_form()
    assert checked(page) == ["large", "geo", "lab"]
    assert notes(page) == [], "JupyterHub shows the refusal"
    await opened(spawner, {})
    assert checked(await spawner.get_options_form())[1] == "base"


async def test_what_was_sent_for_a_named_server_is_on_the_page_that_jupyterhub_shows() -> None:
    default, named = make("research"), make("research", server="second")
    named.user.spawner = default
    with pytest.raises(web.HTTPError):
        await named.choose_from_form({"size": ["large"], "image": ["gone"]})
    assert checked(await default.get_options_form())[0] == "large"
    assert default.user_options == {}, "the options of a server that may run are its own"


@pytest.mark.parametrize("written", ["not an image", "", "quay.io/other/x:1"])
async def test_a_refused_image_of_ones_own_is_told_at_its_field(written: str) -> None:
    spawner = make(own_image={"patterns": ["quay\\.io/hub/.*"]})
    with pytest.raises(web.HTTPError) as raised:
        await spawner.choose_from_form({"image": ["own"], "own_image": [written]})
    page = BeautifulSoup(await spawner.get_options_form(), "html.parser")
    assert page.find(id="sh-own-image")["value"] == written
    assert page.find(id="sh-own-wrong").get_text() == raised.value.jupyterhub_message
    assert checked(str(page))[1] == "own"


async def test_how_soon_servers_start_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def readiness(_spawner: ChoosingSpawner) -> dict[str, Readiness]:
        return {"small": Readiness(AT_ONCE)}

    monkeypatch.setattr(ScalableKubeSpawner, "readiness", readiness)
    assert "base; starts in seconds" in await make().get_options_form()


# Beside what runs.

CAPS = {"all": {"cores": 2, "servers": 3}}
RUNS = Amount(servers=1, cores=1.5, memory=2**30)


def decided(*groups: str, **sections: Any) -> Decision:
    return decide(resolve(described(**sections)), User("alice", frozenset(groups)))


def left(decision: Decision, used: Amount) -> Decision:
    return beside(decision, [(bounds, used) for bounds in decision.bounds])


@pytest.mark.parametrize(
    ("used", "is_open"),
    [(Amount(), True), (RUNS, False), (Amount(servers=3), False), (Amount(servers=2, cores=1.125), True)],
    ids=["nothing runs", "cores", "servers", "exactly"],
)
def test_a_size_that_cannot_be_had_beside_what_runs_is_locked(used: Amount, is_open: bool) -> None:
    size = left(decided(caps=CAPS), used).sizes[0]
    assert (size.name, size.is_open) == ("small", is_open)


def test_it_says_how_much_is_used_and_which_line_says_so() -> None:
    size = left(decided(caps=CAPS), RUNS).sizes[0]
    assert size.why == "2 cores is the most that you may have at a time; in use already: 1.5 cores."
    assert size.place == "ScalableHub.caps.all.cores"


def test_what_is_locked_or_hidden_already_keeps_its_reason() -> None:
    before = decided(caps={"all": {"cores": 1}})
    assert left(before, RUNS).sizes[1:] == before.sizes[1:]


def test_where_no_size_is_left_it_says_why() -> None:
    before = decided(caps=CAPS)
    assert used_up(before, left(before, RUNS)) == (
        "No size can be started at the moment. 2 cores is the most that you may have at a time; in use "
        "already: 1.5 cores."
    )
    assert used_up(before, before) == ""


async def test_the_page_knows_what_ones_other_servers_take_but_not_its_own() -> None:
    second, third = make(server="second", caps=CAPS), make(server="third", caps=CAPS)
    ChoosingSpawner.ledger.hold(Holder(1, "second"), RUNS)
    assert checked(await second.get_options_form())[0] == "small"
    page = await third.get_options_form()
    assert checked(page) == []
    assert notes(page) == [
        "No size can be started at the moment. 2 cores is the most that you may have at a time; in use "
        "already: 1.5 cores."
    ]
