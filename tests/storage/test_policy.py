"""What the policy document grants, judged by an evaluator that knows nothing of how it was written."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.decisions import User, decide
from scalablehub.description import Description
from scalablehub.errors import PublicError
from scalablehub.storage.policy import policy_of, policy_text
from tests.descriptions import described

READS = ("s3:GetObject",)
WRITES = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
NEVER = (
    *("s3:PutBucketPolicy", "s3:PutObjectAcl", "s3:DeleteBucket", "s3:GetBucketPolicy", "s3:CreateBucket"),
    *(
        "s3:ListBucketVersions",
        "s3:DeleteObjectVersion",
        "s3:PutBucketAcl",
        "sts:AssumeRole",
        "iam:CreateUser",
    ),
)


def matches(pattern: str, text: str) -> bool:
    """Amazon's matching: `*` is any text, `?` any character; a variable in a pattern is a mistake of ours."""
    assert "$" not in pattern
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None


def allows(policy: dict[str, Any], action: str, resource: str, **context: str) -> bool:
    """Whether the document allows a request; `context` are the keys of its conditions (``prefix``)."""
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        fits = any(matches(one, action) for one in statement["Action"]) and any(
            matches(one, resource) for one in statement["Resource"]
        )
        for operator, wanted in statement.get("Condition", {}).items():
            assert operator == "StringLike"
            for key, patterns in wanted.items():
                value = context.get(key.removeprefix("s3:"))
                fits = fits and value is not None and any(matches(one, value) for one in patterns)
        if fits:
            return True
    return False


def policy_for(user: User, buckets: dict[str, Any]) -> dict[str, Any]:
    return policy_of(decide(described(buckets=buckets), user))


SCRATCH = {"url": "s3://scratch", "access": "write", "per_user": True}
ALICE = policy_for(User("alice"), {"scratch": SCRATCH, "public": {"url": "s3://public"}})


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", "scratch/alice/a"),
        ("s3:PutObject", "scratch/alice/deep/er/a*b"),
        ("s3:DeleteObject", "scratch/alice/a"),
        ("s3:AbortMultipartUpload", "scratch/alice/a"),
        ("s3:GetObject", "public/anything"),
        ("s3:ListBucket", "public"),
    ],
)
def test_what_alice_may(action: str, resource: str) -> None:
    assert allows(ALICE, action, f"arn:aws:s3:::{resource}")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", "scratch/bob/a"),
        ("s3:GetObject", "scratch/alice-2/a"),
        ("s3:GetObject", "scratch/alic/a"),
        ("s3:GetObject", "scratch/Alice/a"),
        ("s3:GetObject", "scratch/alice"),
        ("s3:GetObject", "scratch/../alice/a"),
        ("s3:GetObject", "scratch-2/alice/a"),
        ("s3:PutObject", "public/a"),
        ("s3:DeleteObject", "public/a"),
        ("s3:ListBucket", "scratch"),
        *((action, "scratch") for action in NEVER),
        *((action, "scratch/alice/a") for action in NEVER),
    ],
)
def test_what_alice_may_not(action: str, resource: str) -> None:
    assert not allows(ALICE, action, f"arn:aws:s3:::{resource}")


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        *(("alice/", True), ("alice/a", True), ("alice", False), ("", False), ("a", False)),
        *(("alice-2/", False), ("bob/", False), ("/alice/", False), ("*", False), ("alice%2F", False)),
    ],
)
def test_names_are_listed_below_the_users_prefix_only(prefix: str, allowed: bool) -> None:
    assert allows(ALICE, "s3:ListBucket", "arn:aws:s3:::scratch", prefix=prefix) is allowed


def test_a_name_that_is_the_beginning_of_another_opens_nothing_of_it() -> None:
    policy = policy_for(User("x", frozenset({"a"})), {"team": {"url": "s3://data/team-a"}})
    assert allows(policy, "s3:GetObject", "arn:aws:s3:::data/team-a/x")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::data/team-ab/x")
    assert not allows(policy, "s3:ListBucket", "arn:aws:s3:::data", prefix="team-ab/")


def test_two_buckets_with_their_own_prefixes_do_not_open_each_others() -> None:
    policy = policy_for(User("x"), {"one": {"url": "s3://a/p"}, "two": {"url": "s3://b/q"}})
    assert allows(policy, "s3:ListBucket", "arn:aws:s3:::a", prefix="p/")
    assert not allows(policy, "s3:ListBucket", "arn:aws:s3:::a", prefix="q/")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::b/p/x")


@pytest.mark.parametrize(
    "name", ["*", "?", "${aws:username}", "a*", "..", ".", "a/b", "é", "%2A", "a b", "'"]
)
def test_a_users_name_is_never_read_as_a_pattern(name: str) -> None:
    user = User(name)
    policy = policy_for(user, {"scratch": SCRATCH})
    assert allows(policy, "s3:GetObject", f"arn:aws:s3:::scratch/{user.slug}/x")
    for other in ("bob", "a", "ab", "axb", "$", "aws"):
        assert not allows(policy, "s3:GetObject", f"arn:aws:s3:::scratch/{other}/x")


def test_the_whole_document_of_one_person() -> None:
    assert ALICE == {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::public/*"]},
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                "Resource": ["arn:aws:s3:::scratch/alice/*"],
            },
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::public"]},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": ["arn:aws:s3:::scratch"],
                "Condition": {"StringLike": {"s3:prefix": ["alice/*"]}},
            },
        ],
    }


def test_buckets_of_another_store_are_not_in_the_policy() -> None:
    here = "https://store.example"
    buckets = {"here": {"url": "s3://b", "endpoint": here}, "amazon": {"url": "s3://b2"}}
    text = json.dumps(policy_of(decide(described(buckets=buckets), User("x")), here))
    assert "arn:aws:s3:::b/*" in text
    assert "b2" not in text


@pytest.mark.parametrize(
    "buckets",
    [{}, {"g": {"url": "gs://b"}}, {"s": {"url": "s3://b", "allowed_groups": ["staff"]}}],
    ids=["none", "another cloud's", "not hers"],
)
def test_no_bucket_is_no_policy(buckets: dict[str, Any]) -> None:
    with pytest.raises(PublicError, match="no bucket here") as refusal:
        policy_for(User("x"), buckets)
    assert refusal.value.status == 403


def test_a_policy_that_does_not_fit_is_refused_as_a_whole() -> None:
    decision = decide(
        described(buckets={f"b{n}": {"url": f"s3://bucket-{n}/{'p' * 30}-{n}"} for n in range(20)}), User("x")
    )
    with pytest.raises(PublicError, match="20 buckets of 'x' need a policy of") as refusal:
        policy_text(decision)
    assert refusal.value.code == "policy-too-large"
    assert len(policy_text(decision, limit=10_000)) > 2048


# --- Whatever the description and whoever the user: exactly what decide() gave ------------------------------

PREFIXES = ("", "/team-a", "/team-ab", "/team-a/b", "/alice", "/%", "/a.b", "/x/alice")
NAMES = st.sampled_from(["alice", "alice-2", "al", "team-a", "*", "${aws:username}", "?", "a/b", "..", "%2A"])
GROUPS = ("a", "b", "c")


@st.composite
def buckets(draw: st.DrawFn) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "url": f"s3://{draw(st.sampled_from(['one', 'two', 'one-2']))}"
        + draw(st.sampled_from([prefix for prefix in PREFIXES if "%" not in prefix])),
        "per_user": draw(st.booleans()),
        "allowed_groups": draw(st.none() | st.lists(st.sampled_from(GROUPS), max_size=2)),
    }
    if draw(st.booleans()):
        entry["access"] = "write"
    return entry


def given_by_decide(description: Description, user: User, bucket: str, key: str) -> tuple[bool, bool]:
    """Whether a user may read and write a key, from the words of the description alone."""
    read = write = False
    for one in decide(description, user).buckets:
        home, _, prefix = one.url.removeprefix("s3://").partition("/")
        parts = [part for part in prefix.split("/") if part]
        inside = bucket == home and key.split("/")[: len(parts)] == parts and len(key.split("/")) > len(parts)
        if one.is_open and inside:
            read, write = True, write or one.writable
    return read, write


@given(
    entries=st.lists(buckets(), max_size=4),
    name=NAMES,
    groups=st.frozensets(st.sampled_from(GROUPS)),
    bucket=st.sampled_from(["one", "two", "one-2", "three"]),
    parts=st.lists(
        st.sampled_from(["alice", "alice-2", "team-a", "team-ab", "b", "x", "%2A", "..", "*", "%2E%2E"]),
        min_size=1,
        max_size=4,
    ),
)
def test_the_policy_gives_exactly_what_was_decided(
    entries: list[dict[str, Any]], name: str, groups: frozenset[str], bucket: str, parts: list[str]
) -> None:
    description = described(buckets={f"b{n}": entry for n, entry in enumerate(entries)})
    user = User(name, groups)
    key = "/".join(parts)
    read, write = given_by_decide(description, user, bucket, key)
    try:
        policy = policy_of(decide(description, user))
    except PublicError as refusal:
        assert refusal.code == "no-bucket"
        assert not any(one.is_open for one in decide(description, user).buckets)
        return
    resource = f"arn:aws:s3:::{bucket}/{key}"
    assert [allows(policy, action, resource) for action in READS] == [read] * len(READS)
    assert [allows(policy, action, resource) for action in WRITES] == [write] * len(WRITES)
    assert allows(policy, "s3:ListBucket", f"arn:aws:s3:::{bucket}", prefix=key) is read
    assert not any(allows(policy, action, where) for action in NEVER for where in (resource, resource[:16]))


def test_who_may_list_whole_buckets_still_opens_their_own_alone() -> None:
    buckets = {"scratch": {"url": "s3://scratch", "access": "write", "per_user": True}}
    policy = policy_of(decide(described(buckets=buckets), User("alice")), lists_buckets=True)
    assert allows(policy, "s3:ListBucket", "arn:aws:s3:::scratch")
    assert not allows(policy, "s3:ListBucket", "arn:aws:s3:::other")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::scratch/bob/x")
    assert allows(policy, "s3:PutObject", "arn:aws:s3:::scratch/alice/x")
