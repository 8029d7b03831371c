"""A server that is faster than what is measured in front of it: `python -m tests.bench.serving PORT`.

It stands in for dask-gateway (about 1 kB of JSON at any address, a stream of N bytes below `/stream/N`) and
for the hub (`/hub/api/user` knows one token's owner). Bare sockets and epoll: no framework would leave the
proxies as the bottleneck. It reads requests without a body, which may be pipelined.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import threading

TOKEN = "a-token-of-the-benchmark"
CLUSTER = "0123456789abcdef0123456789abcdef"
BODY = json.dumps(
    {
        f"{number}{CLUSTER[1:]}": {
            "name": f"{number}{CLUSTER[1:]}",
            "status": "RUNNING",
            "dashboard_route": f"/clusters/{number}{CLUSTER[1:]}/status",
            "scheduler_address": f"gateway://127.0.0.1:8786/{number}{CLUSTER[1:]}",
            "start_time": 1767225600000,
            "stop_time": None,
        }
        for number in range(4)
    }
).encode()
_PERSON = json.dumps(
    {"kind": "user", "name": "alice", "groups": [], "scopes": ["access:services!service=dask-gateway"]}
).encode()
_END = b"\r\n\r\n"
_PIECE = bytes(1024 * 1024)


def _answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def serve(listener: socket.socket) -> None:
    """Answer until this process is ended."""
    usual, person = _answer(BODY), _answer(_PERSON)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    begun: dict[int, bytes] = {}
    while True:
        for number, _ in poller.poll():
            if number == listener.fileno():
                connection, _address = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poller.register(connection, select.EPOLLIN)
                continue
            connection = connections[number]
            try:
                data = begun.pop(number, b"") + connection.recv(65536)
            except OSError:
                data = b""
            if not data or b"/stream/" in data:
                poller.unregister(number)
                del connections[number]
                if data:
                    threading.Thread(target=_stream, args=(connection, data), daemon=True).start()
                else:
                    connection.close()
            elif not data.endswith(_END):
                begun[number] = data
            else:
                answer = person if b" /hub/api/user " in data else usual
                # Answers are small and asked for one by one: they fit into the socket's buffer.
                connection.send(answer * data.count(_END))


def _stream(connection: socket.socket, request: bytes) -> None:
    size = int(request.partition(b"/stream/")[2].partition(b" ")[0])
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n"
    with connection:
        connection.setblocking(True)
        try:
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
            while size > 0:
                connection.sendall(memoryview(_PIECE)[:size])
                size -= len(_PIECE)
        except OSError:
            return


def main() -> None:
    """Serve at the port of the command line, on loopback."""
    gc.disable()
    serve(socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024))


if __name__ == "__main__":
    main()
