"""Starts that cannot work end in words that a scientist understands, in time, and the next one works."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import HUB, Person, ResearchHub


@pytest.fixture
def carol(hub: ResearchHub) -> Iterator[Person]:
    person = hub.sign_in("carol")
    yield person
    person.stop_server()


@pytest.mark.parametrize(
    ("options", "words", "seconds"),
    [
        ({"image": "absent"}, "The environment absent could not be fetched: its image is not there", 90),
        ({"image": "crashing"}, "Your server ended as soon as it started (exit code 3).", 60),
        ({"size": "tiny"}, "Your server needed more than its 64 MB of memory and was ended.", 60),
        ({"size": "elsewhere"}, "There is no machine with room for 0.1 cores and 1 GB at the moment.", 60),
    ],
    ids=["no image", "crash", "out of memory", "no room"],
)
def test_a_start_that_cannot_work_says_why(
    carol: Person, options: dict[str, str], words: str, seconds: float
) -> None:
    begun = time.monotonic()
    told = carol.try_server(options)
    assert told is not None
    assert words in told
    assert time.monotonic() - begun < seconds
    pod = carol.find_pod()
    assert pod is None or pod["metadata"].get("deletionTimestamp")
    carol.start_server({"size": "small", "image": "pangeo"})


def test_a_quota_that_is_reached_is_said(carol: Person, kubectl: Kubectl) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full", "namespace": HUB},
        "spec": {"hard": {"requests.memory": "1Mi"}},
    }
    kubectl.apply([quota])
    try:
        # The quota counts what is there before it refuses.
        kubectl("wait", "quota/full", "-n", HUB, "--for=jsonpath={.status.hard}", "--timeout=30s")
        told = carol.try_server({"size": "small"})
        assert told is not None
        assert "The hub has reached its quota: there is no room for 0.1 cores and 1 GB" in told
    finally:
        kubectl("delete", "quota", "full", "-n", HUB)
    carol.start_server({"size": "small"})
