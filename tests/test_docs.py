"""The docs tell the truth: what they list is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubespawner import KubeSpawner
from traitlets.config import Config

from scalablehub.description import load_description
from scalablehub.hub import KUBE_SPAWNER, configure
from scalablehub.local.settings import DEFAULT_FILE, load_settings
from scalablehub.pods import CONTAINER_SECURITY_CONTEXT, POD_SECURITY_CONTEXT, choice_labels, user_labels
from scalablehub.spawner.overriding import misplaced_overrides
from tests.kubernetes.deployment.values import merged

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("images/**/*.md")])
LINK = re.compile(r"!?\[[^]]*\]\(([^)#\s]+)[^)]*\)")
ANCHOR = re.compile(r"\[[^]]*\]\(([^)#\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.M)
CODE_BLOCK = re.compile(r"^```.*?^```", re.M | re.S)
YAML_BLOCK = re.compile(r"^ *```yaml\n(.*?)^ *```", re.M | re.S)
INSTALL = ROOT / "docs" / "how-to" / "install-into-zero-to-jupyterhub.md"
VALUES = sorted((ROOT / "docs" / "how-to" / "values").iterdir())


def headings(page: Path) -> set[str]:
    """Return what the headings of a page go by in an address, as GitHub makes it of them."""
    found = HEADING.findall(CODE_BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    links = [(name, heading) for name, heading in ANCHOR.findall(page.read_text()) if "://" not in name]
    found = {name: headings(page.parent / name if name else page) for name, _ in links}
    assert [link for link in links if link[1] not in found[link[0]]] == []


def test_every_page_is_in_the_index_of_the_docs() -> None:
    docs = ROOT / "docs"
    listed = set(LINK.findall((docs / "README.md").read_text()))
    pages = {str(page.relative_to(docs)) for page in docs.glob("**/*.md")} - {"README.md"}
    assert pages - listed == set()


def test_shipped_description_is_valid() -> None:
    assert set(load_settings(DEFAULT_FILE).local.users) == {"alice", "bob", "admin"}


def test_config_command_prints_the_shipped_description() -> None:
    command = [sys.executable, "-m", "scalablehub", "config"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == DEFAULT_FILE.read_text()


@pytest.mark.parametrize("name", ["up", "check", "import"])
def test_command_reference_lists_every_option(name: str) -> None:
    command = [sys.executable, "-m", "scalablehub", name, "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"--[a-z-]+", printed)) - {"--help"}
    page = (ROOT / "docs" / "reference" / "command.md").read_text()
    assert {option for option in options if f"`{option}" not in page} == set()


@pytest.mark.parametrize(
    "name",
    [
        "your-own-description",
        "beyond-the-description",
        "your-own-image",
        "choices-by-group",
        "choose-workers",
        "keys-for-buckets",
        "limit-clusters",
        "share-data",
        "sizes-from-your-nodes",
    ],
)
def test_examples_of_a_how_to_fit_into_the_shipped_description_one_after_the_other(name: str) -> None:
    described = yaml.safe_load(DEFAULT_FILE.read_text())["ScalableHub"]
    for block in YAML_BLOCK.findall((ROOT / "docs" / "how-to" / f"{name}.md").read_text()):
        found = yaml.safe_load(textwrap.dedent(block))
        found = found.get("hub", {}).get("config", found)
        described = merged(described, found.get("ScalableHub", found))
        description = load_description(described)
        assert list(misplaced_overrides(description, KubeSpawner.class_traits(config=True))) == []


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.name)
def test_values_are_yaml_that_the_how_to_names(path: Path) -> None:
    assert all(isinstance(part, dict) for part in yaml.safe_load_all(path.read_text()))
    assert f"(values/{path.name})" in INSTALL.read_text()
    assert f"### {path.name}" in INSTALL.read_text()


def shipped_values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((VALUES[0].parent / "zero-to-jupyterhub.yaml").read_text())
    return values


def test_shipped_values_have_a_description_that_a_hub_in_kubernetes_can_start_with() -> None:
    c = Config(shipped_values()["hub"]["config"])
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    configure(c)
    assert c.JupyterHub.spawner_class == KUBE_SPAWNER


@pytest.mark.parametrize("block", YAML_BLOCK.findall(INSTALL.read_text()))
def test_examples_of_the_installation_fit_over_the_shipped_values(block: str) -> None:
    values = merged(shipped_values(), yaml.safe_load(block))
    assert load_description(values["hub"]["config"]["ScalableHub"])


def test_the_installation_and_the_values_say_the_same_commands() -> None:
    page = " ".join(INSTALL.read_text().replace("\\\n", " ").split())
    for path in VALUES:
        for release, chart in re.findall(
            r"^# helm upgrade --install (\S+ \S+) (--repo \S+)", path.read_text(), re.M
        ):
            assert f"$ helm upgrade --install {release} {chart} " in page


def test_reference_of_pods_lists_every_label_and_every_right_that_is_withheld() -> None:
    page = (ROOT / "docs" / "reference" / "pods.md").read_text()
    labels = {*user_labels("alice"), *choice_labels({}, size="x", node_pool="x", image="x", interface="x")}
    fields = {f"securityContext.{name}" for name in POD_SECURITY_CONTEXT | CONTAINER_SECURITY_CONTEXT}
    assert {label for label in labels if f"| `{label}` |" not in page} == set()
    assert {field for field in fields if f"| `{field}" not in page} == set()
