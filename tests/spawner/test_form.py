from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bs4 import BeautifulSoup

from scalablehub.decisions import Decision, User, decide, remembered
from scalablehub.description import resolve
from scalablehub.spawner.form import render_form
from tests.descriptions import described

ATTACK = '<script>alert("x")</script>'


def decision(*groups: str, **sections: Any) -> Decision:
    return decide(resolve(described(**sections)), User("alice", frozenset(groups)))


def rendered(decided: Decision, earlier: object = None, **words: Any) -> str:
    selection, notes = remembered(decided, earlier)
    return render_form(decided, selection, notes=words.pop("notes", notes), **words)


def radios(page: str, kind: str) -> dict[str, set[str]]:
    found = BeautifulSoup(page, "html.parser").find_all("input", attrs={"type": "radio", "name": kind})
    return {radio["value"]: {"disabled", "checked"} & set(radio.attrs) for radio in found}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((), {"small": {"checked"}, "large": {"disabled"}}),
        (("research",), {"small": {"checked"}, "large": set()}),
        (("research", "staff"), {"small": {"checked"}, "large": set(), "secret": set()}),
    ],
    ids=["nobody", "research", "both"],
)
def test_the_page_offers_what_was_decided(groups: tuple[str, ...], expected: dict[str, set[str]]) -> None:
    assert radios(rendered(decision(*groups)), "size") == expected


@pytest.mark.parametrize("hidden", ["secret", "60 GB", "vault", "staff"])
def test_what_is_hidden_is_nowhere_in_the_source(hidden: str) -> None:
    assert hidden in rendered(decision("staff")) or hidden == "staff"
    assert hidden not in rendered(decision())


def test_what_is_locked_says_why() -> None:
    page = BeautifulSoup(rendered(decision()), "html.parser")
    card = page.find("input", attrs={"value": "large"}).find_parent("label")
    assert card.find(class_="sh-why").get_text(strip=True) == "Ask the research group."


def test_a_bucket_that_is_locked_is_shown_with_the_reason_and_without_its_address() -> None:
    vault = {"url": "s3://vault", "allowed_groups": ["staff"], "locked": "Ask the data team."}
    page = rendered(decision(buckets={"vault": vault}))
    assert "Ask the data team." in page
    assert "s3://vault" not in page


@pytest.mark.parametrize(
    "earlier",
    [
        None,
        {"size": "small", "image": "geo", "interface": "rstudio"},
        {"size": "secret", "image": "gone", "interface": ["lab"]},
        {"interface": "rstudio"},
    ],
    ids=str,
)
def test_exactly_one_radio_is_checked_in_each_field(earlier: object) -> None:
    page = rendered(decision(), earlier)
    for kind in ("size", "image", "interface"):
        checked = [name for name, marks in radios(page, kind).items() if "checked" in marks]
        assert len(checked) == 1, kind


def test_the_last_choice_is_checked() -> None:
    page = rendered(decision("research"), {"size": "large", "image": "geo", "interface": "rstudio"})
    assert radios(page, "size")["large"] == {"checked"}
    assert radios(page, "image")["geo"] == {"checked"}
    assert radios(page, "interface")["rstudio"] == {"checked"}


def test_a_disabled_radio_is_never_checked() -> None:
    page = rendered(decision(), {"size": "large"})
    assert {"disabled", "checked"} not in radios(page, "size").values()


def test_a_page_on_which_nothing_can_be_started_has_nothing_checked_and_says_so() -> None:
    page = rendered(decision(nodes={}, sizes={}, dask=None))
    assert "checked" not in BeautifulSoup(page, "html.parser").find("div").decode().replace(
        "input:checked", ""
    )
    assert "There is no size that you may choose" in page


def attacked(**words: str) -> Decision:
    entry = {"display_name": ATTACK, "description": ATTACK, "locked": ATTACK}
    shut = entry | {"allowed_groups": ["staff"]}
    return decision(
        sizes={
            "a": entry | {"node": "gpu", "share": 1},
            "b": shut | {"node": "gpu", "share": 1},
        },
        images={"a": entry | {"image": ATTACK}, "b": shut | {"image": "x"}},
        interfaces={"lab": entry | {"url": "/lab"}, "b": shut | {"url": "/b"}},
        own_image=entry | {"patterns": [".*"]},
        buckets={"a": entry | {"url": "s3://a"}, "b": shut | {"url": "s3://b"}},
        dask={"allowed_groups": [ATTACK]},
    )


@pytest.mark.parametrize("where", ["notes", "size_note", "base_url", "link", "earlier", "refused_image"])
def test_everything_that_somebody_wrote_is_escaped(where: str) -> None:
    words: dict[str, Any] = {
        "notes": {"notes": [ATTACK]},
        "size_note": {"size_note": ATTACK},
        "link": {"link": f'"/>{ATTACK}'},
        "refused_image": {"refused_image": f'"/>{ATTACK}'},
        "base_url": {"base_url": f'"/>{ATTACK}'},
        "earlier": {},
    }[where]
    page = rendered(attacked(), {"size": ATTACK, "image": [ATTACK]} if where == "earlier" else None, **words)
    assert page.count("<script") == 1  # ours
    assert ATTACK not in page
    assert "&lt;script&gt;" in page


def test_a_users_own_name_is_escaped_in_the_address_of_their_bucket() -> None:
    decided = decide(resolve(described()), User(ATTACK))
    assert ATTACK not in rendered(decided)


def test_figures_and_the_hubs_limits_are_readable() -> None:
    page = rendered(decision("research"), size_note="Nobody is kept apart.")
    for text in (
        "0.88 cores · 3.8 GB",
        "3.5 cores · 15 GB",
        "read and write",
        "up to 6 workers",
        "kept apart",
    ):
        assert text in page


def test_the_page_signs_in_to_clusters_below_the_hubs_own_base() -> None:
    assert 'src="/hubs/a/services/dask-gateway/sign-in"' in rendered(
        decision("research"), base_url="/hubs/a/"
    )
    assert "sign-in" not in rendered(decision())


def test_a_reason_of_clusters_that_are_not_open_is_shown() -> None:
    decided = decision("research")
    closed = replace(decided, dask=replace(decided.dask, state=decision().dask.state, why="closed today"))
    assert "No Dask clusters: closed today" in rendered(closed)
