"""The hub's description, as the hub has it and as the gateway knows it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.kubernetes.deployment.dask_gateway import API
from tests.kubernetes.research_hub import GATEWAY, ResearchHub
from tests.stack import call

_ASK = """
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:8000/api/scalablehub/description", timeout=10).read().decode())
"""


def hash_at_the_hub(hub: ResearchHub) -> str:
    """Return the hash of what the hub serves to the gateway's token."""
    url = f"{hub.url}hub/api/scalablehub/description"
    status, answer = call("GET", url, Authorization=f"token {hub.token}")
    assert status == 200, answer
    return hashlib.sha256(json.dumps(answer, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def at_the_gateway(hub: ResearchHub) -> dict[str, Any]:
    """Return which description the gateway has, how old it is, and how the last question ended."""
    text = hub.kubectl("exec", f"deployment/{API}", "-n", GATEWAY, "--", "python3", "-c", _ASK)
    found: dict[str, Any] = json.loads(text)
    return found
