"""The images, built and run: what the hub, its servers and its clusters find in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalablehub._version import __version__
from scalablehub.dask.cures import TLS, cure
from scalablehub.images import Asked, Hub, judge, probe_program, read_report
from tests.kubernetes.cluster import Unsupported
from tests.kubernetes.images.building import build
from tests.kubernetes.images.running import Running, running
from tests.kubernetes.images.test_locks import PINS

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.timeout(900),
]

STREAMS = Path(__file__).parents[2] / "dask" / "tls_streams.py"
ANYBODY = "12345:0"
"""A user whom the image does not know, as OpenShift makes them up."""

ASKED = Asked().also(["jupyterlab", "notebook", "jupyter_rsession_proxy"], ["rserver", "tini"])
HUB = Hub(jupyterhub=PINS["jupyterhub"], dask_gateway=PINS["dask-gateway-server"])


@pytest.fixture(scope="module", autouse=True)
def _root() -> None:
    """What is skipped at a desk fails on CI."""
    if os.geteuid() != 0:
        raise Unsupported("Building images without a container engine takes root.")


@pytest.fixture(scope="module")
def hub() -> Iterator[Running]:
    with running(build("hub")) as run:
        yield run


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with running(build("gateway")) as run:
        yield run


@pytest.fixture(scope="module")
def user() -> Iterator[Running]:
    with running(build("user")) as run:
        yield run


@pytest.fixture(scope="module")
def older_user() -> Iterator[Running]:
    with running(build("user", "bookworm", r=False)) as run:
        yield run


def test_hub_has_scalablehub_and_its_drop_ins_where_the_hub_reads_them(hub: Running) -> None:
    assert hub("scalablehub", "--version") == f"scalablehub {__version__}"
    prefix = hub("python3", "-c", "import sys; print(sys.prefix)")
    assert (
        "20-scalablehub-spawner.py" in hub("ls", f"{prefix}/etc/jupyterhub/jupyterhub_config.d").splitlines()
    )
    assert hub("jupyterhub", "--version") == PINS["jupyterhub"]
    assert hub("id", "-u") == "1000"


def test_hub_can_stand_for_the_chart_s_proxy_too(hub: Running) -> None:
    lock = json.loads((Path(__file__).parents[3] / "scalablehub/local/proxy/package.json").read_text())
    assert hub("configurable-http-proxy", "--version") == lock["dependencies"]["configurable-http-proxy"]


def test_gateway_has_its_server_and_scalablehub(gateway: Running) -> None:
    assert gateway("dask-gateway-server", "--version") == PINS["dask-gateway-server"]
    assert gateway("scalablehub", "--version") == f"scalablehub {__version__}"
    assert gateway("id", "-u") == "1000"


@pytest.mark.parametrize("somebody", [None, ANYBODY])
def test_user_image_passes_its_own_check_as_anybody(user: Running, somebody: str | None) -> None:
    report = read_report(user("python3", "-", ASKED.argument, user=somebody, script=probe_program()))
    assert [finding for finding in judge(report, HUB) if finding.stops] == []
    assert report.packages["jupyterhub"] == PINS["jupyterhub"]
    assert report.packages["dask-gateway"] == PINS["dask-gateway"]
    assert report.kernels == ("ir", "python3")
    assert report.home_writable
    assert user("pip", "check") == "No broken requirements found."


def test_older_user_image_passes_it_too(older_user: Running) -> None:
    report = read_report(older_user("python3", "-", ASKED.argument, script=probe_program()))
    assert [finding for finding in judge(report, HUB) if finding.stops] == []
    assert report.python.startswith("3.11.")


def test_only_the_newer_python_loses_streams_and_the_cure_helps_it(
    user: Running, older_user: Running
) -> None:
    streams = STREAMS.read_text()
    assert user("python3", "-", "broken", script=streams) == "lost"
    assert user("python3", "-", "broken", cure(TLS), script=streams) == "hello"
    assert older_user("python3", "-", "broken", script=streams) == "hello"
    assert older_user("python3", "-", "broken", cure(TLS), script=streams) == "hello"


def test_r_runs_in_a_notebook_as_anybody(user: Running) -> None:
    script = """
import nbformat
from nbclient import NotebookClient

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("cat(6 * 7)")])
NotebookClient(notebook, kernel_name="ir", timeout=120).execute()
print(notebook.cells[0].outputs[0].text)
"""
    assert user("python3", "-", user=ANYBODY, script=script) == "42"


def test_rstudio_is_ready_but_for_its_server_which_no_registry_has(user: Running) -> None:
    script = """
from importlib.metadata import entry_points

(rstudio,) = entry_points(group="jupyter_serverproxy_servers", name="rstudio")
server = rstudio.load()()
print(server["launcher_entry"]["title"])
try:
    server["command"](0, "")
except FileNotFoundError as error:
    print(error)
"""
    assert user("python3", "-", script=script) == "RStudio\nCould not find rserver in PATH"
    assert user("R", "--version").startswith("R version 4.")


def test_nothing_of_the_build_machine_stays(user: Running, hub: Running, gateway: Running) -> None:
    for image in (user, hub, gateway):
        assert image("cat", "/etc/pip.conf", "/etc/uv/uv.toml") == ""
        assert image("find", "/mnt", "-type", "f", "-size", "+0") == ""
        assert "CERT" not in image("env")
