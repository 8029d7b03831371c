"""The least that any proxy in user space can do: `python -m tests.bench.relaying PORT UPSTREAM_PORT`.

Bytes go from one socket to the other with one `recv` and one `send` per piece, and nothing looks at them.
What this loses against no proxy at all is the machine's, not a proxy's.
"""

from __future__ import annotations

import socket
import sys
import threading

_PIECE_BYTES = 256 * 1024


def relay(caller: socket.socket, upstream: socket.socket) -> None:
    """Pass the caller's request on, and everything that is answered back."""
    piece = memoryview(bytearray(_PIECE_BYTES))
    with caller, upstream:
        try:
            upstream.sendall(caller.recv(_PIECE_BYTES))
            while count := upstream.recv_into(piece):
                caller.sendall(piece[:count])
        except OSError:
            return


def main() -> None:
    """Relay each connection's one request, on loopback."""
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        caller, _address = listener.accept()
        upstream = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        threading.Thread(target=relay, args=(caller, upstream), daemon=True).start()


if __name__ == "__main__":
    main()
