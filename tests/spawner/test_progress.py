from __future__ import annotations

import re

import pytest

from scalablehub.spawner import progress
from scalablehub.spawner.progress import in_words
from tests.spawner.pods import event


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "Scheduled",
            "Successfully assigned hub/jupyter-alice to node-1",
            "A machine with room for your server was found.",
        ),
        (
            "TriggeredScaleUp",
            "pod triggered scale-up: [{pool 1->2 (max: 9)}]",
            "A new machine is being started for your server; that takes a few minutes.",
        ),
        (
            "Nominated",
            "Pod should schedule on: nodeclaim/default-x",
            "A machine for your server is getting ready; that can take a few minutes.",
        ),
        (
            "FailedScheduling",
            "0/3 nodes are available: 3 Insufficient memory.",
            "Waiting for a machine with room for your server.",
        ),
        (
            "Pulling",
            'Pulling image "quay.io/hub/geo:1"',
            "Your environment is being fetched; on a machine that is new to it that takes a few minutes.",
        ),
        ("Pulled", "Successfully pulled image", "Your environment is there."),
        ("FailedMount", "MountVolume.SetUp failed", "Waiting for your folders."),
        ("Started", "Started container notebook", "Your server starts."),
    ],
)
def test_an_event_is_told_in_these_words(reason: str, message: str, words: str) -> None:
    assert in_words(event(reason, message)) == words


@pytest.mark.parametrize(
    "seen", [event("NotTriggerScaleUp"), event("NodeNotReady"), event(""), {"reason": None}, {}], ids=str
)
def test_an_event_that_means_nothing_to_a_user_is_not_told(seen: dict[str, object]) -> None:
    assert in_words(seen) is None


@pytest.mark.parametrize("words", sorted(set(progress._WORDS.values())))
def test_the_words_are_one_sentence_without_a_word_of_kubernetes(words: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", words)
    assert not re.search(r"\b(pods?|nodes?|images?|volumes?|containers?|schedul\w+)\b", words)
