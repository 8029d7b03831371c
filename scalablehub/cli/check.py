"""`scalablehub check`: questions about a hub, answered before somebody meets the answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalablehub.errors import PublicError, shown

if TYPE_CHECKING:
    from scalablehub.description import Description
    from scalablehub.images import Finding, Hub

_TOOLS = ("docker", "podman", "kubectl")


def add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser's own."""
    check = commands.add_parser("check", help="say whether an image can be used, and what it lacks")
    about = check.add_mutually_exclusive_group(required=True)
    about.add_argument(
        "--image", metavar="NAME", help="a container image: what servers and clusters would miss"
    )
    check.add_argument(
        "--config", type=Path, metavar="FILE", help="the hub's description, or the chart's values"
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
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    return check_image(options)


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
    if options.config is None:
        return hub
    description = _read(options.config)
    images = [image for image in description.images.values() if image.image == options.image]
    promised = {name for image in images for name in image.interfaces or ()}
    return Hub(
        jupyterhub=options.jupyterhub,
        dask_gateway=options.dask_gateway,
        has_dask=description.dask is not None,
        interfaces=description.interfaces,
        promised=tuple(sorted(promised)),
    )


def _read(path: Path) -> Description:
    """Return the description in a YAML file: of `scalablehub up`, or the values of zero-to-jupyterhub.

    Raises:
        PublicError: there is none, or it cannot be used.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise PublicError("not-installed", "--config needs PyYAML; run: pip install pyyaml") from None
    from scalablehub.description import load_description

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PublicError(
            "unreadable", f"{path}: {error.strerror}; give a readable file with --config."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise PublicError("not-yaml", f"{path} is not YAML: {shown(str(error), 200)}") from None
    for place in (("ScalableHub",), ("hub", "config", "ScalableHub")):
        if isinstance(found := _at(raw, place), Mapping):
            return load_description(found, ".".join(place))
    raise PublicError("no-description", f"{path} has neither ScalableHub nor hub.config.ScalableHub.")


def _at(raw: Any, place: Iterable[str]) -> Any:
    for key in place:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw


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
