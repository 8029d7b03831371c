"""The certificate authority of a Kubernetes cluster, and what it signs."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .settings import Settings

_VALID = datetime.timedelta(days=365)


def _write_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, file: Path) -> None:
    file.touch(0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """Signs certificates in the form that Python 3.13's strict check asks for: key usage, key identifiers."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.certificate = (
            self._certificate(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        _write_key(self._key, folder / "ca.key")
        (folder / "ca.crt").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + _VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id), critical=False
            )
        )

    def sign(self, file: str, user: str, group: str | None = None, names: Sequence[str] = ()) -> None:
        """Write <file>.key and <file>.crt for a Kubernetes user, who may also serve under some names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        builder = (
            self._certificate(x509.Name(subject), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(n) for n in names]), False
            )
        _write_key(key, self.folder / f"{file}.key")
        signed = builder.sign(self._key, hashes.SHA256())
        (self.folder / f"{file}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_kubeconfig(settings: Settings, user: str, file: Path) -> None:
    def data(name: str) -> str:
        return base64.b64encode((settings.keys / name).read_bytes()).decode()

    cluster = {"server": settings.server, "certificate-authority-data": data("ca.crt")}
    credentials = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    # JSON is YAML.
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": settings.name,
        "clusters": [{"name": settings.name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": settings.name, "context": {"cluster": settings.name, "user": user}}],
    }
    file.touch(0o600)
    file.write_text(json.dumps(configuration, indent=2))


def make(settings: Settings) -> None:
    """Make all keys of a cluster, once in the life of its state."""
    done = settings.keys / "done"
    if done.exists():
        return
    settings.keys.mkdir(parents=True, exist_ok=True)
    settings.keys.chmod(0o700)
    authority = Authority(settings.keys, f"{settings.name}-ca")
    authority.sign(
        "apiserver",
        "kube-apiserver",
        names=[
            *("127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
            "kubernetes.default.svc.cluster.local",
            *map(str, (settings.node_address, settings.api_service_address, settings.bridge_address)),
        ],
    )
    authority.sign(
        "kubelet",
        f"system:node:{settings.name}",
        "system:nodes",
        [settings.name, str(settings.node_address), "127.0.0.1"],
    )
    authority.sign("admin", "admin", "system:masters")
    authority.sign("controllers", "system:kube-controller-manager")
    authority.sign("scheduler", "system:kube-scheduler")
    authority.sign("proxy", "system:kube-proxy")
    # What the API server signs service accounts' tokens with.
    tokens = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    _write_key(tokens, settings.keys / "tokens.key")
    for user in ("kubelet", "controllers", "scheduler", "proxy"):
        _write_kubeconfig(settings, user, settings.keys / f"{user}.kubeconfig")
    _write_kubeconfig(settings, "admin", settings.kubeconfig)
    done.touch()
