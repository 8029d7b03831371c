"""A load generator of bare sockets: `python -m tests.bench.loading` reads plans and prints what it saw.

* Closed loop: each connection asks again as soon as it is answered; this finds how much goes through.
* Open loop: requests are due at a constant rate, and a time counts from when the request was due: a stall
  delays everybody behind it, and shows. https://www.scylladb.com/2021/04/22/on-coordinated-omission/
* Stream: one connection reads one large answer.

An answer that is not a 200 with exactly the expected body is a failure, and so is a lost connection.
"""

from __future__ import annotations

import gc
import json
import re
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from tests.bench.serving import BODY, TOKEN

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)
_LATE_SECONDS = 10.0
_RECEIVE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """What to ask, and how: a `rate` (requests per second) makes an open loop, `size` bytes a stream.

    A stream that is read `pieces_per_second` (of one megabyte) is a slow reader's.
    """

    port: int
    path: str
    connections: int = 1
    seconds: float = 1.0
    rate: float = 0.0
    size: int = 0
    pieces_per_second: float = 0.0


@dataclass
class Seen:
    """What came back; times are in seconds."""

    answers: int = 0
    failures: int = 0
    seconds: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    times: list[float] = field(default_factory=list)

    def finish(self, seconds: float) -> Seen:
        """Return this with its percentiles, without the single times."""
        self.seconds = seconds
        times = sorted(self.times)
        if times:
            self.p50 = times[len(times) // 2]
            self.p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
        self.times = []
        return self


class Loop:
    """All connections of one run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._request = _request(plan)
        self._poller = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._parts: dict[int, bytes] = {}
        self._asked: dict[int, float] = {}
        self.seen = Seen()
        self.idle: deque[int] = deque()
        for _ in range(plan.connections):
            self._connect()

    def _connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._plan.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._sockets[connection.fileno()] = connection
        self._poller.register(connection, select.EPOLLIN)
        self.idle.append(connection.fileno())

    def ask(self, number: int, due: float) -> None:
        """Send a request whose time counts from `due`."""
        self._asked[number] = due
        try:
            self._sockets[number].send(self._request)
        except OSError:
            self._lose(number)

    def _lose(self, number: int) -> None:
        self._poller.unregister(number)
        self._sockets.pop(number).close()
        self._parts.pop(number, None)
        if self._asked.pop(number, None) is not None:
            self.seen.failures += 1
        self._connect()

    def listen(self, timeout: float) -> None:
        """Take what has come, waiting for the first of it for `timeout` seconds."""
        # epoll's own timeout is in milliseconds, which is longer than most answers take.
        if timeout > 0:
            select.select([self._poller], [], [], timeout)
        for number, _ in self._poller.poll(0):
            try:
                data = self._sockets[number].recv(65536)
            except OSError:
                data = b""
            if not data:
                self._lose(number)
                continue
            if number in self._parts:
                data = self._parts.pop(number) + data
            head, end, body = data.partition(_END)
            length = _LENGTH.search(head + b"\r\n") if end else None
            if end and length is None:
                self._lose(number)  # an answer whose end we could not tell
            elif length is None or len(body) < int(length[1]):
                self._parts[number] = data
            else:
                self.seen.times.append(time.perf_counter() - self._asked.pop(number))
                if head.startswith(b"HTTP/1.1 200 ") and body == BODY:
                    self.seen.answers += 1
                else:
                    self.seen.failures += 1
                self.idle.append(number)

    def run_closed(self) -> Seen:
        """Keep every connection busy for the time of the plan."""
        start = time.perf_counter()
        end = start + self._plan.seconds
        while (now := time.perf_counter()) < end:
            while self.idle:
                self.ask(self.idle.popleft(), now)
                now = time.perf_counter()
            self.listen(end - now)
        # They are answered as fast as before: counting them and their time changes no rate.
        self._wait_for_the_rest()
        return self.seen.finish(time.perf_counter() - start)

    def run_open(self) -> Seen:
        """Send at the rate of the plan for its time, whatever comes back."""
        start = time.perf_counter()
        gap = 1 / self._plan.rate
        total = round(self._plan.rate * self._plan.seconds)
        sent = 0
        while sent < total:
            due = start + sent * gap
            now = time.perf_counter()
            if now < due:
                self.listen(due - now)
            elif self.idle:
                self.ask(self.idle.popleft(), due)
                sent += 1
            elif now < due + _LATE_SECONDS:
                self.listen(0.01)
            else:
                self.seen.failures += total - sent
                break
        self._wait_for_the_rest()
        return self.seen.finish(time.perf_counter() - start)

    def _wait_for_the_rest(self) -> None:
        end = time.perf_counter() + _LATE_SECONDS
        while self._asked and (left := end - time.perf_counter()) > 0:
            self.listen(left)
        self.seen.failures += len(self._asked)

    def close(self) -> None:
        """Let go of every connection."""
        for connection in self._sockets.values():
            connection.close()
        self._poller.close()


def _request(plan: Plan) -> bytes:
    return (
        f"GET {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\nAccept: application/json\r\n"
        f"User-Agent: bench\r\nAuthorization: token {TOKEN}\r\n\r\n"
    ).encode()


def read_stream(plan: Plan) -> Seen:
    """Read one answer of `plan.size` bytes to its end."""
    seen = Seen()
    buffer = bytearray(_RECEIVE_BYTES)
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", plan.port), timeout=60) as connection:
        connection.sendall(_request(plan))
        data = b""
        while _END not in data and (piece := connection.recv(65536)):
            data += piece
        head, _, body = data.partition(_END)
        left = plan.size - len(body)
        read = 0
        while left > 0 and (count := connection.recv_into(buffer, min(left, _RECEIVE_BYTES))):
            left -= count
            read += count
            if plan.pieces_per_second:
                ahead = start + read / _RECEIVE_BYTES / plan.pieces_per_second - time.perf_counter()
                time.sleep(max(0.0, ahead))
    if left == 0 and head.startswith(b"HTTP/1.1 200 "):
        seen.answers = 1
    else:
        seen.failures = 1
    return seen.finish(time.perf_counter() - start)


def run(plan: Plan) -> Seen:
    """Do what the plan says."""
    if plan.size:
        return read_stream(plan)
    loop = Loop(plan)
    try:
        return loop.run_open() if plan.rate else loop.run_closed()
    finally:
        loop.close()


def main() -> None:
    """Run each plan that comes as a line of JSON, and print what was seen as one."""
    gc.disable()
    for line in sys.stdin:
        print(json.dumps(asdict(run(Plan(**json.loads(line))))), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
