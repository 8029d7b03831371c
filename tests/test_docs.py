"""The docs tell the truth: what they list is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml
from kubespawner import KubeSpawner

from scalablehub.description import load_description
from scalablehub.local.settings import DEFAULT_FILE, load_settings
from scalablehub.pods import CONTAINER_SECURITY_CONTEXT, POD_SECURITY_CONTEXT, choice_labels, user_labels
from scalablehub.spawner.overriding import misplaced_overrides

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("images/**/*.md")])
LINK = re.compile(r"!?\[[^]]*\]\(([^)#\s]+)[^)]*\)")
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.M | re.S)


def test_reference_of_the_description_is_what_the_models_say() -> None:
    spec = spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    generate = module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.PAGE.read_text() == generate.page()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in targets if not (page.parent / link).exists()] == []


def test_shipped_description_is_valid() -> None:
    assert set(load_settings(DEFAULT_FILE).local.users) == {"alice", "bob", "admin"}


def test_config_command_prints_the_shipped_description() -> None:
    command = [sys.executable, "-m", "scalablehub", "config"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == DEFAULT_FILE.read_text()


@pytest.mark.parametrize("name", ["up", "check"])
def test_command_reference_lists_every_option(name: str) -> None:
    command = [sys.executable, "-m", "scalablehub", name, "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"--[a-z-]+", printed)) - {"--help"}
    page = (ROOT / "docs" / "reference" / "command.md").read_text()
    assert {option for option in options if f"`{option}" not in page} == set()


@pytest.mark.parametrize(
    "block",
    [
        block
        for name in ("your-own-description", "beyond-the-description")
        for block in YAML_BLOCK.findall((ROOT / "docs" / "how-to" / f"{name}.md").read_text())
    ],
)
def test_examples_of_the_how_to_fit_into_the_shipped_description(block: str) -> None:
    shipped = yaml.safe_load(DEFAULT_FILE.read_text())["ScalableHub"]
    example = yaml.safe_load(block)
    for section, entries in example.get("ScalableHub", example).items():
        shipped[section] = shipped[section] | entries
    description = load_description(shipped)
    assert list(misplaced_overrides(description, KubeSpawner.class_traits(config=True))) == []


def test_reference_of_pods_lists_every_label_and_every_right_that_is_withheld() -> None:
    page = (ROOT / "docs" / "reference" / "pods.md").read_text()
    labels = {*user_labels("alice"), *choice_labels({}, size="x", node_pool="x", image="x", interface="x")}
    fields = {f"securityContext.{name}" for name in POD_SECURITY_CONTEXT | CONTAINER_SECURITY_CONTEXT}
    assert {label for label in labels if f"| `{label}` |" not in page} == set()
    assert {field for field in fields if f"| `{field}" not in page} == set()
