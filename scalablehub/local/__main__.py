"""The supervisor of a hub on one machine: ``python -m scalablehub.local PLAN PARENT``; `up` starts it.

It reports to its standard output, a line of JSON each: ``{"event": …, "text": …}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from scalablehub.errors import PublicError
from scalablehub.local.parts import make_parts
from scalablehub.local.plan import read_plan
from scalablehub.local.supervising import Supervisor
from scalablehub.processes import die_with_parent
from scalablehub.spawner.cgroups import remove_groups


def report(event: str, text: str) -> None:
    """Tell who started us; that it may be gone is no reason to stop half-way."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps({"event": event, "text": text}) + "\n")
        sys.stdout.flush()


async def supervise(plan_file: Path, parent: int) -> int:
    """Run the hub of a plan until a signal, and return the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    die_with_parent(parent=parent)
    plan = read_plan(plan_file)
    try:
        await Supervisor(make_parts(plan), report).run(stop)
    except PublicError as error:
        report("failed", error.message)
        return 1
    except OSError as error:
        report(
            "failed", f"{error.filename or 'The hub'}: {error.strerror or error}; see to it and start again."
        )
        return 1
    finally:
        remove_groups(plan.ports.hub)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(supervise(Path(sys.argv[1]), int(sys.argv[2]))))
