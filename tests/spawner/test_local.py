from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from tornado import web

from scalablehub.dask.local import ScalableLocalBackend
from scalablehub.spawner.choosing import ChoosingSpawner
from scalablehub.spawner.local import ScalableLocalSpawner, size_environment
from tests.spawner.stubs import around, config


def make(folder: Path, name: str = "alice", *, server: str = "", options: Any = None) -> ScalableLocalSpawner:
    c = config()
    c.ScalableLocalSpawner.homes = str(folder / "homes")
    c.ScalableLocalSpawner.logs = str(folder)
    return ScalableLocalSpawner(config=c, **around(name, options=options, server=server))


@pytest.mark.parametrize(
    ("user", "server", "slug"),
    [
        ("alice", "", "alice"),
        ("alice", "two", "alice:two"),
        ("alice:two", "", "alice%3Atwo"),
        ("alice--two", "", "alice--two"),
        ("../root", "../x", "..%2Froot:..%2Fx"),
    ],
)
def test_each_server_has_a_name_of_its_own_for_its_files(
    tmp_path: Path, user: str, server: str, slug: str
) -> None:
    assert make(tmp_path, user, server=server).slug == slug


@pytest.mark.parametrize("user", ["..", ".", "../../etc", "/etc"])
def test_a_home_is_always_below_the_homes(tmp_path: Path, user: str) -> None:
    assert make(tmp_path, user).home.resolve().parent == tmp_path / "homes"


@pytest.mark.parametrize(
    "options", [{"size": "large"}, {"size": ["small"]}, {"interface": ["lab"]}, {"profile": "x"}], ids=str
)
async def test_a_start_with_options_that_are_not_the_users_is_refused(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(web.HTTPError):
        await make(tmp_path, options=options).start()
    assert not (tmp_path / "homes").exists()


@pytest.mark.parametrize(
    ("address", "starts"),
    [
        ("http://0.0.0.0:8000/", False),
        ("http://:8000/", False),
        ("https://hub.example.org/", False),
        ("http://127.0.0.1:8000/", True),
        ("http://[::1]:8000/hubs/", True),
    ],
)
async def test_no_server_starts_on_a_hub_that_its_command_line_put_beyond_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, starts: bool
) -> None:
    monkeypatch.setattr(JupyterHub, "initialized", lambda: True)
    monkeypatch.setattr(JupyterHub, "instance", lambda: SimpleNamespace(bind_url=address))
    # With these options it goes no further.
    with pytest.raises(web.HTTPError) as refusal:
        await make(tmp_path, options={"size": "huge"}).start()
    assert ("which others can reach" not in str(refusal.value)) is starts


@pytest.mark.parametrize("what", ["a file", "a folder"])
async def test_a_stop_removes_nothing_where_the_hub_has_no_folder_for_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "alice"
    if what == "a file":
        place.write_text("work")
    else:
        place.mkdir()
    await make(tmp_path).stop(now=True)
    assert place.exists()


async def test_a_stop_removes_the_servers_token(tmp_path: Path) -> None:
    spawner = make(tmp_path)
    spawner.tokens = str(tmp_path / "tokens")
    token = tmp_path / "tokens" / "alice"
    token.parent.mkdir()
    token.write_text("token")
    await spawner.stop(now=True)
    assert not token.exists()


@pytest.mark.parametrize(("size", "threads"), [("small", "1"), (None, "1")], ids=str)
def test_a_size_sets_the_threads_of_libraries(tmp_path: Path, size: str | None, threads: str) -> None:
    selection = make(tmp_path, options={"size": size}).select()
    environment = size_environment(selection)
    assert environment["CPU_LIMIT"] == "0.875"
    assert environment["MEM_LIMIT"] == str(15 * 2**28)
    assert {environment[name] for name in environment if name.endswith("_NUM_THREADS")} == {threads}


def test_a_server_runs_in_its_users_home_with_the_chosen_environment_first(tmp_path: Path) -> None:
    spawner = make(tmp_path, options={"image": "geo"})
    spawner.select()
    environment = spawner.user_env({"PATH": "/usr/bin"})
    assert environment["HOME"] == str(tmp_path / "homes" / "alice")
    assert environment["PATH"] == "/opt/geo/bin:/usr/bin"


@pytest.mark.parametrize("ours", [ChoosingSpawner, ScalableLocalSpawner, ScalableLocalBackend])
def test_every_trait_tells_an_admin_what_it_is_for(ours: Any) -> None:
    own = {name for kind in ours.__mro__ if kind.__module__.startswith("scalablehub") for name in vars(kind)}
    traits = {name: trait for name, trait in ours.class_traits(config=True).items() if name in own}
    assert traits
    assert [name for name, trait in traits.items() if not trait.help.strip().endswith(".")] == []
