"""The code of the tutorial works as it stands there, in one session of a user's own server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Client

pytestmark = [pytest.mark.stack, pytest.mark.once]

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "one-core-to-fifty.md"
BLOCKS = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
_THEN = """
from dask_gateway import Gateway
with Gateway() as gateway:
    left = len(gateway.list_clusters())
say({"pieces": plan.data.npartitions, "most": float(alone.max()), "left": left})
"""


@pytest.fixture(scope="module")
def told(alice: Client) -> Any:
    return alice.run_python("\n".join(BLOCKS) + _THEN, timeout_seconds=280)


def test_its_plan_has_more_pieces_than_one(told: dict[str, Any]) -> None:
    assert told["pieces"] > 1


def test_its_result_is_a_share_of_land(told: dict[str, Any]) -> None:
    assert told["most"] == pytest.approx(1)


def test_it_leaves_no_cluster(told: dict[str, Any]) -> None:
    assert told["left"] == 0
