from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.description import Description, DescriptionError, load_description, resolve
from scalablehub.description.sharing import hash_of, read_shared, share
from tests.descriptions import anything, described, written


def test_body_is_compact_json_with_sorted_keys_and_without_defaults() -> None:
    description = load_description(
        {"nodes": {"b": {"memory": "1G", "cores": 2}, "a": {"cores": 1, "memory": 1}}}
    )
    assert share(description).body == (
        b'{"nodes":{"a":{"cores":1.0,"memory":1},"b":{"cores":2.0,"memory":1073741824}}}'
    )


def test_hash_is_the_sha256_of_the_body() -> None:
    shared = share(described())
    assert shared.hash == hash_of(shared.body) == hashlib.sha256(shared.body).hexdigest()


@given(st.permutations(list(written())))
def test_hash_is_the_same_for_the_same_meaning(keys: list[str]) -> None:
    raw = written()
    assert share(load_description({key: raw[key] for key in keys})).hash == share(described()).hash


@pytest.mark.parametrize(
    "sections",
    [
        {"dask": None},
        {"dask": written()["dask"] | {"max_workers": 7}},
        {"dask": written()["dask"] | {"allowed_groups": []}},
        {"dask": written()["dask"] | {"allowed_groups": None}},
    ],
    ids=str,
)
def test_hash_differs_for_another_meaning(sections: dict[str, object]) -> None:
    assert share(described(**sections)).hash != share(described()).hash


@pytest.mark.parametrize(
    "description",
    [
        described(),
        resolve(described()),
        Description(),
        Description(enabled=False),
        described(dask={"allowed_groups": [], "gateway_url": "http://g", "workers": []}),
    ],
    ids=["written", "resolved", "empty", "off", "nobody"],
)
def test_what_is_read_back_means_the_same(description: Description) -> None:
    assert read_shared(share(description).body) == resolve(description)


def test_names_of_every_language_come_back() -> None:
    images = {"geo": {"image": "g:1", "display_name": "Größe € 图", "interfaces": ["lab"]}}
    assert read_shared(share(described(images=images)).body).images["geo"].display_name == "Größe € 图"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "ScalableHub: is not a JSON object"),
        (b"<html>", "ScalableHub: is not a JSON object"),
        (b"[]", "ScalableHub: is not a JSON object"),
        (b"\xff", "ScalableHub: is not a JSON object"),
        (b"[" * 100_000, "ScalableHub: is not a JSON object"),
        (b'{"sizez":{}}', "ScalableHub.sizez: unknown key; did you mean 'sizes'?"),
        (b'{"nodes":{"a":{"cores":1,"memory":"32X"}}}', "ScalableHub.nodes.a.memory: '32X' is not a size"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_what_is_no_description_is_refused_with_its_place(body: bytes, problem: str) -> None:
    with pytest.raises(DescriptionError) as refusal:
        read_shared(body)
    assert refusal.value.message.startswith(problem)


@given(anything)
def test_nothing_but_a_description_error_comes_of_any_json(value: object) -> None:
    with contextlib.suppress(DescriptionError):
        read_shared(json.dumps(value).encode())
