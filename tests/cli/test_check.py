from __future__ import annotations

from pathlib import Path

import pytest

from scalablehub.cli import main
from scalablehub.images import running
from tests.images.reports import report

COMMAND = ["check", "--image", "quay.io/hub/geo:1", "--using", "podman", "--jupyterhub", "5.5.2"]
COMMAND += ["--dask-gateway", "2026.3.0"]

DESCRIPTION = """\
ScalableHub:
  images:
    geo: {image: "quay.io/hub/geo:1", interfaces: [lab, rstudio]}
  interfaces:
    lab: {display_name: JupyterLab, url: /lab, packages: [jupyterlab]}
    rstudio: {display_name: RStudio, url: /rstudio, commands: [rserver]}
"""


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Stand for every image; tests change what it says of itself."""
    changes: dict[str, object] = {}
    monkeypatch.setattr("scalablehub.images.run_in_image", lambda *_: report(**changes))
    return changes


def test_good_image_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMAND) == 0
    assert capsys.readouterr().out == (
        "quay.io/hub/geo:1: Python 3.13.5, run with podman\n"
        "\n"
        "  fine       jupyterhub-singleuser  JupyterHub 5.5.2\n"
        "  fine       dask                   2026.8.0\n"
        "  fine       distributed            2026.8.0\n"
        "  fine       dask-gateway           2026.3.0\n"
        "  fine       JupyterLab             is there\n"
        "  fine       Jupyter Notebook       is there\n"
        "  note       RStudio                is not there (no jupyter_rsession_proxy and no rserver); "
        "do not offer it with this image\n"
        "  fine       home                   /home/jovyan is writable for user 1000\n"
        "\n"
        "The hub can use it.\n"
    )


@pytest.mark.parametrize(
    ("packages", "verdict"),
    [
        ({"dask-gateway": None}, "The hub cannot use it: one thing is missing or too different."),
        (
            {"dask-gateway": None, "jupyterhub": "4.1.6"},
            "The hub cannot use it: 2 things are missing or too different.",
        ),
    ],
)
def test_image_that_lacks_something_exits_1(
    capsys: pytest.CaptureFixture[str],
    image: dict[str, object],
    packages: dict[str, str | None],
    verdict: str,
) -> None:
    image["packages"] = packages
    assert main(COMMAND) == 1
    assert capsys.readouterr().out.splitlines()[-1] == verdict


@pytest.mark.parametrize(
    "written",
    [DESCRIPTION, "hub:\n  config:\n" + "".join(f"    {line}\n" for line in DESCRIPTION.splitlines())],
    ids=["our own file", "the chart's values"],
)
def test_description_says_what_the_image_has_to_have(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str
) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text(written)
    assert main([*COMMAND, "--config", str(file)]) == 1
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:-2]] == [
        ["fine", "jupyterhub-singleuser"],
        ["fine", "JupyterLab"],
        ["missing", "RStudio"],
        ["fine", "home"],
    ]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "No such file or directory; give a readable file."),
        ("hub: {", "not YAML: "),
        ("hub: {config: {}}", "has neither ScalableHub nor hub.config.ScalableHub."),
        ("ScalableHub: {imagse: {}}", "ScalableHub.imagse: unknown key"),
    ],
)
def test_file_that_cannot_be_used_is_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str | None, words: str
) -> None:
    file = tmp_path / "hub.yaml"
    if written is not None:
        file.write_text(written)
    assert main([*COMMAND, "--config", str(file)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors


def test_tool_is_found_if_none_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_answers", lambda tool: tool == "kubectl")
    assert main([part for part in COMMAND if part not in ("--using", "podman")]) == 0
    assert capsys.readouterr().out.startswith("quay.io/hub/geo:1: Python 3.13.5, run with kubectl\n")
