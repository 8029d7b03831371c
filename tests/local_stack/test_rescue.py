"""A user whose home is full gets their server, cleans up, and has everything as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.homes import fill, mounted
from tests.local_stack.conftest import RunHub
from tests.stack import Client, Stack

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(600)]

NAME = "alice"


@pytest.fixture(scope="module")
def rescued(run_hub: RunHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A hub of its own, where Alice's home is a small disk with a folder, and full."""
    data_dir = tmp_path_factory.mktemp("rescued")
    with run_hub(data_dir) as stack, mounted(home_of(stack)) as home:
        (home / "data").mkdir()
        (home / "data" / "part.bin").write_bytes(bytes(700_000))
        (home / "notes.txt").write_text("of mine")
        fill(home)
        client = stack.sign_in(NAME)
        client.start_server({})
        yield stack
        if client.find_server():
            client.stop_server()


@pytest.fixture
def alice(rescued: Stack) -> Client:
    return rescued.sign_in(NAME)


def home_of(stack: Stack) -> Path:
    return stack.data_dir / "homes" / NAME


def ask(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask Jupyter's API of the server."""
    return client.call(method, f"user/{NAME}/{path}", body)


def test_the_server_of_a_full_home_starts_in_rescue_mode(alice: Client) -> None:
    environment = alice.environment()
    assert environment["SCALABLEHUB_RESCUE_WHY"] == "full"
    assert environment["HOME"] == str(home_of(alice.stack))


def test_its_log_says_so(rescued: Stack) -> None:
    log = (rescued.data_dir / "logs" / "servers" / f"{NAME}.log").read_text()
    assert f"scalablehub: rescue mode: {home_of(rescued)} does not take files (full)" in log
    assert "Traceback" not in log


def test_the_hubs_log_does_not_have_the_script(rescued: Stack) -> None:
    assert "labextensions" not in (rescued.data_dir / "logs" / "hub.log").read_text()


def test_the_users_files_are_all_there(alice: Client) -> None:
    status, listed = ask(alice, "GET", "api/contents")
    assert (status, {file["name"] for file in listed["content"]}) == (
        200,
        {"data", "notes.txt", "results.bin"},
    )
    assert ask(alice, "GET", "api/contents/notes.txt")[1]["content"] == "of mine"


@pytest.mark.parametrize("what", ["kernels", "terminals"])
def test_kernels_and_terminals_start(alice: Client, what: str) -> None:
    status, made = ask(alice, "POST", f"api/{what}", {})
    assert status in (200, 201), made
    assert ask(alice, "DELETE", f"api/{what}/{made.get('id') or made.get('name')}")[0] == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("lab/api/settings/@jupyterlab/apputils-extension:themes", {"raw": '{"theme": "JupyterLab Dark"}'}),
        ("lab/api/workspaces/of-mine", {"data": {}, "metadata": {"id": "of-mine"}}),
    ],
    ids=["settings", "workspaces"],
)
def test_what_the_lab_writes_by_itself_is_taken(alice: Client, path: str, body: dict[str, Any]) -> None:
    assert ask(alice, "PUT", path, body) == (204, "")


@pytest.mark.parametrize("page", ["lab", "tree"])
def test_both_interfaces_load_the_banner(alice: Client, page: str) -> None:
    status, text = ask(alice, "GET", page)
    assert status == 200
    assert '"name": "scalablehub-rescue"' in text
    banner = ask(alice, "GET", "lab/extensions/scalablehub-rescue/static/rescue.js")
    assert banner[0] == 200
    assert banner[1].startswith("const why = 'full';")


def test_what_cannot_be_saved_is_said_and_the_server_goes_on(alice: Client) -> None:
    body = {"type": "file", "format": "text", "content": "x" * 100_000}
    assert ask(alice, "PUT", "api/contents/new.txt", body)[0] == 500
    assert ask(alice, "GET", "api/status")[0] == 200
    (home_of(alice.stack) / "new.txt").unlink(missing_ok=True)
    fill(home_of(alice.stack), "more.bin")


def test_once_cleaned_up_a_restart_is_as_before(alice: Client) -> None:
    home = home_of(alice.stack)
    assert ask(alice, "DELETE", "api/contents/data")[0] == 204
    assert ask(alice, "DELETE", "api/contents/results.bin")[0] == 204
    assert not (home / ".local" / "share" / "Trash").exists()
    space = Path(alice.environment()["JUPYTER_RUNTIME_DIR"]).parent
    alice.stop_server()
    alice.start_server({})
    assert {
        name for name in alice.environment() if "RESCUE" in name or name == "JUPYTER_RUNTIME_DIR"
    } == set()
    assert "scalablehub-rescue" not in ask(alice, "GET", "lab")[1]
    assert (home / ".local" / "share" / "jupyter" / "runtime").is_dir()
    assert (home / "notes.txt").read_text() == "of mine"
    assert not space.exists()
