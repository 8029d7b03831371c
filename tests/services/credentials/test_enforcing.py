"""What the store lets people do with the keys that the service gives them: attempts on a real VersityGW."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from scalablehub.decisions import User
from tests.services.credentials.conftest import Place, token_of
from tests.services.credentials.versitygw import VersityGW, code

pytestmark = pytest.mark.once

SECRET = b"canary-bobs-object"


@pytest.fixture
def objects(gateway: VersityGW) -> VersityGW:
    """Everybody's data, as it was before each attempt."""
    s3 = gateway.client()
    for bucket, key in (
        ("scratch", "bob/secret"),
        ("scratch", "alice-2/secret"),
        ("scratch-2", "alice/secret"),
        ("teams", "team-ab/secret"),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=SECRET)
    s3.put_object(Bucket="scratch", Key="alice/own", Body=b"own")
    s3.put_object(Bucket="teams", Key="team-a/shared", Body=b"shared")
    s3.put_object(Bucket="public", Key="open", Body=b"open")
    return gateway


def raw(client: Any, method: str, path: str, **headers: str) -> bytes:
    """Send a signed request whose path is exactly that, as no client would write it; return the answer."""
    url = client.meta.endpoint_url + path
    keys = client._request_signer._credentials.get_frozen_credentials()
    request = AWSRequest(method, url, headers=headers, data=b"" if method == "GET" else b"overwritten")
    S3SigV4Auth(Credentials(keys.access_key, keys.secret_key), "s3", "us-east-1").add_auth(request)
    ready = urllib.request.Request(
        url, method=method, headers=dict(request.headers), data=None if method == "GET" else b"overwritten"
    )
    try:
        with urllib.request.urlopen(ready, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise PermissionError(f"{error.code} {text[:200]}") from None


def upload_parts(s3: Any) -> None:
    made = s3.create_multipart_upload(Bucket="scratch", Key="bob/secret")
    s3.upload_part(Bucket="scratch", Key="bob/secret", UploadId=made["UploadId"], PartNumber=1, Body=b"x")


def copy_part(s3: Any) -> None:
    made = s3.create_multipart_upload(Bucket="scratch", Key="alice/copy")
    s3.upload_part_copy(
        Bucket="scratch",
        Key="alice/copy",
        UploadId=made["UploadId"],
        PartNumber=1,
        CopySource="scratch/bob/secret",
    )


def delete_many(s3: Any) -> None:
    listed = {"Objects": [{"Key": "alice/none"}, {"Key": "bob/secret"}]}
    errors = s3.delete_objects(Bucket="scratch", Delete=listed).get("Errors", [])
    if any(error["Key"] == "bob/secret" for error in errors):
        raise PermissionError("AccessDenied")


def open_the_bucket(s3: Any) -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::scratch/*"}
    s3.put_bucket_policy(Bucket="scratch", Policy=json.dumps({"Statement": [everybody]}))


Attempt = Callable[[Any], Any]
ATTEMPTS: dict[str, Attempt] = {
    "read": lambda s3: s3.get_object(Bucket="scratch", Key="bob/secret"),
    "read a part": lambda s3: s3.get_object(Bucket="scratch", Key="bob/secret", Range="bytes=0-1"),
    "look at": lambda s3: s3.head_object(Bucket="scratch", Key="bob/secret"),
    "read attributes": lambda s3: s3.get_object_attributes(
        Bucket="scratch", Key="bob/secret", ObjectAttributes=["ObjectSize"]
    ),
    "read tags": lambda s3: s3.get_object_tagging(Bucket="scratch", Key="bob/secret"),
    "read a name that begins with mine": lambda s3: s3.get_object(Bucket="scratch", Key="alice-2/secret"),
    "read in another bucket's place of mine": lambda s3: s3.get_object(
        Bucket="scratch-2", Key="alice/secret"
    ),
    "read a team that begins with mine": lambda s3: s3.get_object(Bucket="teams", Key="team-ab/secret"),
    "read with dots": lambda s3: s3.get_object(Bucket="scratch", Key="alice/../bob/secret"),
    "read with raw dots": lambda s3: raw(s3, "GET", "/scratch/alice/../bob/secret"),
    "read with encoded dots": lambda s3: raw(s3, "GET", "/scratch/alice/%2e%2e/bob/secret"),
    "read with an encoded slash": lambda s3: raw(s3, "GET", "/scratch/alice%2F..%2Fbob%2Fsecret"),
    "read with a doubled slash": lambda s3: raw(s3, "GET", "/scratch//bob/secret"),
    "read through a bucket's dots": lambda s3: raw(s3, "GET", "/public/../scratch/bob/secret"),
    "list all": lambda s3: s3.list_objects_v2(Bucket="scratch"),
    "list all, the old way": lambda s3: s3.list_objects(Bucket="scratch"),
    "list bob's": lambda s3: s3.list_objects_v2(Bucket="scratch", Prefix="bob/"),
    "list what begins with my name": lambda s3: s3.list_objects_v2(Bucket="scratch", Prefix="alice"),
    "list folders": lambda s3: s3.list_objects_v2(Bucket="scratch", Delimiter="/"),
    "list after my name": lambda s3: s3.list_objects_v2(Bucket="scratch", Prefix="", StartAfter="alice/"),
    "list a team that begins with mine": lambda s3: s3.list_objects_v2(Bucket="teams", Prefix="team-a"),
    "list with two prefixes": lambda s3: raw(s3, "GET", "/scratch?list-type=2&prefix=bob%2F&prefix=alice%2F"),
    "list with two prefixes, mine first": lambda s3: raw(
        s3, "GET", "/scratch?list-type=2&prefix=alice%2F&prefix=bob%2F"
    ),
    "list versions": lambda s3: s3.list_object_versions(Bucket="scratch", Prefix="alice/"),
    "list uploads": lambda s3: s3.list_multipart_uploads(Bucket="scratch"),
    "list buckets": lambda s3: s3.list_buckets(),
    "copy to mine": lambda s3: s3.copy_object(
        Bucket="scratch", Key="alice/copy", CopySource="scratch/bob/secret"
    ),
    "copy to mine with dots": lambda s3: s3.copy_object(
        Bucket="scratch", Key="alice/copy", CopySource="scratch/alice/../bob/secret"
    ),
    "copy to mine, encoded": lambda s3: s3.copy_object(
        Bucket="scratch", Key="alice/copy", CopySource="scratch/alice%2F..%2Fbob%2Fsecret"
    ),
    "copy a part to mine": copy_part,
    "copy onto": lambda s3: s3.copy_object(
        Bucket="scratch", Key="bob/secret", CopySource="scratch/alice/own"
    ),
    "overwrite": lambda s3: s3.put_object(Bucket="scratch", Key="bob/secret", Body=b"overwritten"),
    "overwrite with raw dots": lambda s3: raw(s3, "PUT", "/scratch/alice/../bob/secret"),
    "overwrite with encoded dots": lambda s3: raw(s3, "PUT", "/scratch/alice/%2e%2e/bob/secret"),
    "overwrite in parts": upload_parts,
    "write where I only read": lambda s3: s3.put_object(Bucket="teams", Key="team-a/new", Body=b"x"),
    "write to everybody's": lambda s3: s3.put_object(Bucket="public", Key="new", Body=b"x"),
    "delete": lambda s3: s3.delete_object(Bucket="scratch", Key="bob/secret"),
    "delete with dots": lambda s3: s3.delete_object(Bucket="scratch", Key="alice/../bob/secret"),
    "delete among many": delete_many,
    "delete where I only read": lambda s3: s3.delete_object(Bucket="teams", Key="team-a/shared"),
    "open an object": lambda s3: s3.put_object_acl(Bucket="scratch", Key="bob/secret", ACL="public-read"),
    "open the bucket": open_the_bucket,
    "delete the bucket": lambda s3: s3.delete_bucket(Bucket="scratch-2"),
    "make a bucket": lambda s3: s3.create_bucket(Bucket="mine"),
}


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_alice_gets_nothing_that_is_not_hers(store: Place, objects: VersityGW, name: str) -> None:
    alice = await store.boto(objects, "alice")
    answer: Any = None
    try:
        answer = await asyncio.to_thread(ATTEMPTS[name], alice)
        if isinstance(answer, dict) and "Body" in answer:
            answer = answer["Body"].read()
    except (ClientError, PermissionError) as refusal:
        assert any(word in code(refusal) for word in ("Denied", "403", "400", "404", "NoSuch", "Invalid")), (
            code(refusal)
        )
        assert SECRET.decode() not in str(refusal)
    else:
        # Some are answered, with what is alice's; never with what is bob's.
        assert "two prefixes" in name, answer
        assert b"bob" not in answer.replace(b"prefix=bob", b"")
    root = objects.client()
    assert root.get_object(Bucket="scratch", Key="bob/secret")["Body"].read() == SECRET
    names = [
        one["Key"]
        for bucket in ("scratch", "teams", "public")
        for one in root.list_objects_v2(Bucket=bucket)["Contents"]
    ]
    assert not [one for one in names if one in ("alice/copy", "team-a/new", "new")]
    assert root.get_object(Bucket="teams", Key="team-a/shared")["Body"].read() == b"shared"
    assert len(root.list_buckets()["Buckets"]) == 4


async def test_what_is_hers_opens(store: Place, objects: VersityGW) -> None:
    alice = await store.boto(objects, "alice")
    alice.put_object(Bucket="scratch", Key="alice/new", Body=b"1")
    alice.copy_object(Bucket="scratch", Key="alice/new-2", CopySource="scratch/alice/new")
    names = [one["Key"] for one in alice.list_objects_v2(Bucket="scratch", Prefix="alice/")["Contents"]]
    assert {"alice/new", "alice/new-2", "alice/own"} <= set(names)
    alice.delete_objects(Bucket="scratch", Delete={"Objects": [{"Key": "alice/new"}, {"Key": "alice/new-2"}]})
    assert alice.get_object(Bucket="teams", Key="team-a/shared")["Body"].read() == b"shared"
    assert alice.get_object(Bucket="public", Key="open")["Body"].read() == b"open"
    with pytest.raises(ClientError, match="NoSuchKey"):
        # Not AccessDenied: sparse arrays look for chunks that are not there.
        alice.get_object(Bucket="scratch", Key="alice/none")


async def test_who_may_write_where_others_read(store: Place, objects: VersityGW) -> None:
    carol = await store.boto(objects, "carol")
    carol.put_object(Bucket="teams", Key="team-a/of-carol", Body=b"1")
    carol.delete_object(Bucket="teams", Key="team-a/of-carol")


async def test_leaving_a_group_is_another_policy_at_once(store: Place, objects: VersityGW) -> None:
    before = await store.boto(objects, "alice")
    assert before.get_object(Bucket="teams", Key="team-a/shared")["Body"].read() == b"shared"
    store.hub.people["alice"]["groups"] = []
    await store.users.ask("alice")
    after = await store.boto(objects, "alice")
    with pytest.raises(ClientError, match="AccessDenied"):
        after.get_object(Bucket="teams", Key="team-a/shared")


async def test_keys_are_one_users_for_all_that_they_run(store: Place, gateway: VersityGW) -> None:
    before = set(gateway.users())
    answers = await asyncio.gather(*(store.get(token=token_of("alice")) for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    assert len({keys["AccessKeyId"] for _, keys in answers}) == 1
    assert len(set(gateway.users()) - before) == 1


@pytest.mark.parametrize("name", ["*", "a/b", "${aws:username}", "?lice", "a.b+c@example.org", "é"])
async def test_whatever_a_name_is_it_opens_its_own_prefix_alone(
    store: Place, objects: VersityGW, name: str
) -> None:
    store.hub.add(name)
    slug = User(name).slug
    s3 = await store.boto(objects, name)
    s3.put_object(Bucket="scratch", Key=f"{slug}/own", Body=b"own")
    listed = s3.list_objects_v2(Bucket="scratch", Prefix=f"{slug}/")["Contents"]
    assert [one["Key"] for one in listed] == [f"{slug}/own"]
    s3.delete_object(Bucket="scratch", Key=f"{slug}/own")
    for key in ("bob/secret", "alice/own", "alice-2/secret"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket="scratch", Key=key)
