"""Whether a hub's servers can run in an image: from what it says of itself to sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scalablehub.description import Interface
from scalablehub.images.probing import Report

STANDARD_INTERFACES: Mapping[str, Interface] = {
    "lab": Interface(display_name="JupyterLab", url="/lab", packages=("jupyterlab",)),
    "notebook": Interface(display_name="Jupyter Notebook", url="/tree", packages=("notebook",)),
    "rstudio": Interface(
        display_name="RStudio",
        url="/rstudio",
        packages=("jupyter_rsession_proxy",),
        commands=("rserver",),
    ),
}
"""What an image is looked through for without a description."""

OLDEST_CURED_DISTRIBUTED = "2022.3.0"
"""The first in which clients run what they are given before they connect."""

FIRST_SLOW_JSONSCHEMA = "4.25"
"""The first that compiles a grammar when it is imported (python-jsonschema/jsonschema#1428)."""


class Level(StrEnum):
    """How much a finding matters."""

    MISSING = "missing"
    """Servers or clusters do not work without it."""
    DIFFERENT = "different"
    """It is there, in a version that does not work with the hub's."""
    NOTE = "note"
    """Worth knowing; the image works."""
    FINE = "fine"


@dataclass(frozen=True)
class Finding:
    """One thing about an image: how much it matters, what it is about, and a sentence with the remedy."""

    level: Level
    subject: str
    sentence: str

    @property
    def stops(self) -> bool:
        """Whether the image cannot be used as it is."""
        return self.level in (Level.MISSING, Level.DIFFERENT)


@dataclass(frozen=True)
class Hub:
    """What an image has to fit.

    Attributes:
        jupyterhub: version of the hub's JupyterHub; None if it is not known.
        dask_gateway: version of the gateway's server; None if it is not known.
        has_dask: whether the hub has Dask clusters.
        interfaces: by name.
        promised: names of the interfaces that the description says the image has.
    """

    jupyterhub: str | None = None
    dask_gateway: str | None = None
    has_dask: bool = True
    interfaces: Mapping[str, Interface] = field(default_factory=lambda: STANDARD_INTERFACES)
    promised: tuple[str, ...] = ()


def judge(report: Report, hub: Hub) -> list[Finding]:
    """Return what there is to say about an image, in the order of its parts."""
    return [
        *_about_servers(report, hub),
        *(_about_dask(report, hub) if hub.has_dask else ()),
        *_about_interfaces(report, hub),
        *_about_the_user(report),
    ]


def _about_servers(report: Report, hub: Hub) -> Iterable[Finding]:
    version = report.packages.get("jupyterhub")
    wanted = f"jupyterhub=={_release(hub.jupyterhub)}.*" if hub.jupyterhub else "jupyterhub"
    if report.commands.get("jupyterhub-singleuser") is None or version is None:
        yield Finding(
            Level.MISSING,
            "jupyterhub-singleuser",
            f"is what the hub starts, and is not there; add: pip install '{wanted}'",
        )
    elif hub.jupyterhub is None:
        yield Finding(
            Level.FINE, "jupyterhub-singleuser", f"JupyterHub {version}; the hub's is not known here"
        )
    elif _major(version) != _major(hub.jupyterhub):
        yield Finding(
            Level.DIFFERENT,
            "jupyterhub-singleuser",
            f"is of JupyterHub {version}, and the hub has {hub.jupyterhub}; add: pip install '{wanted}'",
        )
    elif _release(version) != _release(hub.jupyterhub):
        yield Finding(
            Level.NOTE,
            "jupyterhub-singleuser",
            f"is of JupyterHub {version}, and the hub has {hub.jupyterhub}: they work together, "
            "but the hub warns of it",
        )
    else:
        yield Finding(Level.FINE, "jupyterhub-singleuser", f"JupyterHub {version}")
    if all(report.packages.get(name) is None for name in ("jupyter_server", "notebook")):
        yield Finding(
            Level.MISSING, "jupyter-server", "has nothing for a browser to open; add: pip install jupyterlab"
        )
    jsonschema = report.packages.get("jsonschema")
    if (
        jsonschema is not None
        and report.packages.get("rfc3987-syntax") is not None
        and _numbers(jsonschema) >= _numbers(FIRST_SLOW_JSONSCHEMA)
    ):
        yield Finding(
            Level.NOTE,
            "jsonschema",
            f"{jsonschema} compiles a grammar that Jupyter does not use, some seconds of every start of a "
            f"server; add: pip install 'jsonschema<{FIRST_SLOW_JSONSCHEMA}'",
        )


def _about_dask(report: Report, hub: Hub) -> Iterable[Finding]:
    dask, distributed = report.packages.get("dask"), report.packages.get("distributed")
    for name in ("dask", "distributed"):
        if (version := report.packages.get(name)) is None:
            yield Finding(
                Level.MISSING, name, "is what clusters run, and is not there; add: pip install distributed"
            )
        elif name == "distributed" and dask is not None and _release(dask) != _release(version):
            yield Finding(
                Level.DIFFERENT,
                name,
                f"is {version}, and dask is {dask}: they are released together; "
                f"add: pip install 'distributed=={dask}'",
            )
        else:
            yield Finding(Level.FINE, name, version)
    # Images of before late in 2022 have commands of other names.
    if dask is not None and all(report.commands.get(name) is None for name in ("dask", "dask-scheduler")):
        yield Finding(
            Level.MISSING, "dask", "is there, but not its command on the PATH, which clusters start"
        )
    yield _about_gateway(report.packages.get("dask-gateway"), hub.dask_gateway)
    if report.tls_needs_cure:
        reached = distributed is None or _numbers(distributed) >= _numbers(OLDEST_CURED_DISTRIBUTED)
        yield Finding(
            Level.FINE if reached else Level.DIFFERENT,
            "TLS",
            f"Python {report.python} with {report.openssl} loses connections (python/cpython#148594); "
            + (
                "the hub and the gateway give it the cure"
                if reached
                else f"the cure takes distributed {OLDEST_CURED_DISTRIBUTED} or newer"
            ),
        )


def _about_gateway(version: str | None, server: str | None) -> Finding:
    name = "dask-gateway"
    wanted = f"dask-gateway=={server}" if server else "dask-gateway"
    if version is None:
        return Finding(
            Level.MISSING, name, f"is the way to clusters, and is not there; add: pip install '{wanted}'"
        )
    if server is None:
        return Finding(Level.FINE, name, f"{version}; the gateway's version is not known here")
    if _release(version) != _release(server):
        return Finding(
            Level.DIFFERENT, name, f"is {version}, and the gateway has {server}; add: pip install '{wanted}'"
        )
    return Finding(Level.FINE, name, version)


def _about_interfaces(report: Report, hub: Hub) -> Iterable[Finding]:
    for name, interface in hub.interfaces.items():
        subject = interface.display_name or name
        absent = [
            *(module for module in interface.packages if not report.modules.get(module)),
            *(command for command in interface.commands if report.commands.get(command) is None),
        ]
        if not absent:
            yield Finding(Level.FINE, subject, "is there")
        elif name in hub.promised:
            yield Finding(
                Level.MISSING,
                subject,
                f"is promised in the description, but there is no {_or(absent)}; add it, "
                f"or leave '{name}' out of the image's 'interfaces'",
            )
        else:
            yield Finding(
                Level.NOTE,
                subject,
                f"is not there (no {_or(absent)}); do not offer it with this image",
            )
    if report.commands.get("R") is not None and "ir" not in report.kernels:
        yield Finding(
            Level.NOTE, "R", "is there, but no notebook kernel for it; add: IRkernel::installspec()"
        )


def _about_the_user(report: Report) -> Iterable[Finding]:
    if report.uid == 0:
        yield Finding(
            Level.NOTE,
            "user",
            "is root; the hub runs servers as another, so nothing may need root; add: USER 1000",
        )
    if report.home_writable:
        yield Finding(Level.FINE, "home", f"{report.home} is writable for user {report.uid}")
    else:
        yield Finding(
            Level.NOTE,
            "home",
            f"{report.home} is not writable for user {report.uid}, unless a volume is put there",
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 5.5.2rc1 is 5, 5."""
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _major(version: str) -> tuple[int, ...]:
    return _numbers(version)[:1]


def _release(version: str | None) -> str:
    """Return the part of a version that has to be equal: 5.5.2 is 5.5, 2026.3.0 is 2026.3."""
    return ".".join(map(str, _numbers(version or "")[:2]))


def _or(names: Iterable[str]) -> str:
    return " and no ".join(names)
