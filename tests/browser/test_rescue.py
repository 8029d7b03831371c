"""Somebody whose home is full is told so where they work, cleans up there, and has everything as before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.contrast import least_contrast
from tests.browser.steps import choice, sign_in, start
from tests.homes import fill, mounted
from tests.stack import Stack

NAME = "judy"


@pytest.fixture(scope="module")
def home(stack: Stack) -> Iterator[Path]:
    """Judy's home: a small disk with a notebook and a folder, and full."""
    with mounted(stack.data_dir / "homes" / NAME) as home:
        (home / "data").mkdir()
        (home / "data" / "part.bin").write_bytes(bytes(700_000))
        (home / "notes.txt").write_text("of mine")
        fill(home)
        yield home
        client = stack.sign_in(NAME)
        if client.find_server():
            client.stop_server()


def start_in(page: Page, stack: Stack, interface: str) -> None:
    sign_in(page, stack, NAME)
    choice(page, "Interface", interface).check()
    start(page, NAME)


def banner(page: Page) -> Locator:
    return page.get_by_role("status").filter(has_text="Rescue mode")


def stop_by_link(page: Page, stack: Stack) -> Page:
    """Follow the banner's link, stop the server on the hub's page, and return the spawn page."""
    with page.expect_popup() as opened:
        banner(page).get_by_role("link", name="stop your server and start it again").click()
    hub = opened.value
    # The button does nothing before the page's script has come.
    hub.wait_for_load_state("networkidle")
    hub.get_by_role("button", name="Stop My Server").click()
    expect(hub.get_by_role("button", name="Start My Server")).to_be_visible()
    page.close()
    hub.goto(f"{stack.url}hub/spawn")
    return hub


def test_notebook_says_that_the_home_is_full_and_opens_a_terminal(
    page: Page, stack: Stack, home: Path
) -> None:
    start_in(page, stack, "Jupyter Notebook")
    expect(banner(page)).to_contain_text("Your home directory is full.")
    with page.expect_popup() as opened:
        banner(page).get_by_role("button", name="Open a terminal").click()
    expect(opened.value.locator(".jp-Terminal .xterm")).to_be_visible()
    expect(banner(opened.value)).to_be_visible()
    stack.sign_in(NAME).stop_server()


def test_lab_says_it_files_are_deleted_for_good_and_a_restart_is_normal(
    new_page: NewPage, stack: Stack, home: Path
) -> None:
    page = new_page()
    start_in(page, stack, "JupyterLab")
    expect(banner(page)).to_contain_text("Your home directory is full.")
    banner(page).get_by_text("How to clean up").click()
    expect(banner(page).get_by_text("rm -rf ~/.local/share/Trash")).to_be_visible()
    assert least_contrast(banner(page)) >= (4.5, "")
    banner(page).get_by_text("How to clean up").click()
    menu, below = page.locator("#jp-top-panel").bounding_box(), banner(page).bounding_box()
    assert menu is not None
    assert below is not None
    assert menu["y"] >= below["y"] + below["height"]

    for name in ("results.bin", "data"):
        item = page.locator(".jp-DirListing-item").filter(has_text=name)
        item.click()
        page.keyboard.press("Delete")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(re.compile("permanently", re.I))
        dialog.get_by_role("button", name="Delete").click()
        expect(item).to_have_count(0)
    assert {path.name for path in home.iterdir()} >= {"notes.txt"}
    assert not (home / "data").exists()

    page = stop_by_link(page, stack)
    start(page, NAME)
    expect(page.locator(".jp-DirListing-item").filter(has_text="notes.txt")).to_be_visible()
    expect(banner(page)).to_have_count(0)
    assert (home / ".jupyter").exists() or (home / ".local" / "share" / "jupyter").exists()
