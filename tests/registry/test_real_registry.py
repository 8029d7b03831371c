from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from scalablehub.errors import PublicError
from scalablehub.registry import Credential, Registries, parse_reference, read_docker_config
from tests.kubernetes.cluster.pki import Authority
from tests.registry.registries import PASSWORD, USER, Registry, TokenIssuer, basic, running_registry
from tests.stack import free_port


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("private"), private=True) as registry:
        registry.push_image("lab/secret", "1")
        yield registry


def registries(registry: Registry, credential: Credential | None = None) -> Registries:
    credentials = {registry.host: credential} if credential else {}
    return Registries(credentials, insecure=[registry.host])


async def refusal(registry: Registry, name: str, credential: Credential | None = None) -> PublicError:
    with pytest.raises(PublicError) as raised:
        await registries(registry, credential).find(parse_reference(f"{registry.host}/{name}"))
    return raised.value


async def test_an_image_is_found_with_its_size_and_digest(registry: Registry) -> None:
    entry = registry.push_image("lab/one", "1", layer=b"y" * 7000)
    found = await registries(registry).find(parse_reference(f"{registry.host}/lab/one:1"))
    assert (found.digest, found.platforms) == (entry["digest"], ("linux/amd64",))
    assert 7000 < found.size_bytes < 7100
    assert found.pinned == f"{registry.host}/lab/one:1@{entry['digest']}"


async def test_an_image_for_many_platforms_has_the_digest_of_the_whole(registry: Registry) -> None:
    entries = [
        registry.push_image("lab/many", arch, architecture=arch, layer=arch.encode() * size)
        for arch, size in (("amd64", 1000), ("arm64", 9))
    ]
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    digest = registry.push_index("lab/many", "2026.1", *entries, attestation)
    found = await registries(registry).find(parse_reference(f"{registry.host}/lab/many:2026.1"))
    assert (found.digest, found.platforms) == (digest, ("linux/amd64", "linux/arm64"))
    assert 5000 < found.size_bytes < 5100


async def test_the_first_of_several_for_a_platform_is_the_one(registry: Registry) -> None:
    plain = registry.push_image("lab/variants", "plain", layer=b"p" * 1000)
    newer = registry.push_image("lab/variants", "newer", layer=b"n" * 9000)
    newer["platform"] |= {"variant": "v3"}
    registry.push_index("lab/variants", "1", plain, newer)
    found = await registries(registry).find(parse_reference(f"{registry.host}/lab/variants:1"))
    assert found.platforms == ("linux/amd64",)
    assert 1000 < found.size_bytes < 1100


async def test_a_tag_that_moves_has_another_digest_and_the_pinned_name_stays(registry: Registry) -> None:
    registry.push_image("lab/moving", "1", layer=b"first")
    reference = parse_reference(f"{registry.host}/lab/moving:1")
    first = await registries(registry).find(reference)
    registry.push_image("lab/moving", "1", layer=b"second")
    second = await registries(registry).find(reference)
    assert first.digest != second.digest
    assert (await registries(registry).find(parse_reference(first.pinned))).digest == first.digest


async def test_a_tag_that_is_not_there_is_told_with_those_that_are_near(registry: Registry) -> None:
    for tag in ("2026.01.01", "2026.01.02", "main"):
        registry.push_image("lab/tags", tag)
    error = await refusal(registry, "lab/tags:2026.01.03")
    assert (error.code, error.status) == ("image-absent", 400)
    assert error.message == (
        f"{registry.host}/lab/tags has no '2026.01.03'; there is 2026.01.02 and 2026.01.01."
    )


@pytest.mark.parametrize("name", ["lab/nothing:1", f"lab/nothing@sha256:{'0' * 64}"])
async def test_an_image_that_is_not_there_is_told(registry: Registry, name: str) -> None:
    error = await refusal(registry, name)
    assert error.message == f"There is no image {registry.host}/lab/nothing that this hub can see."


async def test_an_image_for_another_platform_is_told(registry: Registry) -> None:
    registry.push_image("lab/arm", "1", architecture="arm64")
    error = await refusal(registry, "lab/arm:1")
    assert error.code == "image-platform"
    assert error.message.endswith("/lab/arm:1 is for linux/arm64; this hub needs linux/amd64.")


async def test_a_private_image_is_told_to_need_a_credential(private: Registry) -> None:
    error = await refusal(private, "lab/secret:1")
    assert error.code == "image-forbidden"
    assert error.message.endswith("it is private, or not there; the hub has no credential for it.")


async def test_a_private_image_is_found_with_the_hubs_credential(private: Registry) -> None:
    client = registries(private, Credential(USER, PASSWORD))
    found = await client.find(parse_reference(f"{private.host}/lab/secret:1"))
    assert found.platforms == ("linux/amd64",)


async def test_a_wrong_credential_is_told_without_it(private: Registry) -> None:
    error = await refusal(private, "lab/secret:1", Credential(USER, "canary-wrong"))
    assert error.message.endswith("the hub's credential for it does not open this image.")
    assert "canary" not in error.message


async def test_credentials_come_from_dockers_config(private: Registry, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    encoded = basic().removeprefix("Basic ")
    file.write_text(
        json.dumps(
            {"auths": {private.host: {"auth": encoded}, "quay.io": {"username": "u", "password": "p"}}}
        )
    )
    credentials = read_docker_config(file)
    assert credentials["quay.io"] == Credential("u", "p")
    client = Registries(credentials, insecure=[private.host])
    assert await client.find(parse_reference(f"{private.host}/lab/secret:1"))


async def test_nothing_is_sent_in_clear_to_a_registry_that_is_not_called_insecure(registry: Registry) -> None:
    registry.push_image("lab/plain", "1")
    with pytest.raises(PublicError) as raised:
        await Registries().find(parse_reference(f"{registry.host}/lab/plain:1"))
    assert (raised.value.code, raised.value.status) == ("registry-away", 503)
    assert raised.value.message.endswith("cannot be asked about images: it does not speak HTTPS.")


def test_what_holds_no_credential_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    encoded = base64.b64encode(b"lab:of:colons").decode()
    auths = {
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:token").decode()},
        "quay.io/lab": {"auth": encoded},
        "kept.example": {},
        "renewed.example": {"auth": encoded, "identitytoken": "canary"},
    }
    file.write_text(json.dumps({"auths": auths, "credsStore": "desktop"}))
    assert read_docker_config(file) == {
        "docker.io": Credential("me", "token"),
        "quay.io/lab": Credential("lab", "of:colons"),
    }


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"auths": 1}', '{"auths": {"x": 1}}', '{"auths": {"x": {"auth": "canary!"}}}'],
)
def test_a_file_that_is_no_docker_config_is_told_without_what_is_in_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(PublicError) as raised:
        read_docker_config(file)
    assert raised.value.message == f"{file}: not a Docker config.json; it needs 'auths'."


def test_the_credential_with_the_longest_name_that_fits_is_sent() -> None:
    lab, everybody = Credential("lab", "1"), Credential("all", "2")
    client = Registries({"quay.io/lab": lab, "quay.io": everybody})
    chosen = {
        name: client.credential(parse_reference(name))
        for name in ("quay.io/lab/x:1", "quay.io/lab:1", "quay.io/laboratory/x:1", "ghcr.io/lab/x:1")
    }
    assert list(chosen.values()) == [lab, lab, everybody, None]


# Tokens: the registry checks their signatures; who gives them is a server of ours.


@dataclass
class TokenServer:
    """Gives tokens to one user, for what they ask."""

    issuer: TokenIssuer
    host: str
    gives: tuple[str, ...] = ("pull",)
    seen: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        self.seen.append((authorization, dict(request.query)))
        if authorization is not None and authorization != basic():
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        _, repository, _ = request.query["scope"].split(":")
        gives = self.gives if authorization else ()
        return web.json_response({"token": self.issuer.token(repository, *gives)})


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[TokenServer]:
    port = free_port()
    server = TokenServer(TokenIssuer(tmp_path), f"127.0.0.1:{port}")
    app = web.Application()
    app.router.add_get("/token", server.answer)
    async with TestServer(app, host="127.0.0.1", port=port):
        yield server


@pytest.fixture
def signed(tokens: TokenServer, tmp_path: Path) -> Iterator[Registry]:
    issuer = tokens.issuer
    with running_registry(tmp_path, tokens=(issuer, f"http://{tokens.host}/token")) as registry:
        registry.headers = {"Authorization": f"Bearer {issuer.token('lab/signed', 'pull', 'push')}"}
        registry.push_image("lab/signed", "1")
        yield registry


async def find_signed(signed: Registry, tokens: TokenServer, credential: Credential | None) -> str:
    credentials = {signed.host: credential} if credential else {}
    client = Registries(credentials, insecure=[signed.host, tokens.host])
    return (await client.find(parse_reference(f"{signed.host}/lab/signed:1"))).digest


async def test_a_registry_with_tokens_takes_the_one_for_this_image(
    signed: Registry, tokens: TokenServer
) -> None:
    assert (await find_signed(signed, tokens, Credential(USER, PASSWORD))).startswith("sha256:")
    query = {"service": TokenIssuer.service, "scope": "repository:lab/signed:pull"}
    assert tokens.seen == [(basic(), query)]


@pytest.mark.parametrize(
    ("credential", "gives", "words"),
    [
        (None, ("pull",), "it is private, or not there; the hub has no credential for it."),
        (Credential(USER, "canary"), ("pull",), "the hub's credential for it does not open this image."),
        (Credential(USER, PASSWORD), (), "the hub's credential for it does not open this image."),
        (Credential(USER, PASSWORD), ("push",), "the hub's credential for it does not open this image."),
    ],
    ids=["nobody", "wrong password", "no right", "another right"],
)
async def test_who_gets_no_token_for_an_image_is_told(
    signed: Registry,
    tokens: TokenServer,
    credential: Credential | None,
    gives: tuple[str, ...],
    words: str,
) -> None:
    tokens.gives = gives
    with pytest.raises(PublicError) as raised:
        await find_signed(signed, tokens, credential)
    assert raised.value.code == "image-forbidden"
    assert raised.value.message == f"{signed.host} does not show lab/signed: {words}"


async def test_a_password_is_not_sent_in_clear_to_a_token_server(
    signed: Registry, tokens: TokenServer
) -> None:
    client = Registries({signed.host: Credential(USER, PASSWORD)}, insecure=[signed.host])
    with pytest.raises(PublicError, match="asks for a sign-in where this hub does not"):
        await client.find(parse_reference(f"{signed.host}/lab/signed:1"))
    assert tokens.seen == []


# Certificates


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("certified")
    with running_registry(folder, authority=Authority(folder, "registry-ca")) as registry:
        registry.push_image("lab/certified", "1")
        yield registry


def authority_of(certified: Registry, tmp_path: Path) -> Path:
    assert certified.trust is not None
    (der,) = certified.trust.get_ca_certs(binary_form=True)
    file = tmp_path / "ca.crt"
    file.write_text(ssl.DER_cert_to_PEM_cert(der))
    return file


async def test_a_certificate_of_the_admins_own_authority_is_taken(certified: Registry) -> None:
    client = Registries(ssl_context=certified.trust)
    assert await client.find(parse_reference(f"{certified.host}/lab/certified:1"))


async def test_a_certificate_of_nobody_is_not_taken(certified: Registry) -> None:
    with pytest.raises(PublicError) as raised:
        await Registries().find(parse_reference(f"{certified.host}/lab/certified:1"))
    assert (raised.value.code, raised.value.status) == ("registry-away", 503)
    assert raised.value.message.endswith("its certificate is not one that this hub trusts.")


def test_a_hub_with_ssl_cert_file_trusts_who_is_in_it(certified: Registry, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from scalablehub.registry import Registries, parse_reference; "
        "print(asyncio.run(Registries().find(parse_reference(sys.argv[1]))).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"{certified.host}/lab/certified:1"],
        env=os.environ | {"SSL_CERT_FILE": str(authority_of(certified, tmp_path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("sha256:"), done.stderr
