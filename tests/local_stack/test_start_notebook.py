"""The notebook that a new home begins with does what it says, in a kernel of the user's own server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import scalablehub
from tests.local_stack.kernel import Cell, run_notebook
from tests.stack import Client, Stack, until

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(1800)]

SHIPPED = Path(scalablehub.__file__).parent / "local" / "content" / "start.ipynb"


@pytest.fixture(scope="module")
def cells(hub: Stack, alice: Client) -> list[Cell]:
    return asyncio.run(run_notebook(f"{hub.url}user/alice/", alice.token, "start.ipynb"))


def find(cells: list[Cell], pattern: str) -> re.Match[str]:
    (found,) = [match for cell in cells if (match := re.search(pattern, cell.text()))]
    return found


def test_home_begins_with_the_notebook_as_shipped(hub: Stack, alice: Client) -> None:
    assert (hub.data_dir / "homes" / "alice" / "start.ipynb").read_bytes() == SHIPPED.read_bytes()


def test_no_cell_fails(cells: list[Cell]) -> None:
    assert [cell.error() for cell in cells if cell.error()] == []


def test_no_cell_warns(cells: list[Cell]) -> None:
    assert [cell.text("stderr") for cell in cells if cell.text("stderr")] == []


def test_land_is_29_percent_of_the_earth(cells: list[Cell]) -> None:
    assert 28.5 < float(find(cells, r"([\d.]+)% of the Earth is land")[1]) < 29.9


def test_two_workers_computed(cells: list[Cell]) -> None:
    assert find(cells, r"Two workers are ready after \d+ s\.")


def test_cluster_and_kernel_agree(cells: list[Cell]) -> None:
    assert find(cells, r"The same as on this kernel alone: (\w+)")[1] == "True"


def test_result_reads_back_the_same(cells: list[Cell]) -> None:
    assert find(cells, r"The same after reading it back: (\w+)")[1] == "True"


def test_plots_are_there(cells: list[Cell]) -> None:
    assert [cell.id for cell in cells if cell.has("image/png")] == ["plot", "ruler-plot"]


def test_result_is_plain_files_in_the_users_scratch(hub: Stack, cells: list[Cell]) -> None:
    result = hub.data_dir / "store" / "scratch" / "alice" / "land-fraction.zarr"
    assert (result / "zarr.json").is_file()
    assert [file for file in (result / "land_fraction" / "c").rglob("*") if file.is_file()]


def test_dashboard_link_is_the_hubs(hub: Stack, cells: list[Cell]) -> None:
    link = find(cells, r"Dashboard: (\S+)")[1]
    assert re.fullmatch(rf"{hub.url}services/dask-gateway/clusters/[0-9a-f]{{32}}/status", link)


def test_no_cluster_is_left(hub: Stack, alice: Client, cells: list[Cell]) -> None:
    status, clusters = alice.call("GET", "services/dask-gateway/api/v1/clusters/")
    assert (status, clusters) == (200, {})


def test_no_dask_process_is_left(hub: Stack, cells: list[Cell]) -> None:
    until(lambda: not hub.parts("-m dask "), "schedulers and workers end", 30)


def test_logs_of_the_cluster_are_kept(hub: Stack, cells: list[Cell]) -> None:
    name = find(cells, r"Dashboard: \S+/clusters/([0-9a-f]{32})")[1]
    logs = hub.data_dir / "logs" / "clusters" / name

    def kept() -> bool:
        return logs.is_dir() and not (hub.data_dir / "run" / "clusters" / name).exists()

    until(kept, "the cluster's logs are moved", 30)
    names = sorted(re.sub(r"[0-9a-f]{32}", "NAME", log.name) for log in logs.iterdir())
    assert names == ["scheduler.log", "worker-NAME.log", "worker-NAME.log"]
