from __future__ import annotations

import pytest

from scalablehub.dask.logs import MOST_BYTES, MOST_WORKERS, KeptLogs, Log, end_of, in_order


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo"),
        (b"\n\n  indented\n", "  indented"),
        (b"dos\r\nlines\r\n", "dos\nlines"),
        (b"\x1b[31mred\x1b[0m \x1b[2Kline", "red line"),
        (b"bar 10%\rbar 20%\r", "bar 10%bar 20%"),
        (b"nul\x00 bell\x07 delete\x7f tab\t.", "nul bell delete tab\t."),
        (b"\xff is no text", "\N{REPLACEMENT CHARACTER} is no text"),
        (b"\xc2\x9b31m is a colour too", "31m is a colour too"),
        (b"cut off\n" + b"x" * (MOST_BYTES - 4) + b"\nend", "end"),
        (b"x" * (MOST_BYTES + 5), "x" * MOST_BYTES),
        (b"a\n" + b"b\n" * (MOST_BYTES // 2 - 1), "\n".join(["a", *"b" * (MOST_BYTES // 2 - 1)])),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_of_a_log_its_end_is_shown_in_whole_lines_without_control_characters(raw: bytes, text: str) -> None:
    assert end_of(raw) == text


def worker(name: str, how: str = "", *, over: bool = True, text: str = "") -> Log:
    return Log("worker", name, text, over, how)


def test_the_scheduler_comes_first_then_what_failed_what_runs_and_what_ended() -> None:
    logs = [
        worker("ended"),
        worker("runs", over=False),
        Log("scheduler", "s", "", True),
        worker("failed", "it failed"),
    ]
    assert [log.name for log in in_order(logs)] == ["s", "failed", "runs", "ended"]


def test_of_very_many_workers_some_are_shown() -> None:
    assert len(in_order([Log("scheduler", "s", ""), *map(worker, map(str, range(500)))])) == 1 + MOST_WORKERS


def test_of_many_workers_that_ended_those_that_failed_are_kept() -> None:
    kept = KeptLogs()
    kept.keep("a", worker("failed", "it failed (exit code 1)"))
    for number in range(MOST_WORKERS + 5):
        kept.keep("a", worker(str(number)))
    names = [log.name for log in kept.of("a")]
    assert names == ["failed", *(str(number) for number in range(6, MOST_WORKERS + 5))]


def test_once_there_are_enough_only_failures_are_wanted() -> None:
    kept = KeptLogs()
    for number in range(MOST_WORKERS):
        assert kept.wants("a", failed=False)
        kept.keep("a", worker(str(number)))
    assert not kept.wants("a", failed=False)
    assert kept.wants("a", failed=True)
    for number in range(MOST_WORKERS):
        kept.keep("a", worker(str(number), "it failed"))
    assert not kept.wants("a", failed=True)


def test_every_end_of_a_worker_that_was_started_anew_is_kept() -> None:
    kept = KeptLogs()
    kept.keep("a", worker("w", "it failed (exit code 1)"))
    kept.keep("a", worker("w", "it failed (exit code 1), 2 times so far"))
    kept.keep("a", worker("w", "it failed (exit code 1), 2 times so far", text="more"))
    assert [log.text for log in kept.of("a")] == ["", "more"]


def test_of_many_clusters_those_that_came_first_go_first() -> None:
    kept = KeptLogs(most_bytes=250)
    for cluster in "abc":
        kept.keep(cluster, worker("w", text="x" * 100))
    assert [len(kept.of(cluster)) for cluster in "abc"] == [0, 1, 1]


def test_a_cluster_whose_logs_are_too_long_for_all_still_has_them() -> None:
    kept = KeptLogs(most_bytes=50)
    kept.keep("a", worker("w", text="x" * 100))
    assert len(kept.of("a")) == 1
