"""What happens while a pod starts, in a scientist's words, from the events that Kubernetes sends of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "Scheduled": "A machine with room for your server was found.",
    "TriggeredScaleUp": "A new machine is being started for your server; that takes a few minutes.",
    "Nominated": "A machine for your server is getting ready; that can take a few minutes.",
    "SuccessfulAttachVolume": "Your folders are attached.",
    "Pulling": "Your environment is being fetched; on a machine that is new to it that takes a few minutes.",
    "Pulled": "Your environment is there.",
    "Created": "Your server is prepared.",
    "Started": "Your server starts.",
    "FailedScheduling": "Waiting for a machine with room for your server.",
    "BackOff": "Your server did not start; the hub tries again.",
    "Failed": "Your server did not start; the hub tries again.",
    "FailedMount": "Waiting for your folders.",
    "FailedAttachVolume": "Waiting for your folders.",
    "Evicted": "The machine that your server was on had no room left.",
    "Killing": "Your server is being ended.",
}


def in_words(event: Mapping[str, Any]) -> str | None:
    """Return what an event means to the user, or None if it means nothing to them."""
    return _WORDS.get(str(event.get("reason")))
