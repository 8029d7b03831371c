from __future__ import annotations

from pathlib import Path

import pytest

from scalablehub.cli import main
from tests.moving.old_hubs import VALUES

PLAIN = str(VALUES / "plain.yaml")
OUTPUT = """\
hub:
  config:
    ScalableHub:
      nodes:
        # CHANGE: the values do not say what a node has; this is the most that is asked of one
        standard:
          order: 1
          cores: 0.1
          memory: "3584M"
          reserved: {cores: 0, memory: 0}
      sizes:
        standard:
          order: 1
          node: standard
          # CHANGE: no cores were guaranteed; say how much a server needs
          cores: 0.1
          memory: "3584M"
      images:
        scipy-notebook:
          order: 1
          image: "quay.io/jupyter/scipy-notebook:2026-10-05"
          interfaces: [lab]
      interfaces:
        lab:
          order: 1
          display_name: JupyterLab
          packages: [jupyterlab]
          url: /lab
"""


def test_a_description_is_printed_with_what_it_does_not_have_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["import", PLAIN]) == 0
    output, errors = capsys.readouterr()
    comments, lines = output.split("hub:\n", 1)
    assert f"hub:\n{lines}" == OUTPUT
    assert all(line.startswith("# ") for line in comments.splitlines())
    assert "# - singleuser: guarantees no cores; size 'standard' needs some, and says 0.1." in comments
    assert errors.splitlines() == [
        "What could not be carried:",
        "- singleuser: guarantees no cores; size 'standard' needs some, and says 0.1.",
        "- singleuser: guaranteed 1G of memory and let servers use 3584M; size 'standard' guarantees all of "
        "it, so fewer fit a node.",
        "- singleuser.cloudMetadata.blockWithIptables: adds a privileged container to each server, which is "
        "then refused; write false, and have the chart's network policy block the address.",
        "2 lines need you; look for CHANGE.",
    ]


def test_nothing_is_told_where_nothing_is_lost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(
        "singleuser: {image: {name: x/y, tag: z}, cpu: {guarantee: 1}, memory: {guarantee: 2G, limit: 2G}, "
        "cloudMetadata: {blockWithIptables: false}}"
    )
    assert main(["import", str(values)]) == 0
    assert capsys.readouterr().err == "One line needs you; look for CHANGE.\n"


@pytest.mark.parametrize("name", ["daskhub", "pangeo", "plain", "research"])
def test_what_is_written_can_be_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    made = tmp_path / "ours.yaml"
    assert main(["import", str(VALUES / f"{name}.yaml"), "-o", str(made)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["check", "--config", str(made)]) == 0
    assert capsys.readouterr().out.startswith("The description can be used: ")


def test_a_later_file_goes_over_an_earlier_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("singleuser: {image: {tag: newer}}")
    assert main(["import", PLAIN, str(over)]) == 0
    assert 'image: "quay.io/jupyter/scipy-notebook:newer"' in capsys.readouterr().out


def test_a_file_that_is_there_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = tmp_path / "ours.yaml"
    made.write_text("mine")
    assert main(["import", PLAIN, "-o", str(made)]) == 1
    assert made.read_text() == "mine"
    assert capsys.readouterr().err == (
        f"scalablehub: {made} is there already; give another one with --output, or move it away.\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "There is neither 'singleuser' nor 'hub' in the values"),
        ("- a list", "There is neither 'singleuser' nor 'hub' in the values"),
        ("hub: {a: 2026-99-99}", ": not YAML: month must be in 1..12."),
        ("hub: &x {again: *x}", "refers to itself"),
        ("hub: {{}", ", line 1: not YAML: expected "),
        (
            "one: {hub: {}}\ntwo: {hub: {}}",
            "There is more than one hub in the values; name one: one and two.",
        ),
    ],
)
def test_values_that_cannot_be_read_are_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(text)
    assert main(["import", str(values)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert len(errors.splitlines()) == 1


def test_many_values_in_few_lines_do_not_fill_the_memory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    values.write_text("\n".join([*lines, "hub: {}"]))
    assert main(["import", str(values)]) == 1
    assert "too large or nested too deeply" in capsys.readouterr().err


def test_one_of_two_hubs_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("one: {hub: {}}\ntwo: {singleuser: {image: {name: x/y, tag: z}}}")
    assert main(["import", str(values), "--chart-alias", "two"]) == 0
    assert "\ntwo:\n  hub:\n    config:\n      ScalableHub:\n" in capsys.readouterr().out
