"""A Gateway that is collected on its event loop's thread: says whether the loop goes on, and ends.

The minimal case of the deadlock: nothing listens at the address, and nothing has to.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

from dask_gateway import Gateway


def main() -> None:
    for text in sys.argv[1:]:
        exec(text, {})  # noqa: S102 - a text of ours
    goes_on = threading.Event()
    gateway = Gateway(address="http://127.0.0.1:9", auth="basic")
    loop = gateway.loop
    gateway.myself = (
        gateway  # a cycle, as an exception's traceback would make one: only the collector ends it
    )
    del gateway
    loop.add_callback(gc.collect)
    loop.add_callback(goes_on.set)
    print("goes on" if goes_on.wait(5) else "waits for itself", flush=True)
    os._exit(0)  # a loop that waits for itself would not let the process end


if __name__ == "__main__":
    main()
