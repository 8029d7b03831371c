"""The variables with which a user's processes open their buckets, wherever the keys come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scalablehub.decisions import User, decide
from scalablehub.storage.access import (
    Asking,
    asking_here,
    data_environment,
    needs_keys,
    without_conflicts,
)
from tests.descriptions import described

HERE, ELSEWHERE = "http://127.0.0.1:9000", "https://elsewhere.example"
KEYS = {HERE: {"access_key": "public", "secret_key": "private"}}
ASKING = Asking("http://127.0.0.1:1/x", Path("/run/token"), "127.0.0.1:1/x/gce")
SERVICE = {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"}
STATIC = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def credentials(endpoint: str | None) -> dict[str, Any]:
    role = "arn:aws:iam::123456789012:role/buckets"
    return {"s3": {"backend": "sts", "role": role, "endpoint": endpoint}}


def environment(asking: Asking | None = ASKING, **sections: Any) -> dict[str, str]:
    description = described(**sections)
    return data_environment(description, decide(description, User("alice")), KEYS, asking)


@pytest.mark.parametrize(
    ("sections", "asking", "names"),
    [
        ({}, ASKING, STATIC),
        ({}, None, STATIC),
        ({"credentials": credentials(HERE)}, ASKING, SERVICE),
        ({"credentials": credentials(HERE)}, None, set()),
        ({"credentials": credentials(ELSEWHERE)}, ASKING, STATIC),
        ({"credentials": credentials(HERE), "buckets": {}}, ASKING, set()),
    ],
    ids=["no service", "no service, no place", "ours", "no place", "another store's", "no bucket"],
)
def test_keys_come_from_one_place_alone(
    sections: dict[str, Any], asking: Asking | None, names: set[str]
) -> None:
    assert set(environment(asking, **sections)) & (SERVICE | STATIC) == names


BOTH = credentials(None) | {"google": {"project": "research-hub"}}


@pytest.mark.parametrize(
    ("urls", "of", "asks_amazon", "asks_google"),
    [
        (["s3://a"], BOTH, True, False),
        (["gs://a"], BOTH, False, True),
        (["s3://a", "gs://b"], BOTH, True, True),
        (["s3://a", "gs://b"], credentials(None), True, False),
        (["gs://a"], credentials(None), False, False),
        (["az://a"], BOTH, False, False),
        (["s3://a"], credentials(HERE), False, False),
    ],
)
def test_clients_ask_for_keys_of_the_stores_that_their_user_has_buckets_in(
    urls: list[str], of: dict[str, Any], asks_amazon: bool, asks_google: bool
) -> None:
    buckets = {f"b{number}": {"url": url} for number, url in enumerate(urls)}
    description = described(buckets=buckets, credentials=of)
    decision = decide(description, User("alice"))
    found = data_environment(description, decision, {}, ASKING)
    assert ("AWS_CONTAINER_CREDENTIALS_FULL_URI" in found) is asks_amazon
    assert ("GCE_METADATA_HOST" in found) is asks_google
    assert needs_keys(description.credentials, decision) is (asks_amazon or asks_google)


def test_a_bucket_that_is_not_ones_own_needs_none() -> None:
    buckets = {"vault": {"url": "s3://vault", "allowed_groups": ["staff"], "locked": "Ask."}}
    description = described(buckets=buckets, credentials=credentials(None))
    assert not needs_keys(description.credentials, decide(description, User("alice")))
    assert needs_keys(description.credentials, decide(description, User("bob", frozenset({"staff"}))))


def test_what_clients_would_prefer_is_taken_out() -> None:
    assert without_conflicts({"AWS_PROFILE": "x", "AWS_REGION": "y", "OTHER": "z"}) == {
        "AWS_REGION": "y",
        "OTHER": "z",
    }


def test_on_the_services_machine_googles_clients_have_the_token_in_their_address(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("shc1.a.b")
    asking = asking_here("http://127.0.0.1:1/services/credentials", file)
    assert asking.metadata_host == "127.0.0.1:1/services/credentials/gce/shc1.a.b"
