from __future__ import annotations

from typing import Any

import pytest

from scalablehub.decisions import User, decide
from scalablehub.decisions.explaining import explain
from scalablehub.description import resolve
from tests.descriptions import described


def details(kind: str, name: str, **sections: Any) -> str:
    decided = decide(resolve(described(**sections)), User("alice", frozenset({"research"})))
    (row,) = [row for row in explain(decided) if (row.kind, row.name) == (kind, name)]
    return row.details


STORE = {"url": "s3://data", "endpoint": "http://127.0.0.1:9000"}


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        ({}, "read, s3://data"),
        ({"access": "write"}, "read and write, s3://data"),
        ({"per_user": True, "variable": "MINE"}, "read, s3://data/alice as MINE"),
        ({"region": "eu-west-1"}, "read, s3://data, in eu-west-1"),
        ({"expire_days": 7}, "read, s3://data, kept for 7 days"),
        ({"expire_days": 1, "requester_pays": True}, "read, s3://data, kept for 1 day, who reads pays"),
    ],
)
def test_of_a_bucket_it_says_what_one_may_do_where_it_is_and_on_what_terms(
    bucket: dict[str, Any], words: str
) -> None:
    assert details("bucket", "data", buckets={"data": STORE | bucket}) == words


def test_of_a_folder_it_says_where_it_is() -> None:
    directories = {"shared": {"claim": "shared", "mount": "/home/jovyan/shared"}}
    assert details("directory", "shared", directories=directories) == "read, at /home/jovyan/shared"
