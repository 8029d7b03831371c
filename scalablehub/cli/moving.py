"""`scalablehub import`: from the values of a hub that runs to a description."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scalablehub.cli.descriptions import read_values
from scalablehub.description import load_description
from scalablehub.errors import PublicError


def add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's own."""
    command = commands.add_parser(
        "import", help="make a description from the values of a hub of zero-to-jupyterhub"
    )
    command.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="values; a later file goes over the earlier ones"
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where it is written; not over a file that is there"
    )
    command.add_argument(
        "--chart-alias",
        metavar="NAME",
        help="the name of zero-to-jupyterhub's chart in the values, such as basehub.jupyterhub "
        "(default: it is looked for)",
    )
    command.set_defaults(run=import_values)


def import_values(options: argparse.Namespace) -> int:
    """Write a description and, to the terminal's errors, what it does not have; return 0: that is no failure.

    Raises:
        PublicError: the values cannot be read, or the description cannot be written.
    """
    from scalablehub.moving import as_yaml, describe, locate

    hub = locate(read_values(options.files), options.chart_alias)
    moved = describe(hub)
    load_description(moved.description)
    text = as_yaml(moved.description, moved.uncarried, moved.remarks, hub.alias)
    if options.output is None:
        print(text, end="", flush=True)
    else:
        _write(options.output, text)
    if moved.uncarried:
        print("What could not be carried:", file=sys.stderr)
    for uncarried in moved.uncarried:
        print(f"- {uncarried}", file=sys.stderr)
    if moved.remarks:
        count = len(moved.remarks)
        lines = "One line needs" if count == 1 else f"{count} lines need"
        print(f"{lines} you; look for CHANGE.", file=sys.stderr)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise PublicError(
            "file-exists", f"{path} is there already; give another one with --output, or move it away."
        ) from None
    except OSError as error:
        raise PublicError(
            "unwritable", f"{path}: {error.strerror}; give another file with --output."
        ) from None
