from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalablehub.errors import PublicError
from scalablehub.registry import Credential, Registries, parse_reference, read_docker_config
from tests.registry.registries import PASSWORD, USER, Registry, basic, running_registry


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
