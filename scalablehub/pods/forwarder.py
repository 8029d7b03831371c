"""The forwarder in a pod: takes questions for keys on loopback, and asks the credential service.

It is needed because clients send their token over plain HTTP to loopback alone. It runs in the user's own
image, as text that is handed to its Python, so it needs nothing but the library of Python 3.8 or newer:

    python3 -I -c TEXT PORT SERVICE TOKEN_FILE

* It listens at 127.0.0.1 and takes GET of the few addresses that clients ask for, nothing else.
* A page in a browser, or a proxy that found the port, is refused: each sends headers that no client does.
* Questions for AWS have the token already; for Google, whose protocol has no place for one, it adds the
  token, and demands the header that a page cannot send.
* The service has the last word: what comes through here is a token, and no claim of who has it.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import socketserver
import sys
import urllib.parse
from pathlib import Path
from typing import Any

SECONDS = 1.9  # Amazon's clients wait for 2.
MOST_BYTES = 1 << 20
FOREIGN = ("cookie", "forwarded", "origin", "referer", "via", "x-proxycontextpath", "x-real-ip", "x-scheme")
FOREIGN_BEGINNINGS = ("proxy-", "sec-", "x-forwarded-")
PASSED_ON = ("Content-Type", "Metadata-Flavor")


class Refused(Exception):
    """A question that is not passed on: a status, a code and a sentence."""


class Forwarder(http.server.BaseHTTPRequestHandler):
    """One connection of a client; `service` and `token_file` are set once for all of them."""

    service = urllib.parse.urlsplit("")
    token_file = ""
    protocol_version = "HTTP/1.1"
    timeout = 30
    server_version, sys_version = "forwarder", ""

    def do_GET(self) -> None:
        """Answer with what the service answers."""
        try:
            self.check()
            self.send(*self.ask(self.token()))
        except Refused as refusal:
            status, code, message = refusal.args
            body = json.dumps({"code": code, "message": message}).encode()
            self.close_connection = True
            self.send(status, {"Content-Type": "application/json"}, body)

    def check(self) -> None:
        """Refuse what no client of a store sends."""
        port = self.connection.getsockname()[1]
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
            raise Refused(403, "host-refused", "Keys are given under a name of loopback alone.")
        for name in map(str.lower, self.headers.keys()):
            if name in FOREIGN or name.startswith(FOREIGN_BEGINNINGS):
                raise Refused(403, "not-a-client", "This came from a page or through a proxy.")
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise Refused(400, "body-refused", "Send no body.")

    def token(self) -> str:
        """Return the token to ask with; whose it is the service finds out."""
        sent = self.headers.get_all("Authorization", [])
        if self.path in ("/aws/credentials", "/whoami"):
            if len(sent) != 1:
                raise Refused(401, "token-missing", "Send the token of this server.")
            return sent[0]
        if not (self.path == "/gce" or self.path.startswith("/gce/")) or ".." in self.path:
            raise Refused(404, "not-found", "There is no such address here.")
        if self.headers.get_all("Metadata-Flavor", []) != ["Google"]:
            raise Refused(403, "flavor-missing", "Send the header 'Metadata-Flavor: Google'.")
        try:
            return Path(self.token_file).read_text()
        except OSError:
            raise Refused(503, "token-unread", "The pod's token cannot be read; try again.") from None

    def ask(self, token: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the service's answer."""
        headers = {"Authorization": token}
        if self.path.startswith("/gce"):
            headers["Metadata-Flavor"] = "Google"
        secure = self.service.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self.service.hostname or "", self.service.port, timeout=SECONDS)
        try:
            connection.request("GET", self.service.path.rstrip("/") + self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(MOST_BYTES)
            passed_on = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
            return answer.status, passed_on, body
        except (OSError, http.client.HTTPException, ValueError):
            raise Refused(503, "service-away", "The credential service does not answer; try again.") from None
        finally:
            connection.close()

    def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Write an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing: addresses and headers are people's own."""


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection, none of which keeps the process.

    Unlike `http.server.HTTPServer` it does not ask for the name of its own address.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_arguments: Any) -> None:
        """Say nothing of a client that went away."""


def main(port: str, service: str, token_file: str) -> None:
    """Listen until the pod ends."""
    Forwarder.service = urllib.parse.urlsplit(service)
    Forwarder.token_file = token_file
    # The first process of a container ends by no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(("127.0.0.1", int(port)), Forwarder).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
