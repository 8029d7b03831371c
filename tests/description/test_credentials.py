"""What an admin writes of credentials, and what is refused of it."""

from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import DescriptionError, key_warnings, load_description, resolve
from tests.descriptions import described, written

ROLE = "arn:aws:iam::123456789012:role/hub/buckets"
STS = {"backend": "sts", "role": ROLE}


@pytest.mark.parametrize(
    ("credentials", "sentence"),
    [
        ({}, "write 's3', 'google', or both"),
        ({"s3": {"backend": "sts"}}, "'sts' needs 'role'"),
        ({"s3": {"backend": "versity"}}, "'versity' needs 'endpoint', its S3, and 'iam_endpoint', its IAM"),
        ({"s3": STS | {"role": "buckets"}}, "ScalableHub.credentials.s3.role"),
        ({"s3": STS | {"endpoint": "store"}}, "is not an endpoint"),
        ({"s3": STS | {"region": "Europe"}}, "ScalableHub.credentials.s3.region"),
        ({"s3": {"backend": "minio"}}, "ScalableHub.credentials.s3.backend"),
        ({"google": {"project": "X"}}, "ScalableHub.credentials.google.project"),
        ({"google": {}}, "ScalableHub.credentials.google.project"),
        ({"s3": STS, "address": "credentials:8080"}, "ScalableHub.credentials.address"),
        ({"s3": STS, "port": 80}, "ScalableHub.credentials.port"),
        ({"s3": STS, "grace": "soon"}, "ScalableHub.credentials.grace"),
        ({"s3": STS, "secret_key": "canary"}, "unknown key"),
    ],
    ids=str,
)
def test_a_mistake_is_a_sentence_with_its_place(credentials: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DescriptionError) as refused:
        load_description(written(credentials=credentials))
    assert sentence in refused.value.message


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_roles_of_every_partition_are_taken(partition: str) -> None:
    role = ROLE.replace("aws", partition, 1)
    found = described(credentials={"s3": STS | {"role": role}}).credentials
    assert found is not None
    assert found.s3 is not None
    assert found.s3.role == role


def test_the_store_of_this_machine_is_resolved_as_for_buckets() -> None:
    keys = {"backend": "static", "endpoint": "this-machine"}
    found = resolve(described(credentials={"s3": keys}), store="http://127.0.0.1:9000").credentials
    assert found is not None
    assert found.s3 is not None
    assert found.s3.endpoint == "http://127.0.0.1:9000"


HERE = "http://127.0.0.1:9000"
S3 = {"scratch": {"url": "s3://scratch"}}


@pytest.mark.parametrize(
    ("credentials", "buckets", "places"),
    [
        (None, S3, []),
        ({"s3": STS}, S3, []),
        ({"s3": STS}, {"scratch": {"url": "s3://scratch", "endpoint": HERE}}, ["credentials.s3.endpoint"]),
        ({"s3": STS | {"endpoint": HERE}}, S3, ["credentials.s3.endpoint"]),
        ({"s3": STS}, {"data": {"url": "gs://data"}}, ["credentials.s3.endpoint"]),
        ({"s3": STS}, {"open": {"url": "s3://open", "anonymous": True}}, ["credentials.s3.endpoint"]),
        ({"s3": STS}, S3 | {"open": {"url": "s3://open/ice", "anonymous": True}}, []),
        ({"s3": {"backend": "static"}}, S3, ["credentials.s3.backend"]),
        ({"google": {"project": "research-hub"}}, S3, ["credentials.google"]),
        ({"google": {"project": "research-hub"}}, {"data": {"url": "gs://data"}}, []),
    ],
    ids=str,
)
def test_keys_that_open_nothing_or_isolate_nobody_are_warned_of(
    credentials: dict[str, Any] | None, buckets: dict[str, Any], places: list[str]
) -> None:
    description = described(credentials=credentials, buckets=buckets)
    found = key_warnings(description.credentials, description.buckets)
    assert [place for place, _ in found] == places


@pytest.mark.parametrize(
    ("changes", "bucket", "warned"),
    [
        ({}, {"per_user": True}, True),
        ({}, {"url": "s3://data/ice"}, True),
        ({}, {}, False),
        ({"lists_buckets": True}, {"per_user": True}, False),
        ({"lists_buckets": False}, {"per_user": True}, False),
        ({"endpoint": HERE}, {"per_user": True, "endpoint": HERE}, False),
    ],
    ids=str,
)
def test_prefixes_at_amazon_are_warned_of_where_listing_ends_with_them(
    changes: dict[str, Any], bucket: dict[str, Any], warned: bool
) -> None:
    description = described(
        credentials={"s3": STS | changes}, buckets={"scratch": {"url": "s3://scratch"} | bucket}
    )
    found = [place for place, _ in key_warnings(description.credentials, description.buckets)]
    assert found == ["credentials.s3.lists_buckets"] * warned
