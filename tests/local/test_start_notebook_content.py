from __future__ import annotations

import ast
import re
from importlib import resources
from typing import Any

import nbformat
import pytest

TEXT = resources.files("scalablehub.local").joinpath("content/start.ipynb").read_text(encoding="utf-8")


@pytest.fixture
def notebook() -> Any:
    return nbformat.reads(TEXT, as_version=4)


@pytest.fixture
def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebook_is_valid(notebook: Any) -> None:
    nbformat.validate(notebook)


def test_notebook_holds_no_outputs(code: list[Any]) -> None:
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)


def test_kernel_is_python(notebook: Any) -> None:
    assert notebook.metadata.kernelspec.name == "python3"


def test_every_cell_compiles(code: list[Any]) -> None:
    for cell in code:
        ast.parse(cell.source, filename=cell.id)


def test_gateway_has_no_arguments(code: list[Any]) -> None:
    calls = [
        node
        for cell in code
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Gateway"
    ]
    assert [(call.args, call.keywords) for call in calls] == [([], [])]


def test_code_has_no_address_of_a_machine(code: list[Any]) -> None:
    assert not re.search(r"https?://|127\.0\.0\.1|localhost|/home/", "\n".join(cell.source for cell in code))


def test_cluster_is_shut_down_by_the_last_cell(notebook: Any) -> None:
    assert notebook.cells[-1].source.splitlines() == [
        "client.close()",
        "cluster.shutdown()",
        "gateway.close()",
    ]
