from __future__ import annotations

from typing import Any

import pytest

from scalablehub.dask.pod_states import worker_of
from scalablehub.dask.workers import Worker


def pod(phase: str = "Running", *, conditions: Any = None, **container: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": phase}
    if container:
        status["containerStatuses"] = [{"image": "quay.io/x:1"} | container]
    if conditions:
        status["conditions"] = conditions
    return {"metadata": {"name": "w", "namespace": "users"}, "status": status}


RUNS = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
CRASHED = {"terminated": {"exitCode": 1, "message": "one\ntwo\n\nKeyError: 'x'\n"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
WAITS = {"waiting": {"reason": "CrashLoopBackOff"}}
NO_NODE = [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes:\n Insufficient cpu."}]


@pytest.mark.parametrize(
    ("made", "runs", "why"),
    [
        (pod(), True, ""),
        (pod(state=RUNS), True, ""),
        (pod("Pending"), False, ""),
        (pod("Pending", state={"waiting": {"reason": "ContainerCreating"}}), False, ""),
        (pod("Pending", conditions=NO_NODE), False, "0/3 nodes: Insufficient cpu."),
        (
            pod("Pending", state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            False,
            "its image cannot be pulled (quay.io/x:1): not found",
        ),
        (
            pod(state=WAITS, lastState=CRASHED, restartCount=3),
            False,
            "it failed (exit code 1), 3 times so far:\none\ntwo\n\nKeyError: 'x'",
        ),
        (pod(state=KILLED), False, "it took more memory than it may (exit code 137)"),
        (
            pod(state=RUNS, lastState=KILLED, restartCount=1),
            True,
            "it took more memory than it may (exit code 137)",
        ),
        (pod(state={"terminated": {"exitCode": 0}}), False, ""),
    ],
)
def test_a_pod_says_whether_its_worker_runs_and_why_not(made: dict[str, Any], runs: bool, why: str) -> None:
    assert worker_of(made) == Worker("w", runs, why)


def test_of_a_long_log_the_last_lines_are_told() -> None:
    crashed = {"terminated": {"exitCode": 2, "message": "\n".join(map(str, range(80)))}}
    assert worker_of(pod(state=crashed)).why.splitlines()[1:] == ["74", "75", "76", "77", "78", "79"]
