"""Keys for buckets: everybody has their own, in servers and on Dask's workers, and nobody has another's.

The store is VersityGW, which enforces the policies; the tokens are Kubernetes' own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.canaries import command_lines, pages, seen_in
from tests.google_cloud.stand_in import OWN
from tests.keys import (
    FOREIGN,
    KEY_SECONDS,
    SAY,
    START,
    STOP,
    TOKEN,
    TURNS,
    WRITE,
    ZARR,
    on_server,
    on_workers,
)
from tests.kubernetes.deployment import google, object_store
from tests.kubernetes.hub.clusters import no_pods_left
from tests.kubernetes.kubectl import Kubectl
from tests.kubernetes.research_hub import (
    DASK,
    GATEWAY,
    HUB,
    PASSWORD,
    STORE,
    Person,
    ResearchHub,
)
from tests.stack import call, until

PORT = 10102
ASK = """
import http.client, json, os, sys
path, headers = sys.argv[1], json.loads(sys.argv[2])
if headers.get("Authorization") == "own":
    headers["Authorization"] = open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]).read()
connection = http.client.HTTPConnection("127.0.0.1", 10102, timeout=10)
connection.putrequest("GET", path, skip_host="Host" in headers)
for name, value in headers.items():
    connection.putheader(name, value)
connection.endheaders()
answer = connection.getresponse()
print(json.dumps([answer.status, json.loads(answer.read() or b"null")]))
"""


def ask(person: Person, path: str, **headers: str) -> tuple[int, Any]:
    """Ask the forwarder in somebody's pod; an Authorization of "own" is the pod's token."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, answer = person.run_python(ASK, path, json.dumps(sent))
    return status, answer


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]


@contextmanager
def keys_that_live(hub: ResearchHub, seconds: int) -> Iterator[None]:
    """Have the credential service make keys that end so soon."""

    def rolled_out(change: str) -> None:
        hub.kubectl("set", "env", "deployment/credentials", "-n", HUB, change)
        hub.kubectl.wait_for_rollout("credentials", namespace=HUB)

    rolled_out(f"SCALABLEHUB_KEY_SECONDS={seconds}")
    try:
        yield
    finally:
        rolled_out("SCALABLEHUB_KEY_SECONDS-")


@pytest.fixture(scope="module")
def gina(hub: ResearchHub) -> Iterator[Person]:
    """Gina, who has a bucket of Google's too, with a small server."""
    person = hub.sign_in("gina")
    person.start_server({"size": "small"})
    yield person
    person.stop_server()


@pytest.mark.parametrize(
    ("name", "buckets"),
    [("alice", {"scratch": "write", "shared": "read"}), ("bob", {"scratch": "write", "shared": "read"})],
)
def test_the_service_knows_whose_pod_asks(
    name: str, buckets: dict[str, str], request: pytest.FixtureRequest
) -> None:
    person: Person = request.getfixturevalue(name)
    status, said = ask(person, "/whoami", Authorization="own")
    assert (status, said["user"], said["server"], said["cluster"]) == (200, name, "", "")
    assert {bucket["name"]: bucket["access"] for bucket in said["buckets"]} == buckets


def test_zarr_of_both_versions_through_s3fs_and_obstore(alice: Person) -> None:
    assert alice.run_python(SAY + ZARR) == [True] * 4


def test_what_is_somebody_elses_stays_theirs(alice: Person, bob: Person) -> None:
    alice.run_python(SAY + WRITE)
    assert bob.run_python(SAY + FOREIGN) == ["AccessDenied"] * 7


def test_work_goes_on_across_the_ends_of_keys(gina: Person, hub: ResearchHub) -> None:
    """On a server and on a Dask worker at once, with every client: nothing pauses over two ends."""
    gina.run_python(SAY + START)
    programs = [SAY + make(google.endpoint(STORE)) for make in (on_server, on_workers)]
    try:
        with keys_that_live(hub, KEY_SECONDS), ThreadPoolExecutor() as at_once:
            running = [at_once.submit(gina.run_python, program) for program in programs]
            server, found = (each.result() for each in running)
    finally:
        gina.run_python(SAY + STOP)
        no_pods_left(hub)
    for clients in (server, found["clients"]):
        assert {client: turns for client, (turns, _) in clients.items() if turns < TURNS[client]} == {}
        assert clients["boto3"][1] >= 3, "keys that were seen"
    assert found["zarr"] == [True] * 4
    cluster = found["cluster"].split(".")[-1]
    for part in ("worker", "scheduler"):
        said = found[part]
        assert (said["user"], said["server"], said["cluster"]) == ("gina", "", cluster), part


@pytest.mark.parametrize(
    ("path", "headers", "refusal"),
    [
        ("/aws/credentials", {}, (401, "token-missing")),
        ("/aws/credentials", {"Authorization": "x.y.z"}, (401, "token-refused")),
        ("/aws/credentials", {"Authorization": "own", "Host": "evil.example:10102"}, (403, "host-refused")),
        ("/aws/credentials", {"Authorization": "own", "Host": "credentials.hub:8080"}, (403, "host-refused")),
        ("/aws/credentials", {"Authorization": "own", "Origin": "https://x.org"}, (403, "not-a-client")),
        ("/aws/credentials", {"Authorization": "own", "X_Forwarded_For": "1.2.3.4"}, (403, "not-a-client")),
        ("/aws/credentials", {"Authorization": "own", "Sec_Fetch_Mode": "cors"}, (403, "not-a-client")),
        ("/aws/credentials?user=bob", {"Authorization": "own"}, (404, "not-found")),
        ("/health", {"Authorization": "own"}, (404, "not-found")),
        ("/../whoami", {"Authorization": "own"}, (404, "not-found")),
    ],
    ids=str,
)
def test_the_forwarder_refuses_what_no_client_sends(
    alice: Person, path: str, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    assert code(ask(alice, path, **headers)) == refusal


def test_the_servers_own_proxy_leads_nobody_to_the_keys(alice: Person) -> None:
    url = f"{alice.server_url()}proxy/{PORT}/aws/credentials"
    status, answer = call("GET", url, Authorization=f"token {alice.token}")
    assert (status, answer["code"]) in [(403, "not-a-client"), (403, "host-refused")]
    _, answer = call("GET", f"{url}?token={alice.token}", Authorization=alice.run_python(SAY + TOKEN))
    assert "SecretAccessKey" not in str(answer)


def test_a_token_for_somebody_else_or_of_no_pod_is_refused(alice: Person, hub: ResearchHub) -> None:
    pod = alice.pod()["metadata"]

    def made(audience: str, *bound: str) -> str:
        return hub.kubectl("create", "token", "default", "-n", HUB, f"--audience={audience}", *bound).strip()

    to_pod = (
        "--bound-object-kind=Pod",
        f"--bound-object-name={pod['name']}",
        f"--bound-object-uid={pod['uid']}",
    )
    tokens = {
        "another audience": made("sts.amazonaws.com", *to_pod),
        "Kubernetes' own audience": made("https://kubernetes.default.svc", *to_pod),
        "no pod": made("scalablehub-credentials"),
    }
    good = made("scalablehub-credentials", *to_pod)
    assert ask(alice, "/whoami", Authorization=good)[1]["user"] == "alice"
    head, payload, signature = good.split(".")
    tokens |= {
        "no algorithm": f"eyJhbGciOiJub25lIn0.{payload}.",
        "another signature": f"{head}.{payload}.{signature[::-1]}",
    }
    found = {why: code(ask(alice, "/aws/credentials", Authorization=token)) for why, token in tokens.items()}
    assert found == dict.fromkeys(tokens, (401, "token-refused"))


def test_the_token_of_a_pod_that_is_not_the_hubs_opens_nothing(alice: Person, hub: ResearchHub) -> None:
    """The proxy's pod has no owner, whatever token it is given."""
    (pod,) = (one["metadata"] for one in hub.kubectl.list("pods", HUB, "component=proxy"))
    token = hub.kubectl(
        *("create", "token", "default", "-n", HUB, "--audience=scalablehub-credentials"),
        *(
            "--bound-object-kind=Pod",
            f"--bound-object-name={pod['name']}",
            f"--bound-object-uid={pod['uid']}",
        ),
    ).strip()
    assert code(ask(alice, "/aws/credentials", Authorization=token)) == (401, "server-stopped")


def test_the_token_ends_with_its_server(alice: Person, hub: ResearchHub) -> None:
    carol = hub.sign_in("carol")
    carol.start_server({"size": "small"})
    token = carol.run_python(SAY + TOKEN)
    assert ask(alice, "/whoami", Authorization=token)[1]["user"] == "carol"
    carol.stop_server()
    until(
        lambda: ask(alice, "/aws/credentials", Authorization=token)[0] == 401,
        "the token of a stopped server is refused",
        10,
    )


@pytest.fixture
def secrets(alice: Person, hub: ResearchHub) -> set[str]:
    """What only the service, or only Alice's own processes, may know."""
    status, keys = ask(alice, "/aws/credentials", Authorization="own")
    assert status == 200
    return {
        keys["SecretAccessKey"],
        alice.run_python(SAY + TOKEN),
        hub.credentials_token,
        object_store.SECRET_KEY,
        OWN,
        "canary-narrowed",
    }


def test_no_secret_is_in_any_pod_object_or_log(
    alice: Person, secrets: set[str], hub: ResearchHub, kubectl: Kubectl
) -> None:
    seen = []
    for namespace in (HUB, DASK, GATEWAY):
        seen.append(kubectl("get", "pods,configmaps,daskclusters,events", "-n", namespace, "-o", "json"))
    for deployment in ("hub", "proxy", "credentials"):
        seen.append(kubectl("logs", f"deployment/{deployment}", "-n", HUB, "--tail=-1"))
    seen.append(kubectl("logs", alice.pod()["metadata"]["name"], "-n", HUB, "--all-containers", "--tail=-1"))
    seen.append(kubectl("logs", "deployment/store", "-n", STORE, "--all-containers", "--tail=-1"))
    text = "\n".join(seen)
    assert '"user": "alice"' in text, "the audit log is there"
    assert seen_in(text, secrets) == []


def test_no_secret_is_on_any_page_or_in_metrics(hub: ResearchHub, secrets: set[str]) -> None:
    seen = pages(hub.url, PASSWORD, PASSWORD + PASSWORD)
    assert "scratch" in seen
    assert seen_in(seen, secrets) == []


def test_no_secret_is_in_a_list_of_processes(secrets: set[str]) -> None:
    """The node is this machine, so every pod's processes are among its own."""
    seen = command_lines()
    assert "jupyterhub" in seen
    assert seen_in(seen, secrets) == []
