from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.errors import PublicError
from scalablehub.registry import parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole", "host"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest", "registry-1.docker.io"),
        ("pangeo/base", "docker.io/pangeo/base:latest", "registry-1.docker.io"),
        ("pangeo/base:2026.1", "docker.io/pangeo/base:2026.1", "registry-1.docker.io"),
        ("docker.io/pangeo/base:1", "docker.io/pangeo/base:1", "registry-1.docker.io"),
        ("docker.io/ubuntu:24.04", "docker.io/library/ubuntu:24.04", "registry-1.docker.io"),
        ("index.docker.io/pangeo/base:1", "docker.io/pangeo/base:1", "registry-1.docker.io"),
        ("quay.io/pangeo/base-notebook:2026.01.02", "quay.io/pangeo/base-notebook:2026.01.02", "quay.io"),
        ("localhost/x:1", "localhost/x:1", "localhost"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000"),
        ("127.0.0.1:5000/a/b/c:T_1.2-x", "127.0.0.1:5000/a/b/c:T_1.2-x", "127.0.0.1:5000"),
        (f"quay.io/x@{DIGEST}", f"quay.io/x@{DIGEST}", "quay.io"),
        (f"quay.io/x:1@{DIGEST}", f"quay.io/x:1@{DIGEST}", "quay.io"),
        (f"quay.io/x@sha512:{'b' * 128}", f"quay.io/x@sha512:{'b' * 128}", "quay.io"),
        ("quay.io/a_b/c__d/e-f.g", "quay.io/a_b/c__d/e-f.g:latest", "quay.io"),
    ],
)
def test_a_name_is_read_as_container_runtimes_do(text: str, whole: str, host: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.host) == (whole, host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "quay.io/",
        "quay.io/Pangeo/base",
        "quay.io/pangeo//base",
        "quay.io/pangeo/base:",
        "quay.io/pangeo/base:1\n",
        "quay.io/pangeo/base:1 ",
        "quay.io/pangeo/base:-1",
        "quay.io/pangeo/base:1@evil/x",
        "quay.io/pangeo/base@sha256:abc",
        f"quay.io/pangeo/base@{DIGEST}@{DIGEST}",
        "file:///etc/passwd",
        "http://quay.io/x:1",
        "quay.io:port/x",
        "user@quay.io/x",
        "quay.io/../x",
        "quay.io/x?y=z",
        "quay.io/x#y",
        "quay.io/{username}",
        "quay.io/b\N{CYRILLIC SMALL LETTER A}se",
        "quay.io/x:" + "1" * 129,
        "quay.io/" + "x" * 250,
        "x" * 10_000,
        "-quay.io/x",
        "quay.io:0/x",
        "quay.io:65536/x",
        "quay.io:99999/x",
        "x" * 64 + ".io/x",
        "[::1]:5000/x",
        "quay..io/x",
        f"quay.io/x@md5:{'a' * 32}",
        "quay.io/x:1\x00",
        "quay.io/x:1\r\nHost: y",
    ],
    ids=lambda text: repr(text)[:30],
)
def test_what_is_no_image_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(PublicError, match="is not the name of a container image; write it such as") as raised:
        parse_reference(text)
    assert len(raised.value.message) < 300


def test_a_digest_pins_a_name_and_leaves_its_tag_to_people() -> None:
    assert str(parse_reference("quay.io/x:1").pinned(DIGEST)) == f"quay.io/x:1@{DIGEST}"


@given(st.text(max_size=60) | st.from_regex(r"[a-z0-9./:@_-]{1,60}", fullmatch=True))
def test_what_is_read_has_nothing_in_it_that_a_url_could_misread(text: str) -> None:
    try:
        reference = parse_reference(text)
    except PublicError:
        return
    assert re.fullmatch(r"[A-Za-z0-9.:-]+", reference.registry)
    assert re.fullmatch(r"[a-z0-9._/-]+", reference.repository)
    assert ".." not in reference.repository.split("/")
    assert parse_reference(str(reference)) == reference
