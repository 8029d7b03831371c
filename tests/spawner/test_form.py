from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.decisions import Decision, User, choose, decide, remembered
from scalablehub.description import resolve
from scalablehub.spawner.form import price, render_form
from scalablehub.spawner.ready import AT_ONCE, Readiness
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
    page = BeautifulSoup(
        rendered(decision("research"), size_note="Nobody is kept apart."), "html.parser"
    ).get_text()
    for text in (
        "0.88 cores · 3.8 GB",
        "3.5 cores · 15 GB",
        "read and write",
        "up to 6 workers",
        "kept apart",
    ):
        assert text in page


def test_the_terms_of_a_bucket_are_said() -> None:
    buckets = {"lake": {"url": "s3://lake", "region": "us-west-2", "expire_days": 7, "requester_pays": True}}
    decided = decide(resolve(described(buckets=buckets)), User("alice"))
    assert "(read only, kept for 7 days, who reads pays)" in rendered(decided)


def test_the_page_signs_in_to_clusters_below_the_hubs_own_base() -> None:
    assert 'src="/hubs/a/services/dask-gateway/sign-in"' in rendered(
        decision("research"), base_url="/hubs/a/"
    )
    assert "sign-in" not in rendered(decision())


def test_a_reason_of_clusters_that_are_not_open_is_shown() -> None:
    decided = decision("research")
    closed = replace(decided, dask=replace(decided.dask, state=decision().dask.state, why="closed today"))
    assert "No Dask clusters: closed today" in rendered(closed)


# What a page for many pools has.

POOLS = {
    "standard": {"order": 2, "display_name": "Standard", "cores": 4, "memory": "16G", "price": 0.4},
    "gpu": {
        **{"order": 1, "display_name": "GPU", "cores": 8, "memory": "64G", "gpus": 1, "price": 2.5},
        **{"spot": True, "allowed_groups": ["gpu"]},
    },
}


def of_pools(*groups: str, **words: Any) -> BeautifulSoup:
    decided = decision(*groups, nodes=POOLS, sizes={}, dask=None, currency="€")
    page = rendered(decided, pools={"gpu": "GPU", "standard": "Standard"}, **words)
    return BeautifulSoup(page, "html.parser")


def test_sizes_stand_below_their_pools_in_the_admins_order() -> None:
    page = of_pools("gpu")
    assert [pool.get_text() for pool in page.find_all(class_="sh-pool")] == ["GPU", "Standard"]


def test_one_pool_alone_needs_no_heading_and_one_that_is_hidden_has_none() -> None:
    assert of_pools().find_all(class_="sh-pool") == []
    assert "GPU" not in of_pools().find(id="sh-size").get_text()


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("gpu-1", ["GPU", "7.5 cores · 57.6 GB · 1 GPU", "€2.50/h", "May be taken back at any time."]),
        ("standard-1-4", ["Standard ¼", "0.88 cores · 3.6 GB", "€0.10/h"]),
    ],
)
def test_a_size_says_what_it_is_and_what_it_costs(name: str, lines: list[str]) -> None:
    card = of_pools("gpu").find("input", attrs={"value": name}).find_parent("label")
    found = [part.get_text() for part in card.find_all("span", recursive=False)]
    assert found == lines


@pytest.mark.parametrize(("number", "text"), [(0.2, "0.20"), (1.239, "1.24"), (0.039, "0.039"), (0, "0.00")])
def test_a_price_has_as_many_digits_as_say_something(number: float, text: str) -> None:
    assert price(number) == text


def test_one_line_sums_up_what_is_selected_and_a_link_leads_to_it() -> None:
    page = of_pools(link="/hub/spawn/alice/second")
    assert page.find(id="sh-sum").get_text() == "0.88 cores, 3.6 GB, JupyterLab, base; about €0.10/h"
    assert page.find(id="sh-link")["href"] == (
        "/hub/spawn/alice/second?opt-size=standard-1-4&opt-image=base&opt-interface=lab"
    )


def test_what_was_chosen_before_is_a_link_to_the_same() -> None:
    decided = decision("research")
    before = choose(decided, {"size": "large", "image": "geo", "interface": "rstudio"})
    page = BeautifulSoup(rendered(decided, recent=[before], base_url="/base/"), "html.parser")
    (link,) = page.select(".sh-recent a")
    assert link.get_text() == "large · geo · RStudio"
    assert link["href"] == "/base/hub/spawn?opt-size=large&opt-image=geo&opt-interface=rstudio"


OWN = {"patterns": [".*"], "display_name": "Another image", "interfaces": ["lab"]}


def test_an_image_of_ones_own_is_the_last_card_with_a_field_for_its_name() -> None:
    page = BeautifulSoup(rendered(decision(own_image=OWN)), "html.parser")
    assert [radio["value"] for radio in page.select("input[name=image]")] == ["base", "geo", "own"]
    field = page.find(id="sh-own-image")
    assert (field["name"], field["value"]) == ("own_image", "")
    assert page.find("label", attrs={"for": "sh-own-image"}).get_text() == "Name of the other image"


def test_an_image_of_ones_own_that_was_chosen_stands_in_the_field() -> None:
    page = BeautifulSoup(rendered(decision(own_image=OWN), {"image": "own:quay.io/x:1"}), "html.parser")
    assert page.find("input", attrs={"value": "own"}).has_attr("checked")
    assert page.find(id="sh-own-image")["value"] == "quay.io/x:1"
    assert "own%3Aquay.io%2Fx%3A1" in page.find(id="sh-link")["href"]


def test_a_name_that_was_refused_stays_in_the_field() -> None:
    page = BeautifulSoup(rendered(decision(own_image=OWN), refused_image="quay.io/x:2"), "html.parser")
    assert page.find(id="sh-own-image")["value"] == "quay.io/x:2"
    assert [radio["value"] for radio in page.select("input[name=image][checked]")] == ["own"]


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        (None, False),
        (OWN | {"allowed_groups": ["staff"]}, False),
        (OWN | {"allowed_groups": ["staff"], "locked": "Ask the staff."}, True),
    ],
    ids=["none", "hidden", "locked"],
)
def test_who_may_not_name_an_image_has_no_field_for_it(own: Any, shown: bool) -> None:
    page = rendered(decision(own_image=own))
    assert "sh-own-image" not in page.partition("<script>")[0]
    assert ("Ask the staff." in page) is shown


@pytest.mark.parametrize("written", ["quay.io/x:2", ""])
def test_what_is_wrong_with_an_image_is_said_at_its_field(written: str) -> None:
    page = BeautifulSoup(
        rendered(decision(own_image=OWN), refused_image=written, refused_why="It is not there."),
        "html.parser",
    )
    field = page.find(id="sh-own-image")
    assert (field["value"], field["aria-invalid"]) == (written, "true")
    described = [page.find(id=name).get_text(strip=True) for name in field["aria-describedby"].split()]
    assert described[0] == "It is not there."
    assert [radio["value"] for radio in page.select("input[name=image][checked]")] == ["own"]


def test_a_field_without_a_fault_is_not_called_wrong() -> None:
    page = BeautifulSoup(rendered(decision(own_image=OWN)), "html.parser")
    assert not page.find(id="sh-own-image").has_attr("aria-invalid")
    assert page.find(id="sh-own-wrong") is None


# How soon a server starts.

READY = {
    "small": Readiness(AT_ONCE, frozenset({"base"})),
    "large": Readiness("needs a new node, about 5 minutes"),
}


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ({"size": "small"}, "0.88 cores, 3.8 GB, JupyterLab, base; starts in seconds"),
        (
            {"size": "small", "image": "geo"},
            "0.88 cores, 3.8 GB, JupyterLab, geo; a node has room; the environment is fetched first",
        ),
        ({"size": "large"}, "3.5 cores, 15 GB, JupyterLab, base; needs a new node, about 5 minutes"),
    ],
    ids=str,
)
def test_the_line_says_how_soon_a_server_starts(earlier: dict[str, str], words: str) -> None:
    page = BeautifulSoup(rendered(decision("research"), earlier, readiness=READY), "html.parser")
    assert page.find(id="sh-sum").get_text() == words


def test_what_is_not_known_is_not_said() -> None:
    page = rendered(decision("research"))
    assert "data-ready" not in page
    assert BeautifulSoup(page, "html.parser").find(id="sh-sum").get_text() == (
        "0.88 cores, 3.8 GB, JupyterLab, base"
    )


def test_how_soon_it_would_start_is_not_said_of_what_is_locked() -> None:
    assert "new node" not in rendered(decision(), readiness=READY).partition("<script>")[0]


def test_an_image_that_is_hidden_is_not_named_by_the_nodes_that_have_it() -> None:
    images = {
        "base": {"image": "quay.io/hub/base:1"},
        "veiled": {"image": "quay.io/hub/veiled:1", "allowed_groups": ["staff"]},
    }
    ready = {"small": Readiness(AT_ONCE, frozenset({"base", "veiled"}))}
    assert "veiled" in rendered(decision("staff", images=images), readiness=ready)
    assert "veiled" not in rendered(decision(images=images), readiness=ready)


def test_an_interface_that_is_hidden_is_not_named_by_the_images_that_have_it() -> None:
    interfaces = {"lab": {"url": "/lab"}, "veiled": {"url": "/veiled", "allowed_groups": ["staff"]}}
    images = {"base": {"image": "quay.io/hub/base:1"}}
    assert "veiled" in rendered(decision("staff", images=images, interfaces=interfaces))
    assert "veiled" not in rendered(decision(images=images, interfaces=interfaces, own_image=OWN))


# What holds for every description.

SECRET = "xyzzy"
hidden_or_not = st.fixed_dictionaries(
    {},
    optional={
        "order": st.integers(-3, 3),
        "description": st.sampled_from(["Plain.", ATTACK]),
        "icon": st.sampled_from(["🌍", "<b>"]),
    },
)


def entries(kind: str, needed: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return one entry that everybody has, and some whose every word must not be seen."""
    shut = {
        "allowed_groups": ["staff"],
        "display_name": f"{SECRET} {kind}",
        "description": f"{SECRET} words",
        "icon": SECRET,
    }
    names = st.lists(st.sampled_from([f"{SECRET}-{kind}-{letter}" for letter in "abc"]), unique=True)
    return st.builds(
        lambda open_entry, shut_names: (
            {f"open-{kind}": open_entry | needed} | dict.fromkeys(shut_names, needed | shut)
        ),
        hidden_or_not,
        names,
    )


@given(
    nodes=entries("pool", {"cores": 8, "memory": "32G", "gpus": 2, "price": 3}).map(
        lambda found: {
            name: {key: value for key, value in entry.items() if key != "icon"}
            for name, entry in found.items()
        }
    ),
    images=entries("image", {"image": "quay.io/hub/x:1"}),
    interfaces=entries("interface", {"url": "/lab"}),
    buckets=entries("bucket", {"url": "s3://scratch"}),
    own=st.booleans(),
)
def test_no_word_of_what_is_hidden_is_in_the_page(
    nodes: dict[str, Any],
    images: dict[str, Any],
    interfaces: dict[str, Any],
    buckets: dict[str, Any],
    own: bool,
) -> None:
    own_image = (
        {**OWN, "interfaces": None, "display_name": SECRET, "allowed_groups": ["staff"]} if own else None
    )
    sections = {"nodes": nodes, "images": images, "interfaces": interfaces, "buckets": buckets}
    description = resolve(described(**sections, sizes={}, dask=None, own_image=own_image))
    words = {
        "readiness": {name: Readiness(AT_ONCE, frozenset(images)) for name in description.sizes},
        "pools": {name: pool.display_name or name for name, pool in description.nodes.items()},
    }
    asked = {"size": f"{SECRET}-pool-a-1", "image": f"{SECRET}-image-a", "interface": f"{SECRET}-interface-a"}
    decided = decide(description, User("alice"))
    assert SECRET not in rendered(decided, **words)
    seen = rendered(decide(description, User("alice", frozenset({"staff"}))), **words)
    assert (SECRET in seen) is (SECRET in str(sections) or own)
    # Who asks for it by name learns no more than the name they wrote.
    notes = BeautifulSoup(rendered(decided, asked, **words), "html.parser")
    for note in notes.find_all(role="status"):
        note.extract()
    assert SECRET not in notes.decode()
    assert ATTACK not in notes.decode()
