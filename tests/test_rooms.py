"""The rooms of the house import what CONTRIBUTING says, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scalablehub"
TABLE = re.findall(r"^\| (`.+?) \|.*\| (.*?) ?\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
ROWS = [(re.findall(r"`(\w+)`", names), set(re.findall(r"`(\w+)`", imports))) for names, imports in TABLE]
ENTRANCES = {"__init__", "__main__", "_version"}


def imports_of(room: str) -> set[str]:
    """Return the other rooms that one imports, anywhere in its code."""
    folder = PACKAGE / room
    names: set[str] = set()
    for file in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    others = {name.split(".")[1] for name in names if name.startswith("scalablehub.")}
    return others - {room, "errors", *ENTRANCES}


def test_every_room_is_in_the_table_once() -> None:
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(name for names, _ in ROWS for name in names) == sorted(there - ENTRANCES)


@pytest.mark.parametrize(("names", "imports"), ROWS, ids=lambda value: "-".join(sorted(value)) or "nothing")
def test_a_room_imports_what_the_table_says(names: list[str], imports: set[str]) -> None:
    assert set().union(*map(imports_of, names)) - set(names) == imports
