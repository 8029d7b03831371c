"""A server that nobody uses is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scalablehub.local.settings import DEFAULT_FILE
from tests.stack import running_stack

pytestmark = [pytest.mark.stack, pytest.mark.once]

LATEST_SECONDS = 90


def test_server_without_use_is_stopped(seeded: Callable[[Path], Path], tmp_path: Path) -> None:
    settings = yaml.safe_load(DEFAULT_FILE.read_text())
    settings["LocalHub"]["cull_after"] = "10s"
    (tmp_path / "hub.yaml").write_text(yaml.safe_dump(settings))
    with running_stack(seeded(tmp_path / "data"), "--config", str(tmp_path / "hub.yaml")) as stack:
        bob = stack.sign_in("bob")
        bob.start_server({"size": "large"})
        deadline = time.monotonic() + LATEST_SECONDS
        while servers := bob.call("GET", "hub/api/users/bob")[1]["servers"]:
            assert time.monotonic() < deadline, (servers, stack.log_tails())
            time.sleep(0.5)  # the hub's API has no event for a server that stops
