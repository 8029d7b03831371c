"""Zarr through keys from the credential service, against the same keys as fixed ones, in a real store.

The store is VersityGW; each reader is a process of its own, with nothing but its own environment.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from obstore.store import S3Store
from zarr.storage import ObjectStore

from scalablehub.services.credentials.tokens import Claims, sign, signing_key, write_token
from scalablehub.storage.credentials import credential_environment
from tests.bench.credentials import HUB_TOKEN
from tests.bench.measuring import SERVICE, Row, added, at_least, at_most, ratio
from tests.bench.processes import end, running, wait_until_answering
from tests.bench.vouching import STARTED
from tests.services.credentials.versitygw import VersityGW
from tests.stack import call, free_port

FIXED = "fixed keys"
_USER = "alice"
_CHUNKS, _CHUNK_BYTES = 64, 4 * 2**20
_MEGABYTE = 10**6


def measure_reading(folder: Path, rounds: int, *, quick: bool) -> list[Row]:
    """Return how fast a Zarr array is read with either kind of keys, and whether a renewal is felt."""
    chunks, seconds = (8, 6.0) if quick else (_CHUNKS, 12.0)
    speed: dict[str, list[float]] = {SERVICE: [], FIXED: []}
    longest: dict[str, list[float]] = {SERVICE: [], FIXED: []}
    megabytes = chunks * _CHUNK_BYTES / _MEGABYTE
    with _store(folder) as store:
        _fill(store, chunks)
        for _ in range(rounds):
            # New processes each time: which of two is luckier with its memory stays with it.
            with _readers(folder, store, "scalablehub.services.credentials") as readers:
                for name, found in _taking_turns(readers, 3 if quick else 12).items():
                    speed[name].append(megabytes / found)
        with _readers(folder, store, "tests.bench.renewing") as readers:
            for _ in range(rounds):
                for name, reader in readers.items():
                    longest[name].append(max(reader.ask(f"small {seconds}")))
    return [
        ratio(
            f"Zarr of {megabytes:.0f} MB, read with obstore",
            "MB/s",
            speed,
            (SERVICE, FIXED),
            at_least(0.995),
        ),
        added(
            f"the longest of {seconds:.0f} s of small reads, keys renewed each 4 s",
            "ms",
            longest,
            (SERVICE, FIXED),
            at_most(50, " ms"),
        ),
    ]


def _taking_turns(readers: Mapping[str, _Reader], times: int) -> dict[str, float]:
    """Return how many seconds a reading of all takes each: the median of as many, by turns."""
    for reader in readers.values():
        reader.ask("all")  # what is loaded once
    took: dict[str, list[float]] = {name: [] for name in readers}
    for number in range(times):
        for name in sorted(readers, reverse=bool(number % 2)):
            took[name].append(readers[name].ask("all"))
    return {name: statistics.median(found) for name, found in took.items()}


class _Reader:
    """A process that reads when it is asked to."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.bench.reader", "scratch", _USER]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scalablehub.local.tied", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def ask(self, command: str) -> Any:
        """Return the answer to a command."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        end(self.process)


@contextmanager
def _store(folder: Path) -> Iterator[VersityGW]:
    place = folder / "versitygw"
    place.mkdir()
    store = VersityGW(place)
    try:
        store.client().create_bucket(Bucket="scratch")
        yield store
    finally:
        store.stop()


def _fill(store: VersityGW, chunks: int) -> None:
    """Write the array, which does not compress, and the small object."""
    config: Any = {
        "endpoint": store.endpoint,
        "region": "us-east-1",
        "access_key_id": store.keys[0],
        "secret_access_key": store.keys[1],
    }
    options: Any = {"allow_http": True}
    target = ObjectStore(
        S3Store("scratch", prefix=f"{_USER}/array.zarr", config=config, client_options=options)
    )
    length = _CHUNK_BYTES // 8
    array = zarr.create_array(
        target, shape=(chunks * length,), chunks=(length,), dtype="float64", compressors=None
    )
    array[:] = np.random.default_rng(0).random(chunks * length)
    S3Store("scratch", config=config, client_options=options).put(f"{_USER}/small", bytes(2**16))


@contextmanager
def _readers(folder: Path, store: VersityGW, module: str) -> Iterator[dict[str, _Reader]]:
    """Yield a reader with keys from the service, and one with the same keys as fixed ones."""
    upstream, port = free_port(), free_port()
    log = folder / "log"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    told = {
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{upstream}/hub/api",
        "JUPYTERHUB_API_TOKEN": HUB_TOKEN,
        "AWS_ACCESS_KEY_ID": store.keys[0],
        "AWS_SECRET_ACCESS_KEY": store.keys[1],
    }
    where = {
        "AWS_ENDPOINT_URL_S3": store.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.bench.vouching", str(upstream)]
        behind = stack.enter_context(running([*command, store.endpoint, store.iam_endpoint], log))
        wait_until_answering(f"http://127.0.0.1:{upstream}/", behind, log)
        ours = stack.enter_context(running([sys.executable, "-m", module], log, plain | told))
        service = f"http://127.0.0.1:{port}"
        wait_until_answering(f"{service}/health", ours, log)
        token = sign(Claims(_USER, "", STARTED, int(time.time()) + 3600), signing_key(HUB_TOKEN))
        file = folder / f"token-{port}"
        write_token(file, token)
        status, keys = call("GET", f"{service}/aws/credentials", Authorization=token)
        assert status == 200, keys
        fixed = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
        readers = {
            SERVICE: _Reader(plain | where | credential_environment(service, file)),
            FIXED: _Reader(plain | where | fixed),
        }
        for reader in readers.values():
            stack.callback(reader.close)
        yield readers
