"""Google: the boundary, the exchange, the metadata server, and clients as people have them.

There is no account to try it on. The store, its gate and the STS stand in for Google's; the clients are real.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import RefreshError

from scalablehub.decisions import User, decide
from scalablehub.description import Description
from scalablehub.errors import PublicError
from scalablehub.services.credentials.app import Service
from scalablehub.services.credentials.backends import Wanted
from scalablehub.services.credentials.backends.google import Google
from scalablehub.services.credentials.stores import google_desk
from scalablehub.services.credentials.vending import Limits
from scalablehub.storage.boundary import boundary_of, boundary_text
from scalablehub.storage.credentials import GOOGLE_CONFLICTING, google_environment
from tests.clients import GOOGLE, script
from tests.descriptions import described
from tests.google_cloud.fake import FakeGoogle
from tests.google_cloud.stand_in import OWN
from tests.services.credentials.conftest import Place, running_place, short_lived, token_of

PROJECT = "research-hub"
FLAVOR = {"Metadata-Flavor": "Google"}
TOKEN = "computeMetadata/v1/instance/service-accounts/default/token"
BUCKETS: dict[str, Any] = {
    "scratch": {
        "url": "gs://data/scratch",
        "access": "write",
        "per_user": True,
        "variable": "SCRATCH_BUCKET",
    },
    "team-a": {"url": "gs://data/team-a", "allowed_groups": ["team-a"]},
    "public": {"url": "gs://public"},
}


def google_buckets(**buckets: Any) -> Description:
    return described(buckets=buckets or BUCKETS, credentials={"google": {"project": PROJECT}})


def rules(name: str = "alice", *groups: str, **buckets: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = boundary_of(
        decide(google_buckets(**buckets), User(name, frozenset(groups)))
    )["accessBoundary"]["accessBoundaryRules"]
    return found


# -- the boundary


def test_a_prefix_is_opened_for_objects_and_for_listing_and_no_further() -> None:
    (rule,) = rules(scratch=BUCKETS["scratch"])
    assert rule == {
        "availableResource": "//storage.googleapis.com/projects/_/buckets/data",
        "availablePermissions": ["inRole:roles/storage.objectUser"],
        "availabilityCondition": {
            "expression": "resource.name.startsWith('projects/_/buckets/data/objects/scratch/alice/') || "
            "api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('scratch/alice/')"
        },
    }


def test_a_whole_bucket_has_no_condition() -> None:
    (rule,) = rules(public=BUCKETS["public"])
    assert rule == {
        "availableResource": "//storage.googleapis.com/projects/_/buckets/public",
        "availablePermissions": ["inRole:roles/storage.objectViewer"],
    }


def test_reading_and_writing_in_one_bucket_are_two_rules() -> None:
    found = {
        (rule["availableResource"].rpartition("/")[2], rule["availablePermissions"][0].rpartition(".")[2])
        for rule in rules("alice", "team-a")
    }
    assert found == {("data", "objectUser"), ("data", "objectViewer"), ("public", "objectViewer")}


def test_who_may_open_nothing_gets_no_boundary_at_all() -> None:
    with pytest.raises(PublicError) as refused:
        rules(vault={"url": "gs://vault", "allowed_groups": ["staff"]})
    assert (refused.value.status, refused.value.code) == (403, "no-bucket")


def test_more_rules_than_google_takes_are_refused_as_a_whole() -> None:
    buckets = {f"b{number}": {"url": f"gs://bucket-{number}"} for number in range(11)}
    with pytest.raises(PublicError, match="need 11 rules, and Google takes 10"):
        boundary_text(decide(google_buckets(**buckets), User("alice")))


@pytest.mark.parametrize("name", ["jane.doe@ex.org", "søren'; true || '", "a/../b", "x' || 'y", "..", "A B"])
def test_no_name_of_a_user_is_more_than_text(name: str) -> None:
    (rule,) = rules(name, scratch=BUCKETS["scratch"])
    expression = rule["availabilityCondition"]["expression"]
    assert expression.count("'") == 8
    assert expression.count("||") == 1


# -- the exchange


class Account:
    """The service's own credentials, as google-auth has them."""

    def __init__(self, seconds: int = 3600) -> None:
        self.token: str | None = None
        self.expiry: Any = None
        self.seconds, self.refreshed, self.fails = seconds, 0, False

    def refresh(self, _request: Any) -> None:
        if self.fails:
            raise RefreshError("canary-of-google")
        self.refreshed += 1
        self.token = OWN
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.seconds)
        self.expiry = ends.replace(tzinfo=None)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGoogle]:
    made = FakeGoogle()
    await made.start()
    yield made
    await made.stop()


WANTED = Wanted("alice", '{"accessBoundary":{"accessBoundaryRules":[]}}', 2**40, 3600)


async def test_the_exchange_is_what_google_documents(fake: FakeGoogle) -> None:
    google = Google(Account(), fake.sts)
    keys = await google.issue(WANTED)
    (form,) = fake.exchanges
    options = form.pop("options")
    kind = "urn:ietf:params:oauth:token-type:access_token"
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": kind,
        "subject_token": OWN,
        "subject_token_type": kind,
    }
    assert "accessBoundaryRules" in options
    assert keys.token in fake.issued
    await google.close()


@pytest.mark.parametrize(
    ("own", "given", "lives"), [(3600, 3600, 3600), (2000, 3600, 2000), (3600, 900, 900)]
)
async def test_a_token_ends_no_later_than_what_it_was_made_of(
    fake: FakeGoogle, own: int, given: int, lives: int
) -> None:
    import time

    fake.seconds = given
    google = Google(Account(own), fake.sts)
    keys = await google.issue(WANTED)
    assert keys.expires - time.time() == pytest.approx(lives, abs=5)
    await google.close()


async def test_the_own_token_is_renewed_when_half_an_hour_is_left(fake: FakeGoogle) -> None:
    fresh, old = Account(3600), Account(1700)
    for account in (fresh, old):
        google = Google(account, fake.sts)
        await google.issue(WANTED)
        await google.issue(WANTED)
        await google.close()
    assert (fresh.refreshed, old.refreshed) == (1, 2)


@pytest.mark.parametrize("what", ["refused", "away", "no account"])
async def test_a_failure_is_a_sentence_without_googles_words(
    fake: FakeGoogle, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    account = Account()
    account.fails = what == "no account"
    fake.status = 400 if what == "refused" else 200
    google = Google(account, "http://127.0.0.1:9/" if what == "away" else fake.sts)
    with pytest.raises(PublicError) as refused:
        await google.issue(WANTED)
    assert refused.value.status == 503
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("scalablehub")]
    assert "canary" not in refused.value.message + "".join(ours)
    await google.close()


# -- the metadata server


class GooglePlace(Place):
    """The service with Google's tokens alone."""

    fake: FakeGoogle

    async def start_google(self, fake: FakeGoogle, limits: Limits) -> None:
        self.fake = fake
        await self.start_identity(google_buckets())
        self.google = google_desk(Google(Account(), fake.sts), limits)
        self.service = Service(
            self.identity,
            lambda: self.description,
            google=(self.google, PROJECT),
            recheck_seconds=limits.recheck_seconds,
        )
        await self.service.start()

    def environment(self, user: str) -> dict[str, str]:
        base = super().environment(user)
        host = f"127.0.0.1:{self.service.port}/gce/{token_of(user)}"
        return {name: base[name] for name in ("PATH", "HOME", "PYTHONPATH")} | {
            "SCRATCH_BUCKET": f"gs://data/scratch/{user}",
            **google_environment(host, PROJECT),
        }

    async def ask(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(f"{self.url}/{path}", headers=sent) as answer:
            return answer.status, await answer.text(), dict(answer.headers)


@pytest.fixture
async def google_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[GooglePlace]:
    async with running_place(tmp_path, caplog, GooglePlace) as made:
        yield made


@pytest.fixture
async def google(google_place: GooglePlace, fake: FakeGoogle) -> GooglePlace:
    await google_place.start_google(fake, Limits())
    return google_place


async def test_a_token_is_given_to_the_bearer_of_the_address_or_of_the_header(google: GooglePlace) -> None:
    in_address = await google.ask(f"gce/{token_of('alice')}/{TOKEN}", **FLAVOR)
    in_header = await google.ask(f"gce/{TOKEN}", Authorization=token_of("alice"), **FLAVOR)
    for status, text, headers in (in_address, in_header):
        assert (status, headers["Metadata-Flavor"]) == (200, "Google")
        assert json.loads(text)["access_token"] in google.fake.issued
        assert json.loads(text)["expires_in"] > 3000
    assert json.loads(in_address[1])["access_token"] == json.loads(in_header[1])["access_token"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("", ""),
        ("/", ""),
        ("/computeMetadata/v1/", "instance/\nproject/\n"),
        ("/computeMetadata/v1/project/project-id", PROJECT),
        ("/computeMetadata/v1/universe/universe-domain", "googleapis.com"),
        ("/computeMetadata/v1/instance/service-accounts/", "default/\n"),
        (
            "/computeMetadata/v1/instance/service-accounts/default/email",
            "research-hub@research-hub.iam.gserviceaccount.com",
        ),
    ],
)
async def test_facts_are_told_as_a_machine_of_google_tells_them(
    google: GooglePlace, path: str, answer: str
) -> None:
    status, text, headers = await google.ask(f"gce/{token_of('alice')}{path}", **FLAVOR)
    assert (status, text, headers["Metadata-Flavor"]) == (200, answer, "Google")


async def test_whoami_tells_of_googles_buckets(google: GooglePlace) -> None:
    _, said = await google.get("/whoami", token_of("alice"))
    assert {bucket["name"]: bucket["access"] for bucket in said["buckets"]} == {
        "scratch": "write",
        "team-a": "read",
        "public": "read",
    }


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        (f"gce/{{alice}}/{TOKEN}", {}, 403, "flavor-missing"),
        (f"gce/{{alice}}/{TOKEN}", {"Metadata-Flavor": "google"}, 403, "flavor-missing"),
        (f"gce/{{alice}}/{TOKEN}", FLAVOR | {"X-Forwarded-For": "1.2.3.4"}, 403, "not-a-client"),
        (f"gce/{{alice}}/{TOKEN}", FLAVOR | {"Origin": "https://x.org"}, 403, "not-a-client"),
        (f"gce/{{alice}}/{TOKEN}", FLAVOR | {"Host": "metadata.google.internal"}, 403, "host-refused"),
        (f"gce/{TOKEN}", FLAVOR, 401, "token-missing"),
        (f"gce/{{alice}}x/{TOKEN}", FLAVOR, 401, "token-refused"),
        (f"gce/canary-no-token/{TOKEN}", FLAVOR, 401, "token-refused"),
        (
            "gce/{alice}/computeMetadata/v1/instance/service-accounts/default/identity",
            FLAVOR,
            404,
            "not-found",
        ),
        ("gce/{alice}/computeMetadata/v1/instance/attributes/kube-env", FLAVOR, 404, "not-found"),
        ("gce/{alice}/aws/credentials", FLAVOR, 404, "not-found"),
        ("aws/credentials", {"Authorization": "{alice}"}, 404, "not-found"),
    ],
    ids=str,
)
async def test_what_no_client_of_this_machine_asks_is_refused(
    google: GooglePlace, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    alice = token_of("alice")
    sent = {name: value.replace("{alice}", alice) for name, value in headers.items()}
    got, text, _ = await google.ask(path.replace("{alice}", alice), **sent)
    assert (got, json.loads(text)["code"]) == (status, code)
    assert google.fake.exchanges == []


async def test_no_address_with_a_token_is_logged(
    google: GooglePlace, caplog: pytest.LogCaptureFixture
) -> None:
    alice = token_of("alice")
    await google.ask(f"gce/{alice}/{TOKEN}")
    await google.ask(f"gce/{alice}/nothing", **FLAVOR)
    await google.ask(f"gce/{alice}/{TOKEN}", **FLAVOR)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("scalablehub")]
    assert any("flavor-missing" in line for line in ours)
    assert not [line for line in ours if alice in line or "canary-narrowed" in line]


# -- the clients

SHORT = short_lived(8)


@pytest.mark.once
async def test_every_client_works_across_two_ends_of_its_token(
    google_place: GooglePlace, fake: FakeGoogle
) -> None:
    """Tokens live 8 s; the gate refuses one that has ended, so who goes on has asked for another."""
    fake.seconds = 8
    await google_place.start_google(fake, SHORT)
    users = [f"user-of-{name}" for name in GOOGLE]
    for user in users:
        google_place.hub.add(user)
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(google_place.run(user, script(name, client, 18, fake.url)))
            for user, (name, client) in zip(users, GOOGLE.items(), strict=True)
        ]
    for client, done in zip(GOOGLE, running, strict=True):
        assert int(done.result().rsplit("turns ", 1)[1]) > 5, client
    for user in users:
        used = [one.used for one in fake.issued.values() if f"scratch/{user}/" in json.dumps(one.boundary)]
        assert len([count for count in used if count]) >= 3, (user, used)


@pytest.mark.parametrize("client", GOOGLE)
async def test_a_token_opens_nothing_of_another(google: GooglePlace, client: str) -> None:
    foreign = script(client, GOOGLE[client], 1, google.fake.url).replace('f"{prefix}/', 'f"scratch/bob/')
    with pytest.raises(AssertionError, match=r"403|Forbidden|beyond"):
        await google.run("alice", foreign)


# gcsfs then goes on without a token, and takes half a minute to give up.
@pytest.mark.parametrize("client", sorted(GOOGLE.keys() - {"gcsfs"}))
async def test_no_client_has_a_token_from_anywhere_else(google: GooglePlace, client: str) -> None:
    google.hub.people["alice"]["servers"] = {}
    with pytest.raises(AssertionError, match=r"Error|401|403|credentials"):
        await google.run("alice", script(client, GOOGLE[client], 1, google.fake.url))


def test_no_variable_of_ours_is_among_those_that_go_before_it() -> None:
    assert not set(google_environment("127.0.0.1:1/gce", PROJECT)) & set(GOOGLE_CONFLICTING)
