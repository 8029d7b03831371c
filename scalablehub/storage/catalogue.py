"""The catalogue of the data that a user may open: Intake's, as one address that says all of it.

`intake.open_catalog(os.environ["HUB_CATALOG"])` opens it on every server. It is a ``data:`` address, so that
there is no file to find, no service to ask and nothing to sign in to. What is in it was decided for its user.
Source: RFC 2397, and Intake's catalogs of version 1.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from scalablehub.decisions import BucketChoice, DatasetChoice, Decision
from scalablehub.description.units import format_bytes
from scalablehub.storage.places import is_google, stated_endpoint

VARIABLE = "HUB_CATALOG"
MOST_CHARACTERS = 100_000
"""The most that the address may have: Linux takes 131,072 bytes for one variable."""
LINE = f'intake.open_catalog(os.environ["{VARIABLE}"])'
"""How people open it."""


def catalogue_of(decision: Decision) -> dict[str, Any]:
    """Return the catalogue: a source for each data set, and in its metadata each bucket."""
    buckets = [bucket for bucket in decision.buckets if bucket.is_open]
    return {
        "metadata": {"version": 1, "buckets": {bucket.name: _told(bucket) for bucket in buckets}},
        "sources": {
            dataset.name: _source(bucket, dataset) for bucket in buckets for dataset in bucket.datasets
        },
    }


def catalogue_address(decision: Decision) -> str:
    """Return the address of the catalogue; empty where the user may open nothing."""
    catalogue = catalogue_of(decision)
    if not catalogue["metadata"]["buckets"]:
        return ""
    text = json.dumps(catalogue, separators=(",", ":"), ensure_ascii=False)
    # Intake goes by what an address ends with, and to YAML the end of this one is a remark.
    return f"data:application/yaml,{quote(text, safe='/,[]._-~')}%20%23.yaml"


def _told(bucket: BucketChoice) -> dict[str, Any]:
    told = {
        "description": bucket.description,
        "url": bucket.url,
        "access": "read and write" if bucket.writable else "read",
        "variable": bucket.variable,
        "region": bucket.region,
        "terms": ", ".join(bucket.terms),
        "storage_options": _storage_options(bucket),
    }
    return {name: value for name, value in told.items() if value}


def _storage_options(bucket: BucketChoice) -> dict[str, Any]:
    """Return what fsspec has to be told beside the environment."""
    if bucket.requester_pays:
        return {"requester_pays": True}
    if not bucket.anonymous:
        return {}
    if is_google(bucket):
        return {"token": "anon"}
    # The environment may lead to another store, or another account.
    if bucket.url.startswith("s3://"):
        return {"anon": True, "endpoint_url": stated_endpoint(bucket.endpoint, bucket.region)}
    return {"anon": True} | ({"account_name": bucket.account} if bucket.account else {})


def _source(bucket: BucketChoice, dataset: DatasetChoice) -> dict[str, Any]:
    arguments: dict[str, Any] = {"urlpath": dataset.url}
    if options := _storage_options(bucket):
        arguments["storage_options"] = options
    about = {
        "bucket": bucket.name,
        "region": bucket.region,
        "size": format_bytes(dataset.size) if dataset.size else None,
        "example": f'{LINE}["{dataset.name}"].to_dask()',
    }
    return {
        "description": dataset.description,
        "driver": dataset.driver,
        "args": arguments | dict(dataset.options),
        "metadata": {name: value for name, value in about.items() if value},
    }
