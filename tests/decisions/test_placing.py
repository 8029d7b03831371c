from __future__ import annotations

from typing import Any

import pytest

from scalablehub.decisions import User, decide, scheduler_node, usual_worker
from scalablehub.description import resolve
from tests.descriptions import described, written

NODE = {"cores": 4, "memory": "16G", "reserved": {}, "ladder": ["1/4"]}
PLAIN = {"order": 3} | NODE
SPOT = {"order": 1, "spot": True} | NODE
GPU = {"order": 2, "gpus": 4} | NODE
LOCKED = {"order": 0, "allowed_groups": ["staff"]} | NODE


def placed(worker: str, nodes: dict[str, Any], **dask: Any) -> tuple[str, str]:
    """Return the node pool of the scheduler, and the size of workers of who names none."""
    made = resolve(described(nodes=nodes, sizes={}, dask=written()["dask"] | dask))
    decision = decide(made, User("alice", frozenset({"research"})))
    (size,) = (found for found in decision.dask.workers if found.name == worker)
    return scheduler_node(made, decision, size), usual_worker(made, decision)


@pytest.mark.parametrize(
    ("worker", "nodes", "node"),
    [
        ("plain-1-4", {"plain": PLAIN, "spot": SPOT, "gpu": GPU}, "plain"),
        ("spot-1-4", {"plain": PLAIN, "spot": SPOT, "gpu": GPU}, "plain"),
        ("gpu-1-4", {"plain": PLAIN, "spot": SPOT, "gpu": GPU}, "plain"),
        ("spot-1-4", {"plain": PLAIN, "locked": LOCKED, "spot": SPOT}, "plain"),
        ("spot-1-4", {"locked": LOCKED, "spot": SPOT}, "spot"),  # there is nothing else for them
        ("gpu-1-4", {"gpu": GPU, "spot": SPOT}, "gpu"),
    ],
)
def test_schedulers_stay_off_spot_nodes_gpus_and_what_their_user_may_not_have(
    worker: str, nodes: dict[str, Any], node: str
) -> None:
    assert placed(worker, nodes)[0] == node


def test_an_admin_says_where_schedulers_are() -> None:
    nodes = {"plain": PLAIN, "locked": LOCKED, "spot": SPOT}
    assert placed("spot-1-4", nodes, schedulers="locked")[0] == "locked"
    assert placed("plain-1-4", nodes, schedulers="locked")[0] == "locked"


def test_nobody_gets_gpus_or_spot_nodes_without_having_asked() -> None:
    assert placed("spot-1-4", {"plain": PLAIN, "spot": SPOT, "gpu": GPU})[1] == "plain-1-4"
    assert placed("spot-1-4", {"spot": SPOT, "gpu": GPU})[1] == "spot-1-4"
