from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scalablehub.cli import main

OLD = """\
singleuser:
  image: {name: quay.io/old/base, tag: "1"}
  profileList:
    - display_name: Small
      kubespawner_override: {cpu_guarantee: 1, mem_guarantee: 2G, mem_limit: 2G}
    - display_name: Large
      allowed_groups: [research]
      kubespawner_override:
        cpu_guarantee: 4
        mem_guarantee: 8G
        mem_limit: 16G
        environment: {OMP_NUM_THREADS: "4"}
"""
NEW = """\
hub:
  config:
    ScalableHub:
      nodes: {standard: {cores: 8, memory: 64G}}
      sizes:
        small: {order: 1, display_name: Small, node: standard, cores: 1, memory: 2G}
        large:
          {order: 2, display_name: Large, node: standard, cores: 4, memory: 16G, allowed_groups: [research]}
      images:
        base: {image: "quay.io/old/base:1"}
        geo: {order: 1, display_name: Maps, image: "quay.io/new/geo:1"}
      interfaces: {lab: {url: /lab}}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return ["--config", str(tmp_path / "new.yaml"), "--against", str(tmp_path / "old.yaml")]


def test_each_example_user_is_told_what_changes(capsys: pytest.CaptureFixture[str], files: list[str]) -> None:
    assert main(["check", *files]) == 0
    told, _, _ = capsys.readouterr().out.partition("Pods")
    assert told == (
        "somebody, in no group:\n"
        "\n"
        "  same  size       Small  1 core, 2 GB\n"
        "  same  image      base   quay.io/old/base:1\n"
        "  new   image      Maps   quay.io/new/geo:1\n"
        "  same  interface  lab    /lab\n"
        "  combinations of a size and an image: 1 before, 2 now\n"
        "\n"
        "somebody, in research:\n"
        "\n"
        "  same     size       Small  1 core, 2 GB\n"
        "  changed  size       Large  4 cores, 8 GB to 16 GB → 4 cores, 16 GB\n"
        "  same     image      base   quay.io/old/base:1\n"
        "  new      image      Maps   quay.io/new/geo:1\n"
        "  same     interface  lab    /lab\n"
        "  combinations of a size and an image: 2 before, 4 now\n"
        "\n"
    )


def test_pods_of_both_spawners_are_compared(capsys: pytest.CaptureFixture[str], files: list[str]) -> None:
    assert main(["check", *files, "--as-user", "alice", "--group", "research"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("alice, in research:\n")
    in_every, small, large = told[told.index("Pods, ") :].split("Pods, ")[1:]
    assert in_every.startswith("in every pod:\n")
    assert "  + spec.securityContext.runAsNonRoot: True\n" in in_every
    assert "  + metadata.labels.scalablehub/size: small\n" in small
    assert "memory" not in small
    assert "  ~ spec.containers[notebook].resources.requests.memory: 8589934592 → 17179869184\n" in large
    assert "  - spec.containers[notebook].env[OMP_NUM_THREADS].value: 4\n" in large


def test_a_description_that_the_hub_would_refuse_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: list[str]
) -> None:
    over = tmp_path / "over.yaml"
    over.write_text(
        "hub: {config: {ScalableHub: {nodes: {standard: {kubespawner_override: {no_option: 1}}}}}}"
    )
    assert main(["check", *files, "--config", str(over)]) == 0
    assert "  ! ScalableHub.nodes.standard.kubespawner_override.no_option: is not an option" in (
        capsys.readouterr().out
    )


def test_values_that_kubespawner_refuses_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: list[str]
) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("singleuser: {uid: nobody}")
    assert main(["check", *files, "--against", str(over)]) == 0
    assert "  ! KubeSpawner cannot make a pod of these values: " in capsys.readouterr().out


def test_without_kubespawner_choices_are_compared_and_pods_are_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, files: list[str]
) -> None:
    monkeypatch.delitem(sys.modules, "scalablehub.moving.pods", raising=False)
    monkeypatch.setitem(sys.modules, "kubespawner", None)
    assert main(["check", *files]) == 0
    assert capsys.readouterr().out.endswith(
        "Pods are not compared: KubeSpawner is not installed; run: pip install 'scalablehub[kubernetes]'\n"
    )


def test_what_import_made_changes_no_choice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    old, made = tmp_path / "old.yaml", tmp_path / "made.yaml"
    old.write_text(OLD.replace("mem_guarantee: 8G", "mem_guarantee: 16G"))
    assert main(["import", str(old), "-o", str(made)]) == 0
    assert main(["check", "--config", str(made), "--against", str(old)]) == 0
    told, _, pods = capsys.readouterr().out.partition("Pods")
    kinds = {line.split()[0] for line in told.splitlines() if line.startswith("  ")}
    assert kinds == {"same", "combinations"}
    assert "OMP_NUM_THREADS" not in pods
    assert "resources" not in pods
