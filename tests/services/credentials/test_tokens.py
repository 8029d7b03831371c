"""Whose a token is, and everything that is no token of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.errors import PublicError
from scalablehub.services.credentials.tokens import Claims, read, same_start, sign, signing_key, write_token

KEY = signing_key("the service's token")
CLAIMS = Claims("alice", "", "2026-11-26T01:00:00.000000Z", 1_000)
TOKEN = sign(CLAIMS, KEY)
PAYLOAD, MAC = TOKEN.split(".")[1:]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(header: dict[str, str], key: bytes) -> str:
    signed = f"{encoded(json.dumps(header).encode())}.{PAYLOAD}"
    mac = hmac.new(key, signed.encode(), hashlib.sha256).digest() if key else b""
    return f"{signed}.{encoded(mac)}"


def claiming(**changes: object) -> str:
    """Return alice's token with other claims and alice's signature."""
    body = json.loads(base64.urlsafe_b64decode(PAYLOAD + "==")) | changes
    return f"shc1.{encoded(json.dumps(body, separators=(',', ':'), sort_keys=True).encode())}.{MAC}"


def test_a_token_says_what_was_signed() -> None:
    assert read(TOKEN, KEY, now=999) == CLAIMS


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "shc1",
        "shc1..",
        f"shc1.{PAYLOAD}",
        f"shc1.{PAYLOAD}.",
        f"shc2.{PAYLOAD}.{MAC}",
        f"{TOKEN}=",
        f"{TOKEN}.x",
        f"{TOKEN}\n",
        f" {TOKEN}",
        f"Bearer {TOKEN}",
        TOKEN[:-1],
        TOKEN.swapcase(),
        claiming(sub="bob"),
        claiming(exp=9_999),
        claiming(clu="c"),
        sign(CLAIMS, signing_key("another service's token")),
        sign(CLAIMS, KEY, audience="sts.amazonaws.com"),
        sign(Claims("", "", "x", 1_000), KEY),
        jwt({"alg": "none"}, b""),
        jwt({"alg": "HS256"}, KEY),
        jwt({"alg": "HS256", "kid": "../../dev/null"}, b""),
        jwt({"alg": "RS256"}, KEY),
        "0123456789abcdef0123456789abcdef",
        "é" * 20,
        "shc1." + "A" * 1_000_000 + ".x",
    ],
    ids=lambda token: token[:24] or "nothing",
)
def test_what_is_no_token_of_ours_is_nobody(token: str) -> None:
    with pytest.raises(PublicError) as refusal:
        read(token, KEY, now=999)
    assert (refusal.value.status, refusal.value.code) == (401, "token-refused")


@pytest.mark.parametrize(("now", "good"), [(999, True), (999.9, True), (1_000, False), (5_000, False)])
def test_a_token_ends(now: float, good: bool) -> None:
    if good:
        assert read(TOKEN, KEY, now) == CLAIMS
    else:
        with pytest.raises(PublicError):
            read(TOKEN, KEY, now)


def test_base64_that_says_the_same_in_another_way_is_refused() -> None:
    """The last character has bits that decode to nothing: one MAC, several texts."""
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [f"{TOKEN[:-1]}{c}" for c in last if c != TOKEN[-1]]
    same = [
        t
        for t in others
        if base64.urlsafe_b64decode(t.split(".")[2] + "=") == base64.urlsafe_b64decode(MAC + "=")
    ]
    assert same
    for token in same:
        with pytest.raises(PublicError):
            read(token, KEY, 999)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(PublicError):
        read(text, KEY, 0)


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_every_name_comes_back(user: str, server: str) -> None:
    claims = Claims(user, server, "s", 10)
    token = sign(claims, KEY)
    if len(token) <= 4096:
        assert read(token, KEY, 0) == claims
    assert token.isascii()
    assert not set(" \n\r\t") & set(token)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026-11-26T01:00:00.123456Z", "2026-11-26T01:00:00.123456Z", True),
        ("2026-11-26T01:00:00.900000Z", "2026-11-26T01:00:01Z", True),
        ("2026-11-26T01:00:00Z", "2026-11-26T01:00:02Z", False),
        ("2026-11-26T01:00:00Z", "2026-11-27T01:00:00Z", False),
        ("2026-11-26T01:00:00Z", "None", False),
        ("None", "None", False),
        ("2026-11-26T01:00:00Z", "2026-11-26T01:00:00", False),
    ],
)
def test_one_start_of_a_server(one: str, other: str, same: bool) -> None:
    assert same_start(one, other) is same


def test_the_file_is_the_owners_alone_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for token in ("first", "second"):
        write_token(file, token)
        assert file.read_bytes() == token.encode()
        assert stat.S_IMODE(file.stat().st_mode) == 0o400
    assert os.listdir(tmp_path) == ["token"]  # noqa: PTH208 - hidden files too
