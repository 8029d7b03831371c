"""The command `scalablehub`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scalablehub._version import __version__
from scalablehub.cli.check import add_check
from scalablehub.cli.moving import add_import
from scalablehub.errors import PublicError, shown

_MISSING = "This needs what is not installed ({}); run: pip install 'scalablehub[local]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 is well, 1 is refused or failed, 2 is misused."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except PublicError as error:
        print(f"scalablehub: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # such as of `scalablehub config | head`: Python's last flush has to go somewhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scalablehub", description="A JupyterHub with sizes, shared data and Dask clusters."
    )
    parser.add_argument("--version", action="version", version=f"scalablehub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="run a whole hub on this machine, for this machine only")
    up.add_argument("--port", type=_port, default=8000, help="port on 127.0.0.1 (default: %(default)s)")
    up.add_argument("--config", type=Path, metavar="FILE", help="the hub's description, as YAML")
    up.add_argument("--data-dir", type=Path, metavar="DIR", help="where users, homes and data are kept")
    up.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="open the hub in a browser when it is ready",
    )
    up.add_argument("--reset", action="store_true", help="remove everything kept in the data folder first")
    up.add_argument("--verbose", action="store_true", help="write more to the logs")
    up.set_defaults(run=_up)

    config = commands.add_parser("config", help="print the description that `up` uses, to copy and change")
    config.set_defaults(run=_config)

    add_check(commands)
    add_import(commands)
    return parser


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() and len(text) <= 5 else 0
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a port; write a number from 1 to 65535")
    return port


def _up(options: argparse.Namespace) -> int:
    try:
        from scalablehub.local.layout import default_folder
        from scalablehub.local.settings import DEFAULT_FILE
        from scalablehub.local.up import Options, up
    except ModuleNotFoundError as error:
        raise PublicError("not-installed", _MISSING.format(error.name)) from None
    return up(
        Options(
            config=options.config or DEFAULT_FILE,
            data_dir=options.data_dir or default_folder(),
            port=options.port,
            open_browser=options.open,
            reset=options.reset,
            verbose=options.verbose,
        )
    )


def _config(_options: argparse.Namespace) -> int:
    path = Path(__file__).parent.parent / "local" / "hub.yaml"
    print(path.read_text(encoding="utf-8"), end="", flush=True)
    return 0
