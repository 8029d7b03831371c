"""Logs of the schedulers and workers of clusters, as they are kept and shown after those have ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_BYTES = 65_536
"""What is kept and shown of one log: its end."""
MOST_WORKERS = 20
"""Workers of a cluster whose logs are kept and shown; those that failed come first."""
_MOST_BYTES_IN_ALL = 64 * 2**20
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Log:
    """The end of what a scheduler or a worker wrote.

    Attributes:
        part: "scheduler" or "worker".
        name: of the process: a pod's or a worker's.
        text: lines.
        over: whether the process has ended.
        how: how it ended, in words, where that was a failure.
    """

    part: str
    name: str
    text: str
    over: bool = False
    how: str = ""


def end_of(raw: bytes) -> str:
    """Return the end of a log for a page: whole lines, `MOST_BYTES` at most, no control characters."""
    text = raw[-MOST_BYTES:].decode(errors="replace").replace("\r\n", "\n")
    if len(raw) > MOST_BYTES:
        text = text.partition("\n")[2] or text
    return _CONTROL.sub("", _COLOUR.sub("", text)).strip("\n")


def in_order(logs: Iterable[Log]) -> list[Log]:
    """Return the logs that are shown: the scheduler's, then of workers those that failed, run, and ended."""
    ordered = sorted(logs, key=lambda log: (log.part != "scheduler", not log.how, log.over))
    schedulers = [log for log in ordered if log.part == "scheduler"]
    return schedulers + [log for log in ordered if log.part != "scheduler"][:MOST_WORKERS]


class KeptLogs:
    """Logs of what has ended, in memory; of many clusters those that came first go first.

    Args:
        most_bytes: in all.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES_IN_ALL) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[str, list[Log]] = {}

    def wants(self, cluster: str, *, failed: bool) -> bool:
        """Return whether one more log of a worker would be kept."""
        workers = self._workers(cluster)
        return len(workers) < MOST_WORKERS or (failed and not all(log.how for log in workers))

    def keep(self, cluster: str, log: Log) -> None:
        """Keep a log, instead of an earlier one of the same process, unless nothing is left of it."""
        logs = self._kept.setdefault(cluster, [])
        if not log.text and any(known.text for known in logs if known.name == log.name):
            return
        logs[:] = [known for known in logs if known.name != log.name or known.how not in ("", log.how)]
        logs.append(log)
        while len(workers := self._workers(cluster)) > MOST_WORKERS:
            logs.remove(next((known for known in workers if not known.how), workers[0]))
        while len(self._kept) > 1 and self._bytes() > self._most_bytes:
            del self._kept[next(iter(self._kept))]

    def of(self, cluster: str) -> list[Log]:
        """Return what is kept of a cluster, the latest last."""
        return list(self._kept.get(cluster, ()))

    def _workers(self, cluster: str) -> list[Log]:
        return [log for log in self._kept.get(cluster, ()) if log.part != "scheduler"]

    def _bytes(self) -> int:
        return sum(len(log.text) for logs in self._kept.values() for log in logs)
