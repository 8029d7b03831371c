"""A real registry, and small images in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import bcrypt
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from tests.kubernetes.cluster.pki import Authority
from tests.stack import free_port, until

USER, PASSWORD = "puller", "canary-pass-w0rd"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Registry:
    """A registry on loopback."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None
    """What its certificate is held against; None: it has none, and speaks plain HTTP."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        base = f"{'https' if self.trust else 'http'}://{self.host}/v2/"
        request = Request(urljoin(base, path), body, headers | self.headers, method=method)
        try:
            with urlopen(request, timeout=10, context=self.trust) as response:
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


class TokenIssuer:
    """Signs the tokens that a registry with `auth: token` wants to see."""

    service, name = "registry-of-tests", "issuer-of-tests"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        Authority(folder, "tokens-ca").sign("issuer", self.name)

    def configuration(self, realm: str) -> dict[str, Any]:
        """Return what the registry has to know."""
        bundle = str(self.folder / "ca.crt")
        return {"realm": realm, "service": self.service, "issuer": self.name, "rootcertbundle": bundle}

    def token(self, repository: str = "", *actions: str, seconds: int = 300) -> str:
        certificate = load_pem_x509_certificate((self.folder / "issuer.crt").read_bytes())
        chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        now = int(time.time())
        access = [{"type": "repository", "name": repository, "actions": list(actions)}] if actions else []
        claims = {
            "iss": self.name,
            "sub": USER,
            "aud": self.service,
            "iat": now - 600,
            "nbf": now - 600,
            "exp": now + seconds,
            "jti": str(now),
            "access": access,
        }
        key = (self.folder / "issuer.key").read_bytes()
        return jwt.encode(claims, key, algorithm="ES256", headers={"x5c": [chain]})


@contextmanager
def running_registry(
    folder: Path,
    *,
    private: bool = False,
    tokens: tuple[TokenIssuer, str] | None = None,
    authority: Authority | None = None,
) -> Iterator[Registry]:
    """Run a registry until the block ends.

    Args:
        folder: of its files.
        private: it knows one user, by password.
        tokens: who signs the tokens that it wants, and the address where they are to be had.
        authority: signs the certificate that it has; without one it speaks plain HTTP.
    """
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
    if tokens is not None:
        issuer, realm = tokens
        config["auth"] = {"token": issuer.configuration(realm)}
        registry.headers = {"Authorization": f"Bearer {issuer.token()}"}
    if authority is not None:
        authority.sign("registry", "registry", names=["127.0.0.1"])
        of_registry = authority.folder / "registry"
        files = {"certificate": f"{of_registry}.crt", "key": f"{of_registry}.key"}
        config["http"]["tls"] = files
        registry.trust = ssl.create_default_context(cafile=str(authority.folder / "ca.crt"))
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
