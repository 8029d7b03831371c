"""What nobody may start over REST on Kubernetes: all that stock KubeSpawner lets through is refused.

The chart has the hub answer 202 at once, so it is the progress of the start that tells the refusal.
Where the hub waits, each has a status of its own: `tests/local_stack/test_choices.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.research_hub import Person, ResearchHub

OPTIONS: list[tuple[Any, str]] = [
    # What KubeSpawner 7.1 takes without a word.
    ({"profile": "gpu"}, "'profile' is not a choice of this hub"),
    ({"profile": ""}, "'profile' is not a choice of this hub"),
    ({"profile": "x", "image": "unlisted"}, "'profile' is not a choice of this hub"),
    ({"image--unlisted-choice": "evil/x:1"}, "'image--unlisted-choice' is not a choice"),
    ({"kubespawner_override": {"image": "evil/x:1"}}, "'kubespawner_override' is not a choice"),
    ({"size": "small", "mem_limit": "64G"}, "'mem_limit' is not a choice"),
    ({"size": "small", "privileged": True}, "'privileged' is not a choice"),
    # The same in our words.
    ({"size": "large"}, "Large cannot be chosen: For members of the group research."),
    ({"size": "Small"}, "There is no size 'Small' for you"),
    ({"size": "small\n"}, r"There is no size 'small\n' for you"),
    ({"size": ["small"]}, "The size must be a name"),
    ({"size": "{namespace.__class__.__mro__}"}, "There is no size '{namespace"),
    ({"size": "{{ 7 * 7 }}"}, "There is no size '{{ 7 * 7 }}' for you"),
    ({"image": "evil/x:1"}, "There is no image 'evil/x:1' for you"),
    ({"image": "own:evil/x:1"}, "There is no image 'own:evil/x:1' for you"),
    ({"interface": "terminal"}, "There is no interface 'terminal' for you"),
]


@pytest.fixture(scope="module")
def guest(hub: ResearchHub) -> Person:
    """Somebody of the group `guests`."""
    return hub.sign_in("bob")


@pytest.mark.parametrize(("options", "words"), OPTIONS, ids=lambda value: str(value)[:40])
def test_rest_starts_only_what_the_page_offers(guest: Person, options: Any, words: str) -> None:
    assert words in (guest.try_server(options) or "it started")
    assert guest.find_pod() is None


def test_nor_does_it_start_a_named_server_with_it(guest: Person) -> None:
    words = "'profile' is not a choice of this hub"
    assert words in (guest.try_server({"profile": "gpu"}, "named") or "it started")
    assert guest.find_pod("named") is None
