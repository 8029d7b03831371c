"""A reader with the keys that its environment leads to: `python -m tests.bench.reader BUCKET PREFIX`.

It reads commands, one in a line, and answers each with a line of JSON: ``all`` is how many seconds a Zarr
array took, ``small SECONDS`` the milliseconds of one small read after the other for so long.
"""

from __future__ import annotations

import json
import sys
import time

import zarr
from obstore.store import S3Store
from zarr.storage import ObjectStore


def main(bucket: str, prefix: str) -> None:
    """Answer until there are no more commands."""
    store = S3Store(bucket)
    array = zarr.open_array(ObjectStore(S3Store(bucket, prefix=f"{prefix}/array.zarr")), mode="r")
    for line in sys.stdin:
        command, _, seconds = line.strip().partition(" ")
        if command == "all":
            began = time.perf_counter()
            array[:]
            print(json.dumps(time.perf_counter() - began), flush=True)
        else:
            print(json.dumps(_small(store, f"{prefix}/small", float(seconds))), flush=True)


def _small(store: S3Store, key: str, seconds: float) -> list[float]:
    found = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        store.get(key).bytes()
        found.append((time.perf_counter() - began) * 1000)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
