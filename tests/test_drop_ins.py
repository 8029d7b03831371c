"""The files of jupyterhub_config.d, loaded as zero-to-jupyterhub and as plain JupyterHub load them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from traitlets.config import Config, PyFileConfigLoader
from traitlets.config.loader import LazyConfigValue

from scalablehub import hub
from scalablehub.configured import values_of
from scalablehub.description import DescriptionError
from scalablehub.errors import PublicError
from scalablehub.handlers import DescriptionHandler, OwnersHandler
from scalablehub.seeing import SeeAsHandler
from tests.descriptions import written

ROOT = Path(__file__).parent.parent
DROP_INS = sorted((ROOT / "jupyterhub_config.d").glob("*.py"))
EVERYBODY = {"gateway_url": "http://gateway:8000"}

Load = Callable[..., Config]


def load_as_z2jh(folder: Path, *sources: Path, before: str = "") -> Config:
    """Run files in name order in one shared namespace, with lists that are plain, as the chart does."""
    c = Config()
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.JupyterHub.services = [{"name": "dask-gateway", "api_token": "chart's"}]
    c.JupyterHub.load_roles = []

    def get_config(key: str, default: object = None) -> object:
        return default

    namespace = {"c": c, "get_config": get_config, "__file__": str(folder / "jupyterhub_config.py")}
    public = set(namespace)
    exec(before, namespace)  # noqa: S102
    public |= {name for name in namespace if not name.startswith("_")}
    for source in sources:
        exec(compile(source.read_text(), str(source), "exec"), namespace)  # noqa: S102
    assert {name for name in namespace if not name.startswith("_")} <= public, "a public name leaked"
    return c


def load_as_jupyterhub(folder: Path, *sources: Path, before: str = "") -> Config:
    """Run files at the end of a jupyterhub_config.py, with lists that are lazy."""
    lines = [before, *(source.read_text() for source in sources)]
    (folder / "jupyterhub_config.py").write_text("\n".join(lines))
    return PyFileConfigLoader("jupyterhub_config.py", path=str(folder)).load_config()


LOADERS = [
    pytest.param(load_as_z2jh, id="zero-to-jupyterhub"),
    pytest.param(load_as_jupyterhub, id="plain"),
]


@pytest.fixture(params=LOADERS)
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Load]:
    """Load the drop-ins: `before` is what an admin wrote before them."""

    def load(before: str = "", *sources: Path, **sections: Any) -> Config:
        raw = written(**sections)
        text = f"c.ScalableHub.update({raw!r})\n{before}"
        c: Config = request.param(tmp_path, *(sources or DROP_INS), before=text)
        return c

    yield load


def plain(c: Config) -> dict[str, Any]:
    """Return what a hub would read, as values that can be compared."""
    app = JupyterHub(config=c)
    scopes = Config({"Spawner": c.Spawner}).Spawner.get("server_token_scopes")
    return {
        "services": app.services,
        "tornado_settings": app.tornado_settings,
        "roles": app.load_roles,
        "handlers": sorted(app.extra_handlers, key=lambda handler: handler[0]),
        "custom scopes": app.custom_scopes,
        "spawner": c.JupyterHub.spawner_class,
        "scopes": scopes.get_value([]) if hasattr(scopes, "get_value") else scopes,
        "description": c.ChoosingSpawner.description,
    }


@contextmanager
def refused(kind: type[PublicError], match: str = "") -> Iterator[Any]:
    """Expect the hub to end with the sentences of an error; its value is the error."""
    holder = SimpleNamespace(value=None)
    with pytest.raises(SystemExit) as ended:
        yield holder
    holder.value = ended.value.__cause__
    assert isinstance(holder.value, kind)
    assert ended.value.code == f"scalablehub: {holder.value.message}"
    assert re.search(match, holder.value.message), holder.value.message


def added(entries: dict[str, str]) -> LazyConfigValue:
    """Return what a file of configuration has that only adds to a dict."""
    value = LazyConfigValue()
    value.update(entries)
    return value


HANDLERS = [
    ("/api/scalablehub/description", DescriptionHandler),
    ("/api/scalablehub/owners", OwnersHandler),
    ("/scalablehub/see-as", SeeAsHandler),
]


@pytest.fixture(autouse=True)
def _no_application_is_left() -> Iterator[None]:
    yield
    JupyterHub.clear_instance()


def service(c: Config) -> dict[str, Any]:
    found: list[dict[str, Any]] = [s for s in JupyterHub(config=c).services if s["name"] == "dask-gateway"]
    assert len(found) == 1
    return found[0]


def role(c: Config, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [r for r in JupyterHub(config=c).load_roles if r["name"] == name]
    assert len(found) == 1
    return found[0]


def scopes(c: Config) -> Any:
    return plain(c)["scopes"]


def test_the_package_and_the_folder_agree() -> None:
    calls = [drop_in.read_text().strip().splitlines()[-1] for drop_in in DROP_INS]
    assert calls == [f"_{function.__name__}(c)" for function in hub.DROP_INS]


def test_an_installation_places_exactly_the_drop_ins() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    placed = setup["options.data_files"]["etc/jupyterhub/jupyterhub_config.d"].split()
    assert placed == [f"jupyterhub_config.d/{drop_in.name}" for drop_in in DROP_INS]


def test_the_service_is_added_and_keeps_the_token_of_the_chart(tmp_path: Path) -> None:
    c = load_as_z2jh(tmp_path, *DROP_INS, before=f"c.ScalableHub.update({written()!r})")
    assert service(c) == {
        "name": "dask-gateway",
        "api_token": "chart's",
        "oauth_no_confirm": True,
        "url": "http://127.0.0.1:10101",
        "command": [sys.executable, "-m", "scalablehub.services.dask_gateway"],
        "environment": {"SCALABLEHUB_GATEWAY_URL": "http://127.0.0.1:8001"},
    }


def test_the_right_to_clusters_goes_to_the_groups_that_may_have_them(load: Load) -> None:
    assert role(load(), "scalablehub-dask") == {
        "name": "scalablehub-dask",
        "description": "May have Dask clusters",
        "scopes": ["access:services!service=dask-gateway"],
        "groups": ["research"],
    }


def test_the_right_to_clusters_for_everybody_keeps_what_everybody_has(load: Load) -> None:
    c = load(dask=EVERYBODY)
    assert role(c, "user")["scopes"] == ["self", "access:services!service=dask-gateway"]


def test_the_service_may_read_the_description_that_the_hub_serves(load: Load) -> None:
    c = load()
    assert role(c, "scalablehub-description") == {
        "name": "scalablehub-description",
        "description": "May read the hub's description, and who the owners of clusters are",
        "scopes": ["custom:scalablehub:read:description", "custom:scalablehub:read:owners"],
        "services": ["dask-gateway"],
    }
    assert list(plain(c)["custom scopes"]) == [
        "custom:scalablehub:read:description",
        "custom:scalablehub:read:owners",
    ]
    assert plain(c)["handlers"] == HANDLERS


@pytest.mark.parametrize(
    "line",
    [
        "c.JupyterHub.custom_scopes = {'custom:mine': {'description': 'Mine'}}",
        "c.JupyterHub.custom_scopes.update({'custom:mine': {'description': 'Mine'}})",
    ],
    ids=["assigned", "lazy"],
)
def test_an_admins_scopes_stay_beside_ours(load: Load, line: str) -> None:
    assert plain(load(line))["custom scopes"] == {
        "custom:mine": {"description": "Mine"},
        "custom:scalablehub:read:description": {"description": "Read what the hub's admin described."},
        "custom:scalablehub:read:owners": {
            "description": "Read who the owners of clusters are, and what they run."
        },
    }


@pytest.mark.parametrize("assign", [False, True], ids=["lazy", "assigned"])
def test_an_admins_handlers_stay_beside_ours(load: Load, assign: bool) -> None:
    mine = "[('/mine', object)]"
    line = (
        f"c.JupyterHub.extra_handlers = {mine}" if assign else f"c.JupyterHub.extra_handlers.extend({mine})"
    )
    found = plain(load(line))["handlers"]
    assert found == [*HANDLERS[:2], ("/mine", object), *HANDLERS[2:]]


def test_our_scope_as_the_admin_describes_it_stays(load: Load) -> None:
    mine = {"custom:scalablehub:read:description": {"description": "Mine"}}
    found = plain(load(f"c.JupyterHub.custom_scopes = {mine!r}"))["custom scopes"]
    assert found["custom:scalablehub:read:description"] == {"description": "Mine"}


def test_a_server_gets_the_scopes_that_it_needs_and_no_more(load: Load) -> None:
    assert scopes(load()) == [
        "users:activity!user",
        "access:servers!server",
        "access:services!service=dask-gateway",
    ]


def test_a_hub_without_dask_gets_no_service_and_no_scope_for_it(load: Load) -> None:
    c = load(dask=None)
    assert not [name for name in plain(c)["services"] if "url" in name]
    assert scopes(c) == ["users:activity!user", "access:servers!server"]
    assert (plain(c)["roles"], plain(c)["handlers"], plain(c)["custom scopes"]) == ([], HANDLERS[2:], {})


@pytest.mark.parametrize(
    ("loader", "spawner"),
    [
        pytest.param(load_as_z2jh, hub.KUBE_SPAWNER, id="zero-to-jupyterhub"),
        pytest.param(load_as_jupyterhub, hub.LOCAL_SPAWNER, id="plain"),
    ],
)
def test_the_spawner_is_the_one_of_the_place(loader: Load, spawner: str, tmp_path: Path) -> None:
    c = loader(tmp_path, *DROP_INS, before=f"c.ScalableHub.update({written()!r})")
    assert c.JupyterHub.spawner_class == spawner


def test_both_loaders_give_the_same_configuration(tmp_path: Path) -> None:
    before = f"c.ScalableHub.update({written()!r})\nc.JupyterHub.spawner_class = 'kubespawner.KubeSpawner'\n"
    token = "c.JupyterHub.services.append({'name': 'dask-gateway', 'api_token': \"chart's\"})\n"
    chart = plain(load_as_z2jh(tmp_path, *DROP_INS, before=before))
    hub_alone = plain(load_as_jupyterhub(tmp_path, *DROP_INS, before=before + token))
    assert chart == hub_alone


@pytest.mark.parametrize(
    ("before", "settings"),
    [
        ("", {}),
        ("c.JupyterHub.tornado_settings = {'slow_spawn_timeout': 0}", {"slow_spawn_timeout": 0}),
        ("c.JupyterHub.tornado_settings.update({'slow_spawn_timeout': 0})", {"slow_spawn_timeout": 0}),
        (
            "c.JupyterHub.tornado_settings = {'headers': {'X-Of': 'mine'}}",
            {"headers": {"X-Of": "mine", "Cross-Origin-Opener-Policy": "same-origin"}},
        ),
        (
            "c.JupyterHub.tornado_settings = {'headers': {'cross-origin-opener-policy': 'unsafe-none'}}",
            {"headers": {"cross-origin-opener-policy": "unsafe-none"}},
        ),
    ],
)
def test_pages_of_the_hub_are_cut_off_from_who_opens_them(
    load: Load, before: str, settings: dict[str, Any]
) -> None:
    ours = {"headers": {"Cross-Origin-Opener-Policy": "same-origin"}}
    assert plain(load(before))["tornado_settings"] == ours | settings


def test_drop_ins_that_are_loaded_twice_change_nothing_more(load: Load) -> None:
    assert plain(load("", *DROP_INS, *DROP_INS)) == plain(load())


@pytest.mark.parametrize("everybody", [False, True], ids=["some", "everybody"])
def test_drop_ins_that_are_loaded_in_the_other_order_give_the_same(load: Load, everybody: bool) -> None:
    sections = {"dask": EVERYBODY} if everybody else {}
    assert plain(load("", *reversed(DROP_INS), **sections)) == plain(load(**sections))


@pytest.mark.parametrize(
    "how",
    ["c.JupyterHub.services.append({'name': 'mine'})", "c.JupyterHub.services.insert(0, {'name': 'mine'})"],
    ids=["append", "insert"],
)
@pytest.mark.parametrize("position", ["before", "between", "after"])
def test_services_of_other_drop_ins_stay_beside_ours(
    load: Load, tmp_path: Path, how: str, position: str
) -> None:
    other = tmp_path / "25-other.py"
    other.write_text(how)
    order = {
        "before": [other, *DROP_INS],
        "between": [*DROP_INS[:2], other, DROP_INS[2]],
        "after": [*DROP_INS, other],
    }[position]
    found = sorted(s["name"] for s in plain(load("", *order))["services"])
    assert found == ["dask-gateway", "mine"]


@pytest.mark.parametrize("position", ["before", "between"])
def test_services_that_another_drop_in_assigns_stay_beside_ours(
    load: Load, tmp_path: Path, position: str
) -> None:
    other = tmp_path / "25-other.py"
    other.write_text("c.JupyterHub.services = [{'name': 'mine'}]")
    order = [other, *DROP_INS] if position == "before" else [*DROP_INS[:2], other, DROP_INS[2]]
    assert [s["name"] for s in plain(load("", *order))["services"]] == ["mine", "dask-gateway"]


def test_what_another_drop_in_adds_to_the_description_meanwhile_is_seen(load: Load, tmp_path: Path) -> None:
    other = tmp_path / "25-other.py"
    other.write_text("c.ScalableHub.dask = dict(c.ScalableHub.dask, gateway_url='http://other:1')")
    c = load("", *DROP_INS[:2], other, DROP_INS[2])
    assert service(c)["environment"] == {"SCALABLEHUB_GATEWAY_URL": "http://other:1"}


def test_reading_the_description_leaves_lazy_values_open_for_more(tmp_path: Path) -> None:
    extra = tmp_path / "25-extra.py"
    extra.write_text("c.ScalableHub.sizes.update({'more': {'node': 'gpu', 'share': 1}})")
    raw = written()
    lines = [f"c.ScalableHub.{key}.update({value!r})" for key, value in raw.items()]
    c = load_as_jupyterhub(tmp_path, DROP_INS[1], extra, DROP_INS[1], before="\n".join(lines))
    assert list(c.ChoosingSpawner.description.sizes) == ["small", "large", "secret", "more"]
    assert c.ChoosingSpawner.description.dask is not None


def test_a_section_that_is_only_looked_at_stays_out_of_the_description(tmp_path: Path) -> None:
    before = (
        f"c.ScalableHub.update({written(dask=None)!r})\ndel c.ScalableHub['dask']\nbool(c.ScalableHub.dask)"
    )
    c = load_as_jupyterhub(tmp_path, *DROP_INS, before=before)
    assert c.ChoosingSpawner.description.dask is None


def services_line(**words: Any) -> str:
    return f"c.JupyterHub.services = [{ {'name': 'dask-gateway'} | words!r}]"


@pytest.mark.parametrize(
    "words",
    [
        {"api_token": "mine"},
        {"url": "http://0.0.0.0:9", "command": ["mine"]},
        {"command": ["mine"]},
        {"oauth_no_confirm": False},
        {"display": False, "admin": False},
    ],
    ids=",".join,
)
def test_what_an_admin_configured_of_the_service_stays(load: Load, words: dict[str, Any]) -> None:
    found = service(load(services_line(**words)))
    assert {key: found[key] for key in words} == words
    assert found["environment"] == {"SCALABLEHUB_GATEWAY_URL": "http://127.0.0.1:8001"}


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({"A": "1"}, {"A": "1", "SCALABLEHUB_GATEWAY_URL": "http://127.0.0.1:8001"}),
        ({"SCALABLEHUB_GATEWAY_URL": "http://mine"}, {"SCALABLEHUB_GATEWAY_URL": "http://mine"}),
    ],
    ids=["another variable", "ours"],
)
def test_an_admins_environment_of_the_service_is_kept_and_filled_up(
    load: Load, theirs: dict[str, str], expected: dict[str, str]
) -> None:
    assert service(load(services_line(environment=theirs)))["environment"] == expected


def test_a_service_that_the_admin_runs_elsewhere_is_not_started_by_the_hub(load: Load) -> None:
    c = load(services_line(url="http://elsewhere:8000", api_token="x"), *DROP_INS, *DROP_INS)
    assert service(c) == {
        "name": "dask-gateway",
        "url": "http://elsewhere:8000",
        "api_token": "x",
        "oauth_no_confirm": True,
    }


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (["self", "shares!user"], ["self", "shares!user", hub.ACCESS_SCOPE]),
        ([hub.ACCESS_SCOPE, "self"], [hub.ACCESS_SCOPE, "self"]),
        ([], [hub.ACCESS_SCOPE]),
    ],
    ids=["more", "ours", "none"],
)
def test_an_admins_role_user_keeps_its_scopes(load: Load, theirs: list[str], expected: list[str]) -> None:
    line = f"c.JupyterHub.load_roles = [{ {'name': 'user', 'description': 'Ours', 'scopes': theirs}!r}]"
    found = role(load(line, *DROP_INS, *DROP_INS, dask=EVERYBODY), "user")
    assert found == {"name": "user", "description": "Ours", "scopes": expected}


def test_an_admins_role_for_clusters_stays(load: Load) -> None:
    line = "c.JupyterHub.load_roles = [{'name': 'scalablehub-dask', 'groups': ['mine'], 'scopes': ['self']}]"
    assert role(load(line), "scalablehub-dask")["groups"] == ["mine"]


def test_a_callable_that_decides_the_scopes_of_servers_stays(load: Load) -> None:
    c = load("c.Spawner.server_token_scopes = len")
    assert c.Spawner.server_token_scopes is len


@pytest.mark.parametrize(
    "line",
    [
        "c.Spawner.server_token_scopes = ['custom:x', 'users:activity!user']",
        "c.Spawner.server_token_scopes = []\nc.Spawner.server_token_scopes += ['custom:x']",
    ],
)
def test_an_admins_scopes_of_servers_are_kept_and_filled_up(load: Load, line: str) -> None:
    found = scopes(load(line))
    assert found[0] == "custom:x"
    assert sorted(found[1:]) == [
        "access:servers!server",
        "access:services!service=dask-gateway",
        "users:activity!user",
    ]


@pytest.mark.parametrize("broken", [False, True], ids=["a good description", "a broken one"])
def test_a_hub_for_which_it_is_turned_off_is_left_as_it_was(load: Load, tmp_path: Path, broken: bool) -> None:
    sections: dict[str, Any] = {"enabled": False} | ({"sizes": "nonsense"} if broken else {})
    nothing = tmp_path / "00-nothing.py"
    nothing.write_text("")
    assert load("", *DROP_INS, **sections) == load("", nothing, **sections)


@pytest.mark.parametrize(
    "foreign",
    ["'jupyterhub.spawner.LocalProcessSpawner'", "'simple'", "'dockerspawner.DockerSpawner'", "dict"],
)
def test_a_spawner_that_cannot_be_replaced_is_refused(load: Load, foreign: str) -> None:
    with refused(PublicError, match=r"which scalablehub cannot replace\. Make it a subclass of") as raised:
        load(f"c.JupyterHub.spawner_class = {foreign}")
    assert raised.value.code == "spawner-foreign"


@pytest.mark.parametrize(
    "ours",
    [
        "'scalablehub-local'",
        "'scalablehub.spawner.local.ScalableLocalSpawner'",
        "'scalablehub.spawner.kubernetes.ScalableKubeSpawner'",
        "'tests.spawners.TheirSpawner'",
        "__import__('tests.spawners', fromlist=['_']).TheirSpawner",
    ],
)
def test_a_spawner_that_is_made_of_ours_stays(load: Load, ours: str) -> None:
    line = f"c.JupyterHub.spawner_class = {ours}"
    assert load(line).JupyterHub.spawner_class == eval(ours)  # noqa: S307


@pytest.mark.parametrize("stock", ["kubespawner.KubeSpawner", "kubespawner.spawner.KubeSpawner"])
@pytest.mark.parametrize("form", ["'{}'", "__import__('kubespawner').KubeSpawner"], ids=["path", "class"])
def test_stock_kubespawner_is_replaced(load: Load, stock: str, form: str) -> None:
    c = load(f"c.JupyterHub.spawner_class = {form.format(stock)}")
    assert c.JupyterHub.spawner_class == hub.KUBE_SPAWNER


LOCAL = f"c.JupyterHub.spawner_class = {hub.LOCAL_SPAWNER!r}\n"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("c.JupyterHub.bind_url = 'http://0.0.0.0:8000'", "JupyterHub.bind_url is '0.0.0.0'"),
        ("c.JupyterHub.bind_url = 'http://:8000'", "JupyterHub.bind_url is every address"),
        ("c.JupyterHub.bind_url = 'https://hub.example.org'", "JupyterHub.bind_url is 'hub.example.org'"),
        ("c.JupyterHub.bind_url = 'http://[::]:8000'", "JupyterHub.bind_url is '::'"),
        ("c.JupyterHub.ip = '0.0.0.0'", "JupyterHub.ip is '0.0.0.0'"),
        ("c.JupyterHub.ip = ''", "JupyterHub.ip is every address"),
        ("c.JupyterHub.ip = '192.0.2.1'", "JupyterHub.ip is '192.0.2.1'"),
        ("c.JupyterHub.ip = '127.0.0.1.example.org'", "JupyterHub.ip is '127.0.0.1.example.org'"),
        ("c.Spawner.ip = '0.0.0.0'", "Spawner.ip is '0.0.0.0'"),
        ("c.ScalableLocalSpawner.ip = '0.0.0.0'", "ScalableLocalSpawner.ip is '0.0.0.0'"),
    ],
)
@pytest.mark.parametrize("spawner", [LOCAL, "c.JupyterHub.spawner_class = 'scalablehub-local'\n"])
def test_servers_without_isolation_are_refused_beyond_loopback(
    load: Load, line: str, place: str, spawner: str
) -> None:
    with refused(PublicError) as raised:
        load(spawner + line)
    assert raised.value.code == "beyond-loopback"
    assert raised.value.message.startswith(f"{place}, which others can reach")


@pytest.mark.parametrize(
    "line",
    [
        "c.JupyterHub.bind_url = 'http://127.0.0.1:8000/hubs/'",
        "c.JupyterHub.bind_url = 'http://localhost:8000'",
        "c.JupyterHub.bind_url = 'http://[::1]:8000'",
        "c.JupyterHub.ip = '127.0.0.2'",
        "c.Spawner.ip = '127.0.0.1'",
    ],
)
def test_servers_without_isolation_are_fine_on_loopback(load: Load, line: str) -> None:
    assert load(LOCAL + line).JupyterHub.spawner_class == hub.LOCAL_SPAWNER


def test_a_plain_hub_that_says_no_address_listens_on_loopback(tmp_path: Path) -> None:
    c = load_as_jupyterhub(tmp_path, *DROP_INS, before=f"c.ScalableHub.update({written()!r})")
    app = JupyterHub(config=c)
    assert app.bind_url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("{}", "not a Docker config.json")]
)
def test_credentials_of_registries_that_cannot_be_read_are_refused_at_once(
    load: Load, tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_text(content)
    spawner = f"c.JupyterHub.spawner_class = {hub.KUBE_SPAWNER!r}"
    with refused(PublicError, f"{file}: {why}; it needs 'auths'"):
        load(f"{spawner}\nc.ScalableKubeSpawner.registry_credentials = {str(file)!r}")


@pytest.mark.parametrize(
    ("lacks", "told"),
    [(None, None), ({"images.x": "no"}, {"images.x": "no"}), (added({"images.x": "no"}), {"images.x": "no"})],
)
def test_what_a_hub_lacks_is_read_however_it_was_written(lacks: Any, told: dict[str, str] | None) -> None:
    section = Config() if lacks is None else Config({"lacks": lacks})
    assert values_of(section).get("lacks") == told


def test_a_hub_in_kubernetes_may_listen_everywhere(tmp_path: Path) -> None:
    before = f"c.ScalableHub.update({written()!r})\nc.JupyterHub.bind_url = 'http://:8000'"
    assert load_as_z2jh(tmp_path, *DROP_INS, before=before).JupyterHub.spawner_class == hub.KUBE_SPAWNER


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("c.ScalableHub.sizez = {}", "ScalableHub.sizez: unknown key; did you mean 'sizes'?"),
        (
            "c.ScalableHub.sizes = []",
            "ScalableHub.sizes: [] is not a section; write keys and values below it",
        ),
        ("c.ScalableHub.images = {}", "ScalableHub.images: is empty; a hub needs at least one of them"),
        (
            "c.ScalableHub.dask = {}",
            "ScalableHub.dask.gateway_url: is missing; write where dask-gateway's server is, "
            "such as 'http://api-dask-gateway:8000'",
        ),
        ("c.ScalableHub.nodes['gpu'] = {'memory': '32X'}", "'32X' is not a size; write '32G'"),
    ],
    ids=["unknown key", "not a section", "empty", "no gateway", "not a size"],
)
def test_a_description_that_cannot_be_used_is_refused_with_its_place(
    load: Load, line: str, problem: str
) -> None:
    with refused(DescriptionError) as raised:
        load(line)
    assert raised.value.message.endswith(problem)


KUBERNETES = f"c.JupyterHub.spawner_class = {hub.KUBE_SPAWNER!r}\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "c.ScalableHub.nodes['more'] = {'instance': 'this-machine'}",
            "nodes.more.instance: is for `scalablehub up`; write 'cores' and 'memory' of one node",
        ),
        (
            "c.ScalableHub.images['mine'] = {'prefix': '/opt/mine'}",
            "images.mine.image: is missing; write the container image with its tag",
        ),
        (
            "c.ScalableHub.nodes['gpu']['kubespawner_override'] = {'mem_limit': '1T'}",
            "nodes.gpu.kubespawner_override.mem_limit: is decided by the description; say it there, and "
            "leave it out here",
        ),
        (
            "c.ScalableHub.images['geo']['kubespawner_override'] = {'user': 'root'}",
            "images.geo.kubespawner_override.user: is not an option of KubeSpawner; see its reference for "
            "their names",
        ),
        (
            "c.ScalableHub.interfaces['lab']['kubespawner_override'] = {'uid': 'root'}",
            "interfaces.lab.kubespawner_override.uid: 'root' is not what KubeSpawner takes here; see its "
            "reference",
        ),
        (
            "c.ScalableHub.images['geo']['kubespawner_override'] = {'extra_pod_config': {'tolerations': []}}",
            "images.geo.kubespawner_override.extra_pod_config.tolerations: would undo what is decided; say "
            "it in the description, or by an option of its own",
        ),
    ],
    ids=["this machine", "no image", "decided", "unknown", "wrong", "undone"],
)
def test_what_a_hub_in_kubernetes_cannot_have_is_refused_with_its_place(
    load: Load, line: str, problem: str
) -> None:
    with refused(DescriptionError) as raised:
        load(KUBERNETES + line)
    assert raised.value.message == f"ScalableHub.{problem}"


def test_everything_that_a_hub_in_kubernetes_cannot_have_is_named_at_once(load: Load) -> None:
    lines = [
        "c.ScalableHub.images['mine'] = {'prefix': '/opt/mine'}",
        "c.ScalableHub.images['geo']['kubespawner_override'] = {'image': 'x', 'imagee': 'x'}",
    ]
    with refused(DescriptionError) as raised:
        load(KUBERNETES + "\n".join(lines))
    assert [problem.place for problem in raised.value.problems] == [
        "ScalableHub.images.mine.image",
        "ScalableHub.images.geo.kubespawner_override.image",
        "ScalableHub.images.geo.kubespawner_override.imagee",
    ]


def test_a_hub_on_one_machine_has_no_use_for_what_is_for_pods(load: Load) -> None:
    line = "c.ScalableHub.images['mine'] = {'prefix': '/opt/mine', 'kubespawner_override': {'nonsense': 1}}"
    assert "mine" in load(LOCAL + line).ChoosingSpawner.description.images


def test_servers_get_the_shares_of_a_node_as_numbers(load: Load) -> None:
    small = load(KUBERNETES).ChoosingSpawner.description.sizes["small"]
    assert (small.share, small.cores, small.memory) == (None, 0.875, 15 * 2**28)


@pytest.mark.parametrize(
    ("line", "address", "public"),
    [
        ("", "http://proxy-public/services/dask-gateway", "/services/dask-gateway"),
        (
            "c.JupyterHub.base_url = '/hubs/a/'",
            "http://proxy-public/hubs/a/services/dask-gateway",
            "/hubs/a/services/dask-gateway",
        ),
        ("c.ChoosingSpawner.gateway_address = 'http://mine'", "http://mine", "/services/dask-gateway"),
        (
            "c.JupyterHub.base_url = '/hubs/a/'; c.JupyterHub.public_url = 'https://hub.example.org/hubs/a/'",
            "http://proxy-public/hubs/a/services/dask-gateway",
            "https://hub.example.org/hubs/a/services/dask-gateway",
        ),
        (
            "c.JupyterHub.public_url = 'hub.example.org'",
            "http://proxy-public/services/dask-gateway",
            "https://hub.example.org/services/dask-gateway",
        ),
        (
            "c.JupyterHub.public_url = c.JupyterHub.subdomain_host = 'https://hub.example.org'",
            "http://proxy-public/services/dask-gateway",
            "/services/dask-gateway",
        ),
    ],
    ids=["at the root", "below a path", "an admin's own", "public", "without https", "own domains"],
)
def test_servers_in_kubernetes_are_led_to_the_clusters(
    load: Load, line: str, address: str, public: str
) -> None:
    spawner = load(KUBERNETES + line).ChoosingSpawner
    assert (spawner.gateway_address, spawner.gateway_public_address) == (address, public)


def test_a_hub_without_any_description_is_told_what_is_missing(tmp_path: Path) -> None:
    with refused(DescriptionError, match=r"^ScalableHub: is empty here; write the description first"):
        load_as_jupyterhub(tmp_path, *DROP_INS)


def test_a_drop_in_that_cannot_see_the_description_is_refused(tmp_path: Path) -> None:
    """A file that load_subconfig loads gets a configuration of its own, and would replace the admin's."""
    before = f"c.ScalableHub.update({written()!r})\nload_subconfig({str(DROP_INS[1])!r})"
    with refused(DescriptionError, match=r"call `scalablehub\.hub\.configure\(c\)`"):
        load_as_jupyterhub(tmp_path, before=before)


def test_configure_does_what_the_drop_ins_do(load: Load, tmp_path: Path) -> None:
    one = tmp_path / "00-all.py"
    one.write_text("from scalablehub.hub import configure as _configure\n_configure(c)")
    assert plain(load("", one)) == plain(load())


@pytest.mark.parametrize("times", [1, 2])
def test_the_real_jupyterhub_reads_the_drop_ins(tmp_path: Path, times: int) -> None:
    lines = [
        f"c.ScalableHub.update({written()!r})",
        *(p.read_text() for p in DROP_INS * times),
    ]
    (tmp_path / "jupyterhub_config.py").write_text("\n".join(lines))
    app = JupyterHub()
    app.load_config_file(str(tmp_path / "jupyterhub_config.py"))
    assert app.spawner_class.__name__ == "ScalableLocalSpawner"
    assert [found["name"] for found in app.services] == ["dask-gateway"]
    assert [found["name"] for found in app.load_roles] == ["scalablehub-dask", "scalablehub-description"]
    assert sorted(app.extra_handlers, key=lambda handler: handler[0]) == HANDLERS
    assert app.bind_url == "http://127.0.0.1:8000/"


def test_the_real_jupyterhub_ends_with_the_sentence_of_a_refusal_and_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(f"c.ScalableHub.sizez = {{}}\n{DROP_INS[1].read_text()}")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "scalablehub: ScalableHub.sizez: unknown key; did you mean 'sizes'?"
    )
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names of the files in a wheel that is built from this checkout."""
    pytest.importorskip("setuptools", minversion="77", reason="a build without a download needs setuptools")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("scalablehub", "jupyterhub_config.d"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    "name",
    [
        "scalablehub/py.typed",
        "scalablehub/spawner/templates/form.html",
        "scalablehub/services/dask_gateway/templates/base.html",
        "scalablehub/services/dask_gateway/templates/clusters.html",
        "scalablehub/services/dask_gateway/templates/message.html",
        "scalablehub/local/hub.yaml",
        "scalablehub/local/jupyterhub_config.py",
        "scalablehub/local/gateway_config.py",
        "scalablehub/local/content/start.ipynb",
        "scalablehub/local/labconfig/labconfig/default_setting_overrides.json",
        "scalablehub/local/proxy/package.json",
        "scalablehub/local/proxy/package-lock.json",
    ],
)
def test_a_wheel_has_what_runs_beside_the_code(wheel: list[str], name: str) -> None:
    assert name in wheel


def test_a_wheel_has_every_file_of_the_package(wheel: list[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "scalablehub"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    assert {name for name in tracked.stdout.split() if (ROOT / name).exists()} <= set(wheel)


def test_a_wheel_places_the_drop_ins_where_jupyterhub_looks(wheel: list[str]) -> None:
    placed = sorted(name.split(".data/data/", 1)[1] for name in wheel if ".data/data/" in name)
    assert placed == [f"etc/jupyterhub/jupyterhub_config.d/{drop_in.name}" for drop_in in DROP_INS]


# Groups from an identity provider


GROUPS = {"groups": {"table": {"lab:gpu": "gpu"}}}
GITHUB = "c.JupyterHub.authenticator_class = 'github'"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "0" * 64)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "authenticator",
    ["'github'", "'oauthenticator.github.GitHubOAuthenticator'", "'oauthenticator.GitHubOAuthenticator'"],
)
def test_the_admins_authenticator_brings_groups(load: Load, authenticator: str) -> None:
    c = load(f"c.JupyterHub.authenticator_class = {authenticator}", *DROP_INS, *DROP_INS, **GROUPS)
    found = c.JupyterHub.authenticator_class
    assert [base.__name__ for base in found.__mro__[:3]] == [
        "GitHubOAuthenticatorWithGroups",
        "GroupsFromProvider",
        "GitHubOAuthenticator",
    ]
    assert c.GroupsFromProvider.grouping.table == {"lab:gpu": "gpu"}
    settings = c.Authenticator
    assert (settings.manage_groups, settings.enable_auth_state, settings.refresh_pre_spawn) == (
        True,
        True,
        True,
    )


@pytest.mark.usefixtures("key")
def test_what_an_admin_says_of_the_authenticator_stays(load: Load) -> None:
    c = load(f"{GITHUB}\nc.Authenticator.refresh_pre_spawn = False", **GROUPS)
    assert c.Authenticator.refresh_pre_spawn is False


def test_without_a_table_the_authenticator_stays(load: Load) -> None:
    assert load(GITHUB).JupyterHub.authenticator_class == "github"


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c.JupyterHub.authenticator_class = 'dummy'", "JupyterHub.authenticator_class is 'dummy'"),
        ("c.JupyterHub.authenticator_class = 'nonsense'", "JupyterHub.authenticator_class is 'nonsense'"),
        (f"{GITHUB}\nc.JupyterHub.load_groups = {{'a': {{}}}}", "JupyterHub.load_groups cannot be used"),
    ],
)
def test_groups_that_could_not_come_are_refused(load: Load, line: str, words: str) -> None:
    with refused(PublicError, match=re.escape(words)):
        load(line, **GROUPS)


def test_groups_need_a_key_for_what_the_provider_says(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTERHUB_CRYPT_KEY", raising=False)
    with refused(PublicError, match="set the environment variable JUPYTERHUB_CRYPT_KEY"):
        load(GITHUB, **GROUPS)
    assert load(f"{GITHUB}\nc.CryptKeeper.keys = [b'0' * 32]", **GROUPS).GroupsFromProvider.grouping


def test_a_hub_on_one_machine_needs_nothing_of_kubernetes() -> None:
    code = (
        "import sys; sys.modules['kubespawner'] = sys.modules['kubernetes_asyncio'] = None\n"
        "import scalablehub.spawner.local, scalablehub.local.configuring, scalablehub.local.up\n"
        "import scalablehub.cli, scalablehub.hub, scalablehub.dask.local, scalablehub.seeing"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


CREDENTIALS = {
    "address": "http://credentials.hub:8080",
    "s3": {"backend": "sts", "role": "arn:aws:iam::123456789012:role/buckets"},
}
TOKEN = 'c.JupyterHub.services = [*c.JupyterHub.services, {"name": "credentials", "api_token": "given"}]'
FIRST = "c.JupyterHub.services = []\nc.ScalableLocalSpawner.tokens = '/run/tokens'\n"


def credential_service(c: Config) -> dict[str, Any]:
    found: list[dict[str, Any]] = [s for s in JupyterHub(config=c).services if s["name"] == "credentials"]
    assert len(found) == 1
    return found[0]


def test_in_kubernetes_the_credential_service_runs_elsewhere(tmp_path: Path) -> None:
    before = f"c.ScalableHub.update({written(credentials=CREDENTIALS)!r})\n{TOKEN}"
    c = load_as_z2jh(tmp_path, *DROP_INS, before=before)
    assert credential_service(c) == {"name": "credentials", "api_token": "given", "display": False}


def test_on_one_machine_the_hub_runs_it_with_its_clouds_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "hub")
    monkeypatch.setenv("OTHER_SECRET", "canary")
    before = f"c.ScalableHub.update({written(credentials=CREDENTIALS)!r})\n{FIRST}{TOKEN}"
    c = load_as_jupyterhub(tmp_path, *DROP_INS, before=before)
    found = credential_service(c)
    assert (found["url"], found["command"][1:]) == (
        "http://127.0.0.1:10102",
        ["-m", "scalablehub.services.credentials"],
    )
    assert found["environment"]["AWS_PROFILE"] == "hub"
    assert "OTHER_SECRET" not in found["environment"]
    assert c.ScalableLocalSpawner.credentials_token == "given"


def test_the_credential_service_may_ask_who_runs_what_and_nothing_else(load: Load) -> None:
    c = load(f"{FIRST}{TOKEN}", credentials=CREDENTIALS)
    assert role(c, "scalablehub-credentials")["scopes"] == [
        "read:users:name",
        "read:users:groups",
        "read:servers",
        "custom:scalablehub:read:description",
    ]


def test_a_hub_with_keys_and_without_clusters_serves_its_description_all_the_same(load: Load) -> None:
    c = load(f"{FIRST}{TOKEN}", credentials=CREDENTIALS, dask=None)
    assert HANDLERS[0] in plain(c)["handlers"]


def test_a_credential_service_without_a_token_is_refused_with_the_remedy(load: Load) -> None:
    with refused(PublicError, "openssl rand -hex 32"):
        load(credentials=CREDENTIALS)


def test_servers_without_a_folder_for_their_tokens_are_refused(tmp_path: Path) -> None:
    before = (
        f"c.ScalableHub.update({written(credentials=CREDENTIALS)!r})\nc.JupyterHub.services = []\n{TOKEN}"
    )
    with refused(PublicError, r"ScalableLocalSpawner\.tokens is not set"):
        load_as_jupyterhub(tmp_path, *DROP_INS, before=before)


def test_a_static_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    keys = {"s3": {"backend": "static", "endpoint": "http://127.0.0.1:9000"}}
    before = f"c.ScalableHub.update({written(credentials=keys)!r})\n{FIRST}{TOKEN}"
    with refused(PublicError, "ChoosingSpawner.bucket_keys"):
        load_as_jupyterhub(tmp_path, *DROP_INS, before=before)


def test_in_kubernetes_the_address_has_to_be_said(tmp_path: Path) -> None:
    keys = {"s3": CREDENTIALS["s3"]}
    before = f"c.ScalableHub.update({written(credentials=keys)!r})\n{TOKEN}"
    with refused(DescriptionError, r"ScalableHub\.credentials\.address"):
        load_as_z2jh(tmp_path, *DROP_INS, before=before)
