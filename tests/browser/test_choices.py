"""A spawn page with several node pools, groups and prices, as its user works with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.contrast import least_contrast
from tests.browser.steps import choice, part_of_this_machine, sign_in, start
from tests.stack import Stack, running_stack, until

HUB = Path(__file__).parents[2] / "scalablehub" / "local" / "hub.yaml"


def description() -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(HUB.read_text())
    hub = raw["ScalableHub"]
    hub["nodes"] = {
        "machine": {
            **{"order": 1, "display_name": "Standard", "instance": "this-machine", "price": 0.2},
            **{"reserved": {"memory": "1G"}, "ladder": ["1/4", "1/2"]},
        },
        "gpu": {
            **{"order": 2, "display_name": "GPU", "cores": 8, "memory": "64G", "gpus": 4, "price": 4.4},
            **{"allowed_groups": ["gpu"], "locked": "Ask the GPU team."},
        },
    }
    hub["sizes"] = {}
    hub["images"]["r"] = {
        "prefix": "this-environment",
        "display_name": "Statistics",
        "order": 1,
        "interfaces": ["rstudio"],
    }
    hub["interfaces"]["rstudio"] = {"order": 3, "display_name": "RStudio", "url": "/rstudio"}
    hub["dask"] = None
    raw["LocalHub"].pop("sample_data")
    return raw


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("choices")
    (folder / "hub.yaml").write_text(yaml.safe_dump(description()))
    with running_stack(folder / "data", "--config", str(folder / "hub.yaml")) as stack:
        yield stack


def signed_in(page: Page, stack: Stack, name: str) -> Page:
    sign_in(page, stack, name)
    page.get_by_role("button", name="Start", exact=True).wait_for()
    return page


@pytest.fixture
def spawn_page(page: Page, stack: Stack) -> Page:
    return signed_in(page, stack, "alice")


def summary(page: Page) -> str:
    return page.locator("#sh-sum").inner_text()


def test_the_line_that_sums_up_follows_the_choice(spawn_page: Page) -> None:
    choice(spawn_page, "Environment", "The environment of this hub").check()
    choice(spawn_page, "Size", "Standard ½").check()
    choice(spawn_page, "Interface", "Jupyter Notebook").check()
    assert re.fullmatch(
        rf"{part_of_this_machine(2)}, [\d.]+ GB, Jupyter Notebook, The environment of this hub; "
        r"about \$0\.10/h; starts in seconds",
        summary(spawn_page),
    )


def test_interfaces_that_the_environment_does_not_have_cannot_be_chosen(spawn_page: Page) -> None:
    choice(spawn_page, "Environment", "Statistics").check()
    expect(choice(spawn_page, "Interface", "JupyterLab")).to_be_disabled()
    expect(choice(spawn_page, "Interface", "RStudio")).to_be_checked()
    choice(spawn_page, "Environment", "The environment of this hub").check()
    expect(choice(spawn_page, "Interface", "JupyterLab")).to_be_enabled()


def test_what_is_locked_says_whom_to_ask(spawn_page: Page) -> None:
    gpu = choice(spawn_page, "Size", "GPU ½")
    expect(gpu).to_be_disabled()
    expect(gpu).to_have_accessible_name(re.compile("2 GPUs.*Ask the GPU team"))


def test_a_link_selects_and_starts_nothing(spawn_page: Page, stack: Stack) -> None:
    choice(spawn_page, "Environment", "The environment of this hub").check()
    choice(spawn_page, "Size", "Standard ½").check()
    choice(spawn_page, "Interface", "Jupyter Notebook").check()
    link = spawn_page.get_by_role("link", name="Link to this choice").get_attribute("href")
    assert link
    spawn_page.goto(stack.url.rstrip("/") + "/" + link.split("/", 3)[-1].removeprefix("/"))
    expect(choice(spawn_page, "Size", "Standard ½")).to_be_checked()
    expect(choice(spawn_page, "Interface", "Jupyter Notebook")).to_be_checked()
    assert stack.sign_in("alice").call("GET", "hub/api/users/alice")[1]["servers"] == {}


def test_a_link_to_what_one_may_not_have_selects_what_comes_nearest_and_says_so(
    spawn_page: Page, stack: Stack
) -> None:
    spawn_page.goto(f"{stack.url}hub/spawn?opt-size=gpu-1&opt-interface=notebook")
    expect(
        spawn_page.get_by_text(
            "What the link asks for cannot be had: GPU cannot be chosen: Ask the GPU team."
        )
    ).to_be_visible()
    expect(choice(spawn_page, "Interface", "Jupyter Notebook")).to_be_checked()


def test_a_link_without_javascript_selects_too(new_page: NewPage, stack: Stack) -> None:
    page = signed_in(new_page(java_script_enabled=False), stack, "alice")
    page.goto(f"{stack.url}hub/spawn?size=machine-1-2&image=this-environment")
    expect(choice(page, "Size", "Standard ½")).to_be_checked()
    assert summary(page).startswith(f"{part_of_this_machine(2)}, ")


def test_a_choice_that_a_link_made_starts(page: Page, stack: Stack) -> None:
    signed_in(page, stack, "bob")
    page.goto(f"{stack.url}hub/spawn?size=machine-1-2&interface=notebook")
    start(page, "bob")
    model = stack.sign_in("bob").call("GET", "hub/api/users/bob")[1]["servers"][""]
    assert (model["user_options"]["size"], model["user_options"]["interface"]) == ("machine-1-2", "notebook")
    bob = stack.sign_in("bob")
    bob.stop_server()
    bob.start_server({"size": "machine-1-4", "interface": "lab"})
    bob.stop_server()
    # Its process ends before the hub has noticed.
    until(lambda: not bob.call("GET", "hub/api/users/bob")[1]["servers"], "the hub has forgotten the server")


def test_what_was_chosen_before_is_offered_again(page: Page, stack: Stack) -> None:
    signed_in(page, stack, "bob")
    page.goto(f"{stack.url}hub/spawn")
    expect(choice(page, "Size", "Standard ¼")).to_be_checked()
    page.get_by_role("link", name=re.compile(r"Standard ½ · .* · Jupyter Notebook")).click()
    expect(choice(page, "Size", "Standard ½")).to_be_checked()
    expect(choice(page, "Interface", "Jupyter Notebook")).to_be_checked()
    assert page.url == f"{stack.url}hub/spawn"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(new_page: NewPage, stack: Stack, scheme: Any) -> None:
    page = signed_in(new_page(color_scheme=scheme), stack, "alice")
    ratio, text = least_contrast(page.locator(".sh-form"))
    assert ratio >= 4.5, text


def test_an_admin_sees_as_somebody_else(page: Page, stack: Stack) -> None:
    signed_in(page, stack, "admin")
    page.get_by_role("link", name="See as").click()
    page.get_by_label("User").fill("bob")
    page.get_by_label("Also in the group").fill("gpu")
    page.get_by_role("button", name="Show").click()
    row = page.get_by_role("row").filter(has_text="gpu-1-4")
    expect(row).to_contain_text("yes")
    expect(row).to_contain_text("ScalableHub.nodes.gpu.allowed_groups")
