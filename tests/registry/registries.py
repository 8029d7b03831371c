"""A real registry, and small images in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import bcrypt
import pytest
import yaml

from tests.stack import free_port, until

USER, PASSWORD = "puller", "canary-pass-w0rd"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """A registry on loopback."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        request = Request(
            urljoin(f"http://{self.host}/v2/", path), body, headers | self.headers, method=method
        )
        try:
            with urlopen(request, timeout=10) as response:
                return response.status, response.headers
        except HTTPError as error:
            with error:
                return error.code, error.headers

    def push_blob(self, repository: str, content: bytes) -> dict[str, Any]:
        digest = digest_of(content)
        _, headers = self.call("POST", f"{repository}/blobs/uploads/", b"")
        where = headers["Location"]
        status, _ = self.call(
            "PUT",
            f"{where}{'&' if '?' in where else '?'}digest={digest}",
            content,
            **{"Content-Type": "application/octet-stream"},
        )
        assert status == 201
        return {"digest": digest, "size": len(content)}

    def push_manifest(self, repository: str, asked: str, model: dict[str, Any]) -> str:
        content = json.dumps(model).encode()
        status, _ = self.call(
            "PUT", f"{repository}/manifests/{asked}", content, **{"Content-Type": model["mediaType"]}
        )
        assert status == 201
        return digest_of(content)

    def push_image(
        self, repository: str, tag: str, *, architecture: str = "amd64", layer: bytes = b"x" * 5000
    ) -> dict[str, Any]:
        """Push an image of one layer; return its entry for an index."""
        config = self.push_blob(
            repository, json.dumps({"os": "linux", "architecture": architecture}).encode()
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    **self.push_blob(repository, layer),
                }
            ],
        }
        return {
            "mediaType": OCI_MANIFEST,
            "digest": self.push_manifest(repository, tag, manifest),
            "size": len(json.dumps(manifest)),
            "platform": {"os": "linux", "architecture": architecture},
        }

    def push_index(self, repository: str, tag: str, *entries: dict[str, Any]) -> str:
        model = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
        return self.push_manifest(repository, tag, model)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def basic() -> str:
    return f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@contextmanager
def running_registry(folder: Path, *, private: bool = False) -> Iterator[Registry]:
    """Run a registry until the block ends; a private one knows one user."""
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("docker-registry is missing; run: make registry")
        pytest.skip("docker-registry is missing; run: make registry")
    registry = Registry(free_port())
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": registry.host, "secret": "tests"},
    }
    if private:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        registry.headers = {"Authorization": basic()}
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=subprocess.STDOUT
        )
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return registry.call("GET", "")[0] == 200
            except OSError:
                return False

        until(answers, "the registry answers", 20)
        yield registry
    finally:
        process.kill()
        process.wait()
