from __future__ import annotations

from typing import Any

import pytest

from scalablehub.description import Interface
from scalablehub.images import Finding, Hub, judge
from tests.images.reports import report

LAB = Interface(display_name="JupyterLab", url="/lab", packages=("jupyterlab",))
RSTUDIO = Interface(
    display_name="RStudio", url="/rstudio", packages=("jupyter_rsession_proxy",), commands=("rserver",)
)
HUB = {"jupyterhub": "5.5.2", "dask_gateway": "2026.3.0", "interfaces": {"lab": LAB}}


def said(changes: dict[str, Any], **hub: Any) -> list[str]:
    """Return everything that is not fine."""
    findings = judge(report(**changes), Hub(**HUB | hub))
    return [f"{one.level}: {one.subject} {one.sentence}" for one in findings if one.level != "fine"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        (
            {"commands": {"jupyterhub-singleuser": None}},
            [
                "missing: jupyterhub-singleuser is what the hub starts, and is not there; "
                "add: pip install 'jupyterhub==5.5.*'"
            ],
        ),
        (
            {"packages": {"jupyterhub": "4.1.6"}},
            [
                "different: jupyterhub-singleuser is of JupyterHub 4.1.6, and the hub has 5.5.2; "
                "add: pip install 'jupyterhub==5.5.*'"
            ],
        ),
        (
            {"packages": {"jupyterhub": "5.2.1"}},
            [
                "note: jupyterhub-singleuser is of JupyterHub 5.2.1, and the hub has 5.5.2: they work "
                "together, but the hub warns of it"
            ],
        ),
        ({"packages": {"jupyterhub": "5.5.4"}}, []),
        (
            {"packages": {"jsonschema": "4.26.0", "rfc3987-syntax": "1.1.0"}},
            [
                "note: jsonschema 4.26.0 compiles a grammar that Jupyter does not use, some seconds of every "
                "start of a server; add: pip install 'jsonschema<4.25'"
            ],
        ),
        ({"packages": {"jsonschema": "4.24.1", "rfc3987-syntax": "1.1.0"}}, []),
        ({"packages": {"jsonschema": "4.26.0", "rfc3987-syntax": None}}, []),
        (
            {"packages": {"jupyter_server": None, "notebook": None}},
            ["missing: jupyter-server has nothing for a browser to open; add: pip install jupyterlab"],
        ),
        (
            {"packages": {"dask": None, "distributed": None}},
            [
                "missing: dask is what clusters run, and is not there; add: pip install distributed",
                "missing: distributed is what clusters run, and is not there; add: pip install distributed",
            ],
        ),
        (
            {"packages": {"distributed": "2026.7.1"}},
            [
                "different: distributed is 2026.7.1, and dask is 2026.8.0: they are released together; "
                "add: pip install 'distributed==2026.8.0'"
            ],
        ),
        (
            {"commands": {"dask": None}},
            ["missing: dask is there, but not its command on the PATH, which clusters start"],
        ),
        ({"commands": {"dask": None, "dask-scheduler": "/opt/env/bin/dask-scheduler"}}, []),
        (
            {"packages": {"dask-gateway": None}},
            [
                "missing: dask-gateway is the way to clusters, and is not there; "
                "add: pip install 'dask-gateway==2026.3.0'"
            ],
        ),
        (
            {"packages": {"dask-gateway": "2025.4.0"}},
            [
                "different: dask-gateway is 2025.4.0, and the gateway has 2026.3.0; "
                "add: pip install 'dask-gateway==2026.3.0'"
            ],
        ),
        ({"tls_needs_cure": True}, []),
        ({"tls_needs_cure": None}, []),
        (
            {"tls_needs_cure": True, "packages": {"dask": "2021.9.0", "distributed": "2021.9.0"}},
            [
                "different: TLS Python 3.13.5 with OpenSSL 3.5.9 loses connections (python/cpython#148594); "
                "the cure takes distributed 2022.3.0 or newer"
            ],
        ),
        (
            {"modules": {"jupyterlab": False}},
            ["note: JupyterLab is not there (no jupyterlab); do not offer it with this image"],
        ),
        (
            {"commands": {"R": "/usr/bin/R"}},
            ["note: R is there, but no notebook kernel for it; add: IRkernel::installspec()"],
        ),
        ({"commands": {"R": "/usr/bin/R"}, "kernels": ("ir", "python3")}, []),
        (
            {"uid": 0},
            ["note: user is root; the hub runs servers as another, so nothing may need root; add: USER 1000"],
        ),
        (
            {"home_writable": False},
            ["note: home /home/jovyan is not writable for user 1000, unless a volume is put there"],
        ),
    ],
)
def test_says_what_is_wrong_and_what_to_do(changes: dict[str, Any], words: list[str]) -> None:
    assert said(changes) == words


@pytest.mark.parametrize(
    ("hub", "words"),
    [
        (
            {"interfaces": {"rstudio": RSTUDIO}},
            [
                "note: RStudio is not there (no jupyter_rsession_proxy and no rserver); "
                "do not offer it with this image"
            ],
        ),
        (
            {"interfaces": {"rstudio": RSTUDIO}, "promised": ("rstudio",)},
            [
                "missing: RStudio is promised in the description, but there is no jupyter_rsession_proxy "
                "and no rserver; add it, or leave 'rstudio' out of the image's 'interfaces'"
            ],
        ),
        ({"interfaces": {}}, []),
    ],
    ids=["offered", "promised", "without interfaces"],
)
def test_interfaces_are_those_of_the_description(hub: dict[str, Any], words: list[str]) -> None:
    assert said({}, **hub) == words


def test_hub_without_dask_asks_for_none() -> None:
    without: dict[str, Any] = {"packages": {"dask": None, "distributed": None, "dask-gateway": None}}
    assert said(without, has_dask=False) == []


def test_version_that_is_not_known_is_not_compared() -> None:
    assert (
        said({"packages": {"jupyterhub": "3.0", "dask-gateway": "0.9"}}, jupyterhub=None, dask_gateway=None)
        == []
    )


def test_cure_is_named_where_it_is_needed() -> None:
    findings = judge(report(tls_needs_cure=True), Hub(**HUB))
    assert [one for one in findings if one.subject == "TLS"] == [
        Finding(
            level=findings[4].level,
            subject="TLS",
            sentence="Python 3.13.5 with OpenSSL 3.5.9 loses connections (python/cpython#148594); "
            "the hub and the gateway give it the cure",
        )
    ]
