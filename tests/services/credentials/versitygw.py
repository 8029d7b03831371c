"""VersityGW, a real S3 server that enforces policies: built once from its Go module, run on loopback."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from tests.go import go_program
from tests.stack import free_port, until

PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"


def binary() -> Path:
    """Return the program."""
    return go_program(PACKAGE, VERSION)


class VersityGW:
    """The S3 gateway over a folder, and its IAM service; both on free ports of loopback."""

    def __init__(self, folder: Path) -> None:
        self.keys = (f"root{secrets.token_hex(6)}", f"canary-root-{secrets.token_hex(16)}")
        self.log = folder / "log"
        self.data = folder / "data"
        for each in (self.data, folder / "iam"):
            each.mkdir()
        # The path of a socket may have 107 characters; pytest's folders can be longer.
        private = f"@{secrets.token_hex(8)}"
        gateway, iam = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{gateway}"
        self.iam_endpoint = f"http://127.0.0.1:{iam}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients: dict[str, Any] = {}
        self._run(iam, "iam", "--dir", str(folder / "iam"), "--private-ports", private)
        self._run(
            gateway,
            *("--iam-standalone-endpoint", private, "--iam-cache-disable"),
            *("posix", str(self.data)),
        )

    def _run(self, port: int, *arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.log.parent)}
        environment |= {"ROOT_ACCESS_KEY": self.keys[0], "ROOT_SECRET_KEY": self.keys[1]}
        command = [str(binary()), "--health", "/healthz", "-p", f"127.0.0.1:{port}", *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self._processes.append(process)

        def ready() -> bool:
            assert process.poll() is None, f"VersityGW ended: {self.log.read_text()[-1000:]}"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        until(ready, f"VersityGW answers: {arguments}", 20, 0.05)

    def client(self, service: str = "s3", **keys: Any) -> Any:
        """Return a boto3 client with the root's keys, or others."""
        import boto3

        # To make one takes longer than a test.
        if not keys and service in self._clients:
            return self._clients[service]
        access, secret = self.keys
        client = boto3.client(
            service,
            endpoint_url=self.endpoint if service == "s3" else self.iam_endpoint,
            region_name="us-east-1",
            **{"aws_access_key_id": access, "aws_secret_access_key": secret} | keys,
        )
        if not keys:
            self._clients[service] = client
        return client

    def users(self) -> list[str]:
        """Return the names of the users that our service made."""
        listed = self.client("iam").list_users(PathPrefix="/scalablehub/")["Users"]
        return sorted(user["UserName"] for user in listed)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(10)


def code(error: BaseException) -> str:
    """Return the code of a client's refusal, such as AccessDenied."""
    found = getattr(error, "response", {}).get("Error", {}).get("Code") or str(error)
    return re.sub(r"\s+", " ", str(found))
