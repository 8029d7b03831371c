"""The start notebook of the hub on one machine, unchanged, in a pod: data, cluster, result, scratch."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files

import pytest

from tests.kubernetes.research_hub import DASK, Person, ResearchHub
from tests.local_stack.kernel import Cell, run_notebook


@pytest.fixture(scope="module")
def cells(alice: Person, hub: ResearchHub) -> list[Cell]:
    content = json.loads(files("scalablehub.local").joinpath("content/start.ipynb").read_text())
    body = {"type": "notebook", "format": "json", "content": content}
    status, answer = alice.call("PUT", "user/alice/api/contents/start.ipynb", body)
    assert status in (200, 201), answer
    return asyncio.run(run_notebook(alice.server_url(), alice.token, "start.ipynb"))


def test_every_cell_runs(cells: list[Cell], hub: ResearchHub) -> None:
    errors = [cell.error() for cell in cells if cell.error()]
    assert errors == [], hub.logs()


def test_its_answer_is_the_worlds(cells: list[Cell]) -> None:
    (said,) = [cell.text() for cell in cells if cell.id == "land-fraction"]
    assert 28.5 < float(said.split("%")[0]) < 29.9


def test_what_it_wrote_reads_back_the_same(cells: list[Cell]) -> None:
    (again,) = [cell.text() for cell in cells if cell.id == "read-back"]
    assert again.splitlines() == [
        "The same after reading it back: True",
        "The same as on this kernel alone: True",
    ]


def test_nothing_of_its_cluster_is_left(cells: list[Cell], hub: ResearchHub) -> None:
    assert cells
    hub.kubectl("wait", "--for=delete", "pod", "--all", "-n", DASK, "--timeout=60s")
    assert hub.kubectl.list("pods", DASK) == []
