"""The catalogue of what a user may open, as Intake itself reads it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import intake
import numpy as np
import pytest
import xarray as xr

from scalablehub.decisions import User, decide
from scalablehub.description import DescriptionError, load_description
from scalablehub.local.store import rclone_path
from scalablehub.storage.access import data_environment
from scalablehub.storage.catalogue import LINE, MOST_CHARACTERS, VARIABLE, catalogue_address
from tests.descriptions import described, written
from tests.services.credentials.versitygw import VersityGW

BUCKETS: dict[str, Any] = {
    "shared": {
        "url": "s3://shared/climate",
        "region": "eu-west-1",
        "description": 'For "everybody": 50 % of {it}, Ångström * and more.',
        "variable": "SHARED_BUCKET",
        "datasets": {
            "era5": {"path": "era5.zarr", "description": "Reanalysis", "size": "2T"},
            "stations": {"path": "obs/*.nc", "driver": "netcdf", "options": {"combine": "nested"}},
        },
    },
    "ice": {
        "url": "gs://ice",
        "allowed_groups": ["ice"],
        "requester_pays": True,
        "locked": "Ask the ice group.",
        "datasets": {"sheets": {"path": "sheets.zarr"}},
    },
    "scratch": {"url": "s3://scratch", "access": "write", "per_user": True, "variable": "SCRATCH_BUCKET"},
}


def address(name: str = "alice", *groups: str, **buckets: Any) -> str:
    return catalogue_address(decide(described(buckets=buckets or BUCKETS), User(name, frozenset(groups))))


def test_intake_opens_it_with_the_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv(VARIABLE, address())
    catalog = eval(LINE, {"intake": intake, "os": os})  # noqa: S307
    assert sorted(catalog) == ["era5", "stations"]


def test_each_bucket_is_told_with_what_one_may_do_there() -> None:
    assert intake.open_catalog(address()).metadata["buckets"] == {
        "scratch": {"url": "s3://scratch/alice", "access": "read and write", "variable": "SCRATCH_BUCKET"},
        "shared": {
            "description": 'For "everybody": 50 % of {it}, Ångström * and more.',
            "url": "s3://shared/climate",
            "access": "read",
            "variable": "SHARED_BUCKET",
            "region": "eu-west-1",
        },
    }


def entry(name: str, *groups: str) -> dict[str, Any]:
    described: dict[str, Any] = intake.open_catalog(address("alice", *groups))._entries[name].describe()
    return described


def test_a_data_set_has_its_region_size_and_an_example() -> None:
    found = entry("era5")
    assert (found["description"], found["args"]) == (
        "Reanalysis",
        {"urlpath": "s3://shared/climate/era5.zarr"},
    )
    assert found["metadata"] == {
        "bucket": "shared",
        "region": "eu-west-1",
        "size": "2 TB",
        "example": 'intake.open_catalog(os.environ["HUB_CATALOG"])["era5"].to_dask()',
    }


def test_other_drivers_have_their_own_arguments() -> None:
    found = entry("stations")
    assert found["args"] == {"urlpath": "s3://shared/climate/obs/*.nc", "combine": "nested"}


def test_who_reads_where_the_reader_pays_says_so_by_the_catalogue() -> None:
    assert entry("sheets", "ice")["args"]["storage_options"] == {"requester_pays": True}


@pytest.mark.parametrize(
    ("bucket", "options"),
    [
        (
            {"url": "s3://open", "region": "us-west-2"},
            {"anon": True, "endpoint_url": "https://s3.us-west-2.amazonaws.com"},
        ),
        ({"url": "s3://open"}, {"anon": True, "endpoint_url": "https://s3.amazonaws.com"}),
        (
            {"url": "s3://open", "endpoint": "https://store.example.org"},
            {"anon": True, "endpoint_url": "https://store.example.org"},
        ),
        ({"url": "gs://open"}, {"token": "anon"}),
        ({"url": "az://open"}, {"anon": True}),
        ({"url": "az://open", "account": "icedata"}, {"anon": True, "account_name": "icedata"}),
    ],
    ids=str,
)
def test_what_anybody_may_read_is_read_without_keys_wherever_it_is(
    bucket: dict[str, Any], options: dict[str, Any]
) -> None:
    buckets = {"open": bucket | {"anonymous": True, "datasets": {"x": {"path": "x"}}}}
    catalog = intake.open_catalog(address("alice", **buckets))
    assert catalog._entries["x"].describe()["args"]["storage_options"] == options
    assert catalog.metadata["buckets"]["open"]["storage_options"] == options


def test_nothing_of_what_one_may_not_open_is_in_it() -> None:
    assert not [word for word in ("gs%3A", "sheets", "Ask") if word in address("alice")]


def test_who_may_open_nothing_has_none() -> None:
    assert address("alice", ice=BUCKETS["ice"]) == ""


def test_it_has_no_sign_that_a_variable_or_a_template_could_be_made_of() -> None:
    assert not set("{}$\n\"' ") & set(address())


@pytest.mark.parametrize(
    ("bucket", "sentence"),
    [
        ({"datasets": {"x": {"path": "../y"}}}, "is not a path below the bucket's url"),
        ({"datasets": {"x": {"path": "a//b"}}}, "is not a path below the bucket's url"),
        ({"datasets": {"x": {"path": ""}}}, "is not a path below the bucket's url"),
        ({"datasets": {"x": {"path": "s3://y"}}}, "is not a path below the bucket's url"),
        ({"datasets": {"x": {}}}, "buckets.scratch.datasets.x.path"),
        ({"datasets": {"X Y": {"path": "a"}}}, "buckets.scratch.datasets"),
        ({"datasets": {"x": {"path": "a", "driver": "Zarr!"}}}, "buckets.scratch.datasets.x.driver"),
        ({"datasets": {"x": {"path": "a"}}, "per_user": True}, "'datasets' would be nobody's"),
    ],
    ids=str,
)
def test_a_mistake_is_a_sentence(bucket: dict[str, Any], sentence: str) -> None:
    buckets = {"scratch": {"url": "s3://scratch"} | bucket}
    with pytest.raises(DescriptionError) as refused:
        load_description(written(buckets=buckets))
    assert sentence in refused.value.message


def test_two_data_sets_of_one_name_are_refused() -> None:
    two = {name: {"url": f"s3://{name}", "datasets": {"era5": {"path": "e"}}} for name in ("one", "two")}
    with pytest.raises(DescriptionError, match="has the name of one in one; choose another"):
        load_description(written(buckets=two))


def test_two_hundred_data_sets_fit() -> None:
    sets = {
        f"set-{n}": {"path": f"collection/set-{n}.zarr", "description": "A sentence about what it is."}
        for n in range(200)
    }
    assert len(address("alice", many={"url": "s3://many", "datasets": sets})) < MOST_CHARACTERS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VersityGW]:
    running = VersityGW(tmp_path)
    running.client().create_bucket(Bucket="shared")
    yield running
    running.stop()


def test_data_sets_of_both_versions_open_from_a_real_store(
    store: VersityGW, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = {
        "shared": {
            "url": "s3://shared/climate",
            "endpoint": store.endpoint,
            "datasets": {
                "v2": {"path": "v2.zarr"},
                "v3": {"path": "v3.zarr", "options": {"consolidated": False}},
            },
        }
    }
    description = described(buckets=buckets)
    decision = decide(description, User("alice"))
    keys = {store.endpoint: {"access_key": store.keys[0], "secret_key": store.keys[1]}}
    for name, value in data_environment(description, decision, keys, None).items():
        monkeypatch.setenv(name, value)
    data = xr.Dataset({"t": ("x", np.arange(6.0))})
    catalog = intake.open_catalog(catalogue_address(decision))
    for version in (2, 3):
        place = f"s3://shared/climate/v{version}.zarr"
        data.to_zarr(place, zarr_format=version, consolidated=version == 2)
        assert catalog[f"v{version}"].to_dask().load().equals(data), version


def test_open_data_opens_beside_a_store_of_ones_own(
    store: VersityGW, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two real stores: the environment is that of the one with keys, and the other wants none."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere = VersityGW(tmp_path / "elsewhere")
    try:
        elsewhere.client().create_bucket(Bucket="open")
        everybody = {"Effect": "Allow", "Principal": "*"}
        reading = {
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": ["arn:aws:s3:::open", "arn:aws:s3:::open/*"],
        }
        policy = {"Version": "2012-10-17", "Statement": [everybody | reading]}
        elsewhere.client().put_bucket_policy(Bucket="open", Policy=json.dumps(policy))
        data = xr.Dataset({"t": ("x", np.arange(6.0))})
        root = {"key": elsewhere.keys[0], "secret": elsewhere.keys[1], "endpoint_url": elsewhere.endpoint}
        data.to_zarr("s3://open/era5.zarr", storage_options=root, consolidated=False)
        buckets = {
            "shared": {"url": "s3://shared", "endpoint": store.endpoint},
            "open": {
                "url": "s3://open",
                "endpoint": elsewhere.endpoint,
                "anonymous": True,
                "datasets": {"era5": {"path": "era5.zarr", "options": {"consolidated": False}}},
            },
        }
        description = described(buckets=buckets)
        decision = decide(description, User("alice"))
        keys = {store.endpoint: {"access_key": store.keys[0], "secret_key": store.keys[1]}}
        for name, value in data_environment(description, decision, keys, None).items():
            monkeypatch.setenv(name, value)
        catalog = intake.open_catalog(catalogue_address(decision))
        assert catalog["era5"].to_dask().load().equals(data)
        command = [str(rclone_path()), "--config", "", "lsf", "open:"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "era5.zarr/\n"
    finally:
        elsewhere.stop()
