"""Measure, print a table, and store it as JSON: `python -m tests.bench [--quick] [--only PART]`."""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from scalablehub.local.proxy import proxy_command
from tests.bench import machine
from tests.bench.credentials import measure_credentials
from tests.bench.dashboards import measure_dashboards
from tests.bench.kubernetes import measure_kubernetes, measure_workers
from tests.bench.measuring import Row, table
from tests.bench.page import measure_page
from tests.bench.proxies import Effort, all_ways, measure_requests, measure_streams
from tests.bench.reading import measure_reading
from tests.bench.spawning import measure_spawning
from tests.bench.whole import measure_whole

RESULTS = Path(__file__).parent / "results"
PARTS = ("proxy", "stream", "dashboards", "credentials", "choosing", "page", "stack", "kubernetes", "workers")
# Kubernetes needs root and a while, so it is measured when it is asked for.
BY_DEFAULT = PARTS[:-2]
FULL = Effort(rounds=5, seconds=1.5, stream_bytes=1024**3)
QUICK = Effort(rounds=2, seconds=0.3, stream_bytes=128 * 1024**2)
# The last rounds are left out when a slow machine has used this up.
STACK_SECONDS = 240.0

NOTES = {
    "proxy": (
        "What answers behind all three, as dask-gateway and the hub, is a stand-in of bare sockets, and the "
        "load comes from bare sockets too, each in one process on the same cores. Identities are cached 5 s "
        "as in production. CHP checks nobody's identity."
    ),
    "stream": (
        "The service checks the stream's reader and owner; CHP checks nobody. The bare relay is a recv and a "
        "send per piece in a loop, the least that any proxy in user space does: it shares the cores with the "
        "sender and the reader, which direct has for itself."
    ),
    "dashboards": (
        "What answers behind, as hub and dask-gateway, is aiohttp in one process; the load comes from "
        "another on the same cores. A message's time counts from when it was due. Of the page's clusters "
        "20 are asked for their tasks."
    ),
    "credentials": (
        "What answers behind, as the hub and as Amazon's STS, is aiohttp in one process, which waits 50 ms "
        "before it gives a session; the load comes from another on the same cores. What is read is in "
        "VersityGW, with the same policy for either kind of keys."
    ),
    "choosing": (
        "In one process, without Kubernetes: from the user's options to the pod that would be sent, with 50 "
        "sizes and 20 images described, or as profiles of KubeSpawner with the same choices."
    ),
    "page": (
        "In one process: the fields of the spawn page with 50 sizes and 20 images, CPU time, against "
        "KubeSpawner's own form of the same choices, and jupyterhub-fancy-profiles' where it is installed."
    ),
    "stack": (
        "Bare is plain jupyterhub with its dummy authenticator and the same proxy; jupyter lab alone; "
        "dask-gateway's server alone with its local backend. All from the same environment."
    ),
    "kubernetes": (
        "Bare is the same deployment with ScalableHub.enabled: false, which is plain KubeSpawner, and with "
        "dask-gateway's own backend, reached without the hub's service. The images are present; hub and "
        "gateway start anew before each round."
    ),
    "workers": (
        "As for kubernetes. Workers of 0.01 cores and 350 MB on one node; what takes the time is to start "
        "their Python."
    ),
}


def main() -> int:
    """Return the exit code; a failed measurement is an exception."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few short rounds, to see that it works")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--rounds", type=int, help="how many rounds (5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    options = parser.parse_args()
    # So that what we started ends with us, also when we are told to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = Effort(options.rounds, effort.seconds, effort.stream_bytes)
    parts = (options.only,) if options.only else BY_DEFAULT
    command = proxy_command(options.results / "proxy", lambda text: print(f"  {text} …"))
    began = datetime.datetime.now(datetime.UTC)
    short, changed = machine.commit()
    result: dict[str, Any] = {
        "when": began.isoformat(timespec="seconds"),
        "commit": short,
        "changed": changed,
        "quick": options.quick,
        "rounds": effort.rounds,
        "machine": machine.facts(command),
        "load": {"before": machine.load()},
        "parts": {},
    }
    for part in parts:
        print(f"  Measuring: {part} …", file=sys.stderr, flush=True)
        rows = _measure(part, command, effort, quick=options.quick)
        result["parts"][part] = {"note": NOTES[part], "rows": [row.as_json() for row in rows]}
        print("\n".join(["", part, *table(rows), NOTES[part], ""]), flush=True)
    result["load"]["after"] = machine.load()
    result["seconds"] = round((datetime.datetime.now(datetime.UTC) - began).total_seconds())
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{began:%Y-%m-%d}-{short}.json"
    file.write_text(_as_text(result))
    facts = result["machine"]
    print(
        f"{facts['cores']} cores, {facts['memory_gb']} GB, Python {facts['python']}, Node {facts['node']}, "
        f"configurable-http-proxy {facts['configurable-http-proxy']}; load {result['load']['before']} before "
        f"and {result['load']['after']} after, {effort.rounds} rounds, {result['seconds']} s.\n"
        f"Stored as {file.name}."
    )
    return 0


def _measure(part: str, command: list[str], effort: Effort, *, quick: bool) -> list[Row]:
    # A socket's path must be short, so the system's folder for temporary files it is.
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if part == "kubernetes":
            return measure_kubernetes(folder, 1 if quick else effort.rounds)
        if part == "workers":
            return measure_workers(folder, 1 if quick else effort.rounds)
        if part == "dashboards":
            return measure_dashboards(folder, effort.rounds, effort.seconds, quick=quick)
        if part == "credentials":
            handing_out = measure_credentials(folder, effort.rounds, effort.seconds, quick=quick)
            return [*handing_out, *measure_reading(folder, effort.rounds, quick=quick)]
        if part == "choosing":
            return measure_spawning(effort.rounds)
        if part == "page":
            return measure_page(effort.rounds)
        if part == "stack":
            rounds = 1 if quick else effort.rounds
            return measure_whole(command, folder, rounds, STACK_SECONDS, quick=quick)
        with all_ways(command, folder) as targets:
            measure = measure_requests if part == "proxy" else measure_streams
            return measure(targets, effort)


def _as_text(result: dict[str, Any]) -> str:
    """Return JSON with one row per line, so that two results can be read side by side."""
    parts = result["parts"]
    text = json.dumps(result | {"parts": "PARTS"}, indent=1, ensure_ascii=False)
    written = ",\n".join(
        f'  {json.dumps(part)}: {{\n   "note": {json.dumps(found["note"])},\n   "rows": [\n'
        + ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in found["rows"])
        + "\n   ]\n  }"
        for part, found in parts.items()
    )
    return text.replace('"PARTS"', f"{{\n{written}\n }}") + "\n"


if __name__ == "__main__":
    sys.exit(main())
