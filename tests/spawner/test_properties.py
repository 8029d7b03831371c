"""Whatever reaches a spawner, nobody gets a server that the page would not have offered them."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tornado import web

from scalablehub.decisions import Amount
from scalablehub.spawner.choosing import ChoosingSpawner, options_from_fields
from scalablehub.spawner.kubernetes import ScalableKubeSpawner
from scalablehub.spawner.ledger import Ledger
from tests.descriptions import anything, written
from tests.spawner.stubs import around, config

NAMES = (
    "small",
    "large",
    "secret",
    "gpu-1",
    "base",
    "geo",
    "lab",
    "rstudio",
    "own:quay.io/pangeo/base:1",
    "own",
)
TEMPLATES = ("{username}", "{namespace}", "{0}", "{{x}}", "{username.__class__}", "quay.io/pangeo/{username}")
KEYS = (
    "size",
    "image",
    "interface",
    "profile",
    "own_image",
    "kubespawner_override",
    "image--unlisted-choice",
)
texts = st.sampled_from(NAMES) | st.sampled_from(TEMPLATES) | st.text(max_size=20)
options = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), texts | anything, max_size=4)
fields = st.dictionaries(st.sampled_from(KEYS), st.lists(texts, max_size=2), max_size=4)
groups = st.sets(st.sampled_from(["research", "staff", "gpu"]))

POOLS = written()["nodes"] | {
    "gpu": {
        **{"display_name": "Accelerated", "cores": 8, "memory": "64G", "gpus": 1, "ladder": [1]},
        **{"allowed_groups": ["gpu"], "reserved": {}},
    }
}
OWN = {"patterns": [r"quay\.io/pangeo/.*"], "allowed_groups": ["staff"]}
CONFIG = config(nodes=POOLS, own_image=OWN, caps={"everybody": {"cores": 8}})


def make(member_of: set[str], sent: object, saved: object = None) -> ScalableKubeSpawner:
    ChoosingSpawner.ledger = Ledger()
    spawner = ScalableKubeSpawner(
        config=CONFIG, _mock=True, **around("alice", *sorted(member_of), options=saved)
    )
    spawner.user_options = sent
    return spawner


async def started(member_of: set[str], sent: object) -> dict[str, Any] | None:
    """Return the pod that would be made, or None for a refusal that helps."""
    spawner = make(member_of, sent)
    try:
        await spawner.load_user_options()
        pod = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    except web.HTTPError as refusal:
        assert 400 <= refusal.status_code < 500
        assert refusal.log_message
        return None
    decision, selection = spawner.decision(), spawner.selection
    assert selection is not None
    assert selection.size in [size for size in decision.sizes if size.is_open]
    own = decision.own_image
    assert selection.image in [image for image in decision.images if image.is_open] or (
        own is not None and own.is_open and selection.image.name.startswith("own:quay.io/pangeo/")
    )
    assert selection.interface in [found for found in decision.interfaces if found.is_open]
    assert selection.interface.name in selection.image.interfaces
    manifest: dict[str, Any] = pod
    return manifest


# That options are an object is JupyterHub's own check.
@given(groups, options)
@example(set(), {"image--unlisted-choice": "evil/x:1"})
@example(set(), {"profile": "", "image--unlisted-choice": "evil/x:1"})
@example({"staff"}, {"image": "own:quay.io/pangeo/base:1\n"})
@example({"staff"}, {"image": "own:quay.io/pangeo/{username}"})
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_is_sent_the_pod_is_one_that_was_offered(member_of: set[str], sent: Any) -> None:
    pod = await started(member_of, sent)
    if pod is None:
        return
    (container,) = pod["spec"]["containers"]
    text = json.dumps(pod)
    assert "evil" not in text
    assert int(container["resources"]["limits"]["memory"]) <= 64 * 2**30
    assert container["image"] in {"quay.io/hub/base:1", "quay.io/hub/geo:1"} or "staff" in member_of


@given(groups, fields)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_form_is_sent_the_pod_is_one_that_was_offered(
    member_of: set[str], body: dict[str, list[str]]
) -> None:
    await started(member_of, options_from_fields(body))


@given(groups, options)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_was_saved_the_page_shows_only_what_is_offered(
    member_of: set[str], saved: Any
) -> None:
    spawner = make(member_of, saved, saved)

    form = spawner.options_form(spawner)
    text = str(await form if inspect.isawaitable(form) else form)
    assert ("Accelerated" in text) == ("gpu" in member_of)
    assert ("60 GB" in text) == ({"gpu", "staff"} <= member_of)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["small", "large"]), st.booleans()), max_size=12)
)
async def test_in_whatever_order_servers_come_and_go_nobody_has_more_than_their_cap(
    events: list[tuple[int, str, bool]],
) -> None:
    ChoosingSpawner.ledger = Ledger()
    servers: dict[tuple[int, int], ScalableKubeSpawner] = {}
    for number, (user, size, ends) in enumerate(events):
        if ends and servers:
            servers.popitem()[1].clear_state()
            continue
        given_ = around("alice", "research", options={"size": size}, server=f"s{number}")
        given_["user"].id = user
        spawner = ScalableKubeSpawner(config=CONFIG, _mock=True, **given_)
        try:
            spawner.select()
            servers[user, number] = spawner
        except web.HTTPError:
            spawner.clear_state()
    for user in (1, 2, 3):
        total = sum(
            (server.selection.size.amount for (owner, _), server in servers.items() if owner == user),
            Amount(),
        )
        assert total.cores <= 8


@pytest.fixture(autouse=True)
def _ledger_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChoosingSpawner, "ledger", Ledger())
