"""Processes of the cluster's parts: when one is said to have ended, what it had is free."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from tests.kubernetes.cluster import processes
from tests.stack import free_port, until

LISTENS = """
import socket, sys, threading, time
taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(60):
    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
memory = bytearray(150_000_000)
print("ready", flush=True)
time.sleep(99)
"""


def test_the_port_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    for number in range(5):
        port, log = free_port(), tmp_path / f"{number}.log"
        arguments = [sys.executable, "-c", LISTENS, str(port)]
        process = processes.start(arguments, log, tmp_path / "pid", [], {})
        until(lambda log=log: "ready" in log.read_text(), "it listens", 30)
        assert process.end(signal.SIGKILL, 10)
        socket.create_server(("127.0.0.1", port)).close()
