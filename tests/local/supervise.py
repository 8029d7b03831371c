"""Run a supervisor over small parts, in a process of its own: it ends everything below itself.

Usage: ``python -m tests.local.supervise FOLDER PARTS``, where PARTS is JSON, a list of
``{"name", "program"}`` and optionally ``"stop_seconds"``. A part is ready when it has made the file
``<name>.ready``. Each event is one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalablehub.errors import PublicError
from scalablehub.local.supervising import Part, Supervisor


def report(event: str, text: str) -> None:
    """Print an event."""
    print(json.dumps({"event": event, "text": text}), flush=True)


def make_part(folder: Path, spec: dict[str, Any]) -> Part:
    """Return a part that runs a Python program."""
    name = spec["name"]
    ready = folder / f"{name}.ready"

    async def wait(exited: Callable[[], bool]) -> None:
        while not ready.exists():
            if exited():
                raise PublicError("part-ended", f"{name} ended while it started")
            await asyncio.sleep(0.01)

    return Part(
        name,
        spec.get("command") or [sys.executable, "-c", spec["program"], str(folder), name],
        dict(os.environ),
        folder / f"{name}.log",
        wait,
        stop_seconds=spec.get("stop_seconds", 10),
    )


async def main() -> int:
    """Supervise until SIGTERM."""
    folder = Path(sys.argv[1])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    parts = [make_part(folder, spec) for spec in json.loads(sys.argv[2])]
    try:
        await Supervisor(parts, report, pause_seconds=lambda quick: 0).run(stop)
    except PublicError as error:
        report("failed", error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
