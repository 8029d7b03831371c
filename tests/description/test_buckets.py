"""What an admin may write of a bucket."""

from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import DescriptionError, egress_warnings, load_description
from scalablehub.description.buckets import Bucket
from tests.descriptions import described


@pytest.mark.parametrize(
    "url",
    ["s3://b", "s3://b/", "s3://b/climate/era5", "s3://my.bucket", "gs://data/x=1", "az://container/a_b"],
)
def test_urls_of_three_clouds(url: str) -> None:
    assert Bucket(url=url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "b",
            "s3:/b",
            "s3://",
            "http://b",
            "s3://B",
            "s3://*",
            "s3://b*",
            "s3://b c",
            "s3://b?x",
            "s3://b#x",
        ),
        *("s3://b//x", "s3://b/../a", "s3://b/.", "s3://b/*", "s3://b/${aws:username}", "s3://b/a%2Fb"),
        *("s3://user@b", "s3://b:80", "s3://b/a?", "s3://-b"),
    ],
)
def test_urls_that_could_be_read_in_two_ways_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not a bucket|could read in two ways"):
        Bucket(url=url)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"url": "gs://b", "endpoint": "https://x.example"}, "an endpoint is that of an S3-compatible store"),
        ({"access": "write", "write_groups": ["a"]}, "everybody may write already"),
        ({"allowed_groups": ["a"], "write_groups": ["b"]}, "group 'b' may write but not read"),
        ({"region": "Europe West"}, "is not a region"),
        ({"anonymous": True, "access": "write"}, "who has no key can only read"),
        ({"anonymous": True, "write_groups": ["a"]}, "who has no key can only read"),
        ({"anonymous": True, "per_user": True}, "who has no key can only read"),
        ({"anonymous": True, "requester_pays": True}, "who pays has to say who they are"),
        ({"account": "icedata"}, "a storage account is Azure's"),
        ({"variable": "AWS_REGION"}, "'AWS_REGION' configures something else"),
        ({"variable": "PYTHONPATH"}, "'PYTHONPATH' configures something else"),
        ({"variable": "JUPYTERHUB_API_TOKEN"}, "configures something else"),
        ({"variable": "PATH"}, "configures something else"),
    ],
)
def test_contradictions_are_refused_with_the_remedy(entry: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DescriptionError) as refusal:
        load_description({"buckets": {"data": {"url": "s3://b"} | entry}})
    assert "ScalableHub.buckets.data" in str(refusal.value)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("region", "entry", "places"),
    [
        ("eu-west-1", {"region": "us-east-1"}, ["buckets.data.region"]),
        ("eu-west-1", {"region": "eu-west-1"}, []),
        (None, {"region": "us-east-1"}, []),
        ("eu-west-1", {}, []),
        ("eu-west-1", {"region": "us-east-1", "endpoint": "https://store.example"}, []),
    ],
)
def test_another_region_than_the_hubs_costs(
    region: str | None, entry: dict[str, Any], places: list[str]
) -> None:
    description = described(buckets={"data": {"url": "s3://b"} | entry}, region=region)
    warned = list(egress_warnings(description.region, description.buckets))
    assert [place for place, _ in warned] == places
    assert all("us-east-1 and the hub is in eu-west-1" in sentence for _, sentence in warned)
