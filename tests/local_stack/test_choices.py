"""What no path to a start may give: REST, forms, links and saved options, against a hub that runs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import OpenerDirector

import pytest
import yaml

from tests.stack import Client, Stack, running_stack, signed_in

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(300)]

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml").read_text())
DESCRIPTION: dict[str, Any] = {
    "nodes": {
        "machine": {"instance": "this-machine", "reserved": {"memory": "1G"}, "display_name": "Standard"},
        "gpu": {
            **{"cores": 8, "memory": "64G", "gpus": 1, "price": 2.5, "ladder": [1], "reserved": {}},
            **{"allowed_groups": ["gpu"], "locked": "Ask the GPU team."},
        },
        "secret": {"cores": 8, "memory": "64G", "ladder": [1], "allowed_groups": ["staff"]},
    },
    "sizes": {},
    "own_image": {"patterns": [r"quay\.io/pangeo/.*:[0-9.]+"]},
    "images": DEFAULT["ScalableHub"]["images"],
    "interfaces": {
        "lab": {"order": 1, "url": "/lab"},
        "tree": {"order": 2, "url": "/tree", "allowed_groups": ["research"]},
    },
    "caps": {"everybody": {"servers": 1}},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("choices")
    file = folder / "hub.yaml"
    users = {"alice": {"groups": ["research"]}, "bob": {}, "admin": {"admin": True}}
    file.write_text(yaml.safe_dump({"ScalableHub": DESCRIPTION, "LocalHub": {"users": users}}))
    with running_stack(folder / "data", "--config", str(file)) as stack:
        yield stack


@pytest.fixture(scope="module")
def bob(hub: Stack) -> Client:
    return hub.sign_in("bob")


OPTIONS: list[tuple[Any, int, str]] = [
    # What stock KubeSpawner 7.1 lets through, in the words that it knows.
    ({"profile": "gpu"}, 400, "'profile' is not a choice of this hub"),
    ({"profile": ""}, 400, "'profile' is not a choice of this hub"),
    ({"kubespawner_override": {"image": "evil/x:1"}}, 400, "'kubespawner_override' is not a choice"),
    ({"image--unlisted-choice": "evil/x:1"}, 400, "'image--unlisted-choice' is not a choice"),
    ({"size": "machine-1", "mem_limit": "64G"}, 400, "'mem_limit' is not a choice"),
    # The same in our words.
    ({"size": "gpu-1"}, 403, "cannot be chosen: Ask the GPU team."),
    ({"size": "secret-1"}, 400, "There is no size 'secret-1' for you"),
    ({"size": "Machine-1"}, 400, "There is no size 'Machine-1' for you"),
    ({"size": "machine-1\n"}, 400, r"There is no size 'machine-1\n' for you"),
    ({"size": ["machine-1"]}, 400, "The size must be a name"),
    ({"size": {"$ne": 1}}, 400, "The size must be a name"),
    ({"size": "{namespace.__class__.__mro__}"}, 400, "There is no size '{namespace"),
    ({"size": "x" * 10_000}, 400, "There is no size 'xxx"),
    ({"interface": "tree"}, 400, "There is no interface 'tree' for you"),
    ({"image": "own:quay.io/pangeo/base:2026.1"}, 403, "Container images need a hub in Kubernetes."),
    ({"image": "own:evil.io/x:1"}, 403, "Container images need a hub in Kubernetes."),
    ({"image": "../../etc"}, 400, "There is no image '../../etc' for you"),
]


@pytest.mark.parametrize("server", ["", "named"])
@pytest.mark.parametrize(("options", "status", "words"), OPTIONS, ids=lambda value: str(value)[:40])
def test_rest_starts_only_what_the_page_offers(
    bob: Client, options: Any, status: int, words: str, server: str
) -> None:
    where = f"hub/api/users/bob/server{f's/{server}' if server else ''}"
    got, answer = bob.call("POST", where, options)
    assert got == status, answer
    assert words in answer["message"]
    assert "Traceback" not in json.dumps(answer)
    assert bob.call("GET", "hub/api/users/bob")[1]["servers"] == {}


@pytest.fixture(scope="module")
def browser(hub: Stack) -> OpenerDirector:
    return signed_in(hub.url, "bob", hub.secrets["user_password"])


@pytest.fixture(scope="module")
def admins_browser(hub: Stack) -> OpenerDirector:
    return signed_in(hub.url, "admin", hub.secrets["admin_password"])


def submit(hub: Stack, browser: OpenerDirector, fields: list[tuple[str, str]]) -> tuple[int, str]:
    with browser.open(f"{hub.url}hub/spawn") as page:
        action = re.search(r'<form[^>]*action="([^"]*_xsrf=[^"]*)"', page.read().decode())
    assert action
    try:
        where = urljoin(hub.url, html.unescape(action[1]))
        with browser.open(where, urlencode(fields).encode()) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ([("size", "gpu-1")], (403, "Ask the GPU team.")),
        ([("size", "secret-1")], (400, "There is no size &#39;secret-1&#39; for you")),
        ([("size", "machine-1"), ("size", "gpu-1")], (400, "The size must be a name")),
        ([("profile", "gpu")], (400, "is not a choice of this hub")),
        ([("size", "<script>alert(1)</script>")], (400, "&lt;script&gt;")),
        ([("image", "own"), ("own_image", "evil.io/x:1")], (403, "need a hub in Kubernetes")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_form_starts_only_what_the_page_offers(
    hub: Stack, browser: OpenerDirector, bob: Client, fields: list[tuple[str, str]], refused: tuple[int, str]
) -> None:
    status, page = submit(hub, browser, fields)
    assert (status, refused[1] in page) == (refused[0], True), page
    assert "Traceback" not in page
    assert "<script>alert(1)" not in page
    assert bob.call("GET", "hub/api/users/bob")[1]["servers"] == {}


def test_nothing_that_is_hidden_is_in_the_page(hub: Stack, browser: OpenerDirector) -> None:
    with browser.open(f"{hub.url}hub/spawn") as answer:
        page = answer.read().decode()
    assert "gpu-1" in page  # locked
    assert "secret" not in page
    assert "/tree" not in page


def test_saved_options_that_are_no_longer_allowed_start_nothing_of_it(hub: Stack, bob: Client) -> None:
    admin = hub.sign_in("admin")
    admin.call("POST", "hub/api/groups/gpu")
    admin.call("POST", "hub/api/groups/gpu/users", {"users": ["bob"]})
    bob.start_server({"size": "gpu-1"}, server="other")
    bob.stop_server("other")
    admin.call("DELETE", "hub/api/groups/gpu/users", {"users": ["bob"]})
    status, answer = bob.call("POST", "hub/api/users/bob/servers/other")
    assert (status, answer["message"]) == (403, "gpu cannot be chosen: Ask the GPU team.")


def test_a_second_server_is_more_than_the_cap(hub: Stack) -> None:
    alice = hub.sign_in("alice")
    alice.start_server({})
    try:
        status, answer = alice.call("POST", "hub/api/users/alice/servers/second", {})
        assert status == 403
        assert answer["message"] == (
            "1 server is the most that you may have at a time; in use already: 1 server. "
            "Stop a server first, or choose a smaller size."
        )
    finally:
        alice.stop_server()
    alice.start_server({}, server="second")
    alice.stop_server("second")


def open_page(browser: OpenerDirector, url: str) -> tuple[int, str]:
    try:
        with browser.open(url) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_only_admins_see_as_others(hub: Stack, browser: OpenerDirector) -> None:
    status, page = open_page(browser, f"{hub.url}hub/scalablehub/see-as?user=alice")
    assert status in (403, 404)
    assert "ScalableHub." not in page
    assert "See as" not in open_page(browser, f"{hub.url}hub/home")[1]


def test_an_admin_sees_what_somebody_may_choose_and_why(hub: Stack, admins_browser: OpenerDirector) -> None:
    status, page = open_page(admins_browser, f"{hub.url}hub/scalablehub/see-as?user=bob&group=staff")
    assert status == 200
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "bob , in staff (of these, staff only here)" in text
    assert "size secret-1 yes 7.5 cores, 57.6 GB for members of staff" in text
    assert "size gpu-1 locked 8 cores, 64 GB, 1 GPU, $2.50 an hour Ask the GPU team." in text
    assert "cap servers at most 1 server for you ScalableHub.caps.everybody.servers" in text
    assert "See as" in open_page(admins_browser, f"{hub.url}hub/home")[1]


def test_a_name_in_the_admins_page_is_text(hub: Stack, admins_browser: OpenerDirector) -> None:
    _, page = open_page(admins_browser, f"{hub.url}hub/scalablehub/see-as?user=%3Cscript%3Ex%3C/script%3E")
    assert "<script>x" not in page
