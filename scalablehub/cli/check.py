"""`scalablehub check`: questions about a hub, answered before somebody meets the answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from scalablehub.cli.against import add_against, check_against
from scalablehub.cli.descriptions import cautions, read_description, read_raw_description, summary, view
from scalablehub.cli.measuring import add_measuring, answer, is_asked, prove
from scalablehub.decisions import User
from scalablehub.description import load_description

if TYPE_CHECKING:
    from scalablehub.images import Finding, Hub

_TOOLS = ("docker", "podman", "kubectl")


def add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's own."""
    check = commands.add_parser(
        "check", help="say whether a description or an image can be used, and what somebody may have"
    )
    check.add_argument(
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help="the hub's description, or the chart's values; give it again for a file that goes over it",
    )
    about = check.add_mutually_exclusive_group()
    about.add_argument(
        "--image", metavar="NAME", help="a container image: what servers and clusters would miss"
    )
    about.add_argument("--as-user", metavar="USER", help="what this user may have, and why")
    add_measuring(check, about)
    check.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="GROUP",
        help="a group that the user is in; give it again for another",
    )
    check.add_argument("--using", choices=_TOOLS, help="what runs the image (default: the first that works)")
    check.add_argument(
        "--jupyterhub",
        metavar="VERSION",
        default=_installed("jupyterhub"),
        help="version of the hub (default: the one that is installed here, %(default)s)",
    )
    check.add_argument(
        "--dask-gateway",
        metavar="VERSION",
        default=_installed("dask-gateway-server") or _installed("dask-gateway"),
        help="version of the gateway (default: the one that is installed here, %(default)s)",
    )
    add_against(check)
    check.set_defaults(run=_check, misused=check.error)


def _check(options: argparse.Namespace) -> int:
    if options.image is not None:
        return check_image(options)
    if not options.config:
        options.misused("there is nothing to check; give --config FILE or --image NAME")
    if options.against:
        return check_against(options)
    raw, place = read_raw_description(options.config)
    description = load_description(raw, place)
    if is_asked(options):
        return answer(options, description)
    if options.as_user is None:
        lines = [summary(description, place), *cautions(description), *prove(description)]
        print("\n".join(lines), flush=True)
    else:
        print(view(description, User(options.as_user, frozenset(options.group))), flush=True)
    return 0


def check_image(options: argparse.Namespace) -> int:
    """Print what is to be said about an image; return 1 if servers or clusters cannot run in it."""
    from scalablehub.images import Asked, Tool, choose_tool, judge, run_in_image

    hub = _hub(options)
    asked = Asked().also(
        (module for interface in hub.interfaces.values() for module in interface.packages),
        (command for interface in hub.interfaces.values() for command in interface.commands),
    )
    tool = Tool(options.using) if options.using else choose_tool()
    report = run_in_image(options.image, tool, asked)
    findings = judge(report, hub)
    print(f"{options.image}: Python {report.python}, run with {tool}\n")
    print(_table(findings))
    stopping = sum(finding.stops for finding in findings)
    print(f"\n{_verdict(stopping)}", flush=True)
    return 1 if stopping else 0


def _hub(options: argparse.Namespace) -> Hub:
    from scalablehub.images import Hub

    hub = Hub(jupyterhub=options.jupyterhub, dask_gateway=options.dask_gateway)
    if not options.config:
        return hub
    description = read_description(options.config)
    images = [image for image in description.images.values() if image.image == options.image]
    promised = {name for image in images for name in image.interfaces or ()}
    return Hub(
        jupyterhub=options.jupyterhub,
        dask_gateway=options.dask_gateway,
        has_dask=description.dask is not None,
        interfaces=description.interfaces,
        promised=tuple(sorted(promised)),
    )


def _table(findings: Iterable[Finding]) -> str:
    rows = [(finding.level.value, finding.subject, finding.sentence) for finding in findings]
    width = max(len(subject) for _, subject, _ in rows)
    return "\n".join(f"  {level:<9}  {subject:<{width}}  {sentence}" for level, subject, sentence in rows)


def _verdict(stopping: int) -> str:
    match stopping:
        case 0:
            return "The hub can use it."
        case 1:
            return "The hub cannot use it: one thing is missing or too different."
        case _:
            return f"The hub cannot use it: {stopping} things are missing or too different."


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
