"""What a person does in the browser, step by step; for the tests and for the documentation's pictures."""

from __future__ import annotations

import re
import shutil

from playwright.sync_api import Browser, BrowserType, Locator, Page, TimeoutError

from scalablehub.description.units import format_cores
from scalablehub.local.machine import measure_machine
from tests.stack import Stack

CLUSTERS = "services/dask-gateway/"
# Slow machines take this long for the slowest single step, the first start of a lab.
PATIENCE_MS = 120_000
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Return the path of Chromium, or None if this machine has none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def launch(chromium: BrowserType, path: str, *flags: str) -> Browser:
    """Return a browser that asks nobody but the hub for anything."""
    return chromium.launch(executable_path=path, args=[*_FLAGS, *flags])


def sign_in(page: Page, stack: Stack, name: str, password: str | None = None) -> None:
    """Open the hub and sign in, by pressing Enter in the password's field."""
    if password is None:
        password = stack.secrets["admin_password" if name == "admin" else "user_password"]
    page.goto(stack.url)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).or_(page.locator("input[name=password]")).first.fill(password)
    page.keyboard.press("Enter")


def choice(page: Page, kind: str, name: str) -> Locator:
    """Return one radio button of the spawn page."""
    return page.get_by_role("group", name=kind, exact=True).get_by_role("radio", name=name)


def start(page: Page, name: str) -> None:
    """Press Start on the spawn page, and wait until the user's server answers."""
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(rf"/user/{name}/"))


def open_lab(page: Page, stack: Stack, name: str) -> None:
    """Sign in, start a server as the page has it, and wait for the start notebook."""
    sign_in(page, stack, name)
    page.get_by_role("button", name="Start", exact=True).wait_for()
    # The page's image signs in to Dask's service; the panel asks for nothing but takes that.
    page.wait_for_load_state("networkidle")
    start(page, name)
    wait_for_notebook(page)


def wait_for_notebook(page: Page) -> None:
    """Wait until the start notebook is shown and its kernel takes code."""
    page.get_by_role("heading", name="Start here").wait_for()
    page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()


def wake_kernel(page: Page) -> None:
    """Run the notebook's first cell until the kernel has really taken it.

    A lab that shows its kernel as idle may still lose what is run in the moment when their connection opens.
    """
    first = page.locator(".jp-CodeCell").first
    ran = first.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[\d+\]"))
    for _ in range(5):
        first.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        try:
            ran.wait_for(timeout=PATIENCE_MS / 4)
        except TimeoutError:
            continue
        return
    ran.wait_for(timeout=1)


def run_all(page: Page) -> None:
    """Run all cells of the notebook."""
    wake_kernel(page)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_through(page: Page, last: str) -> None:
    """Run the notebook's cells from the active one, the first at first, through the one that has the text."""
    page.locator(".jp-Notebook .jp-Cell.jp-mod-active").focus()
    target = page.locator(".jp-CodeCell").filter(has_text=last)
    while "jp-mod-active" not in (target.get_attribute("class") or "").split():
        page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def start_cluster(page: Page) -> str:
    """Run the start notebook until its two workers are there, and return the printed dashboard address."""
    wake_kernel(page)
    page.keyboard.press("Escape")
    run_through(page, "client.wait_for_workers(")
    page.get_by_text(re.compile(r"Two workers are ready after \d+ s")).wait_for(timeout=2 * PATIENCE_MS)
    address = dashboard_link(page).get_attribute("href")
    assert address
    return address


def dashboard_link(page: Page) -> Locator:
    """Return the link that the notebook printed."""
    return page.locator(".jp-OutputArea-output a[href*='/clusters/']").first


def open_dask_panel(page: Page) -> Locator:
    """Open JupyterLab's Dask panel, if the lab has not restored it, and return its box for an address."""
    box = page.get_by_placeholder("DASK DASHBOARD URL")
    if not box.is_visible():
        page.get_by_role("tab", name="Dask").click()
    return box


def part_of_this_machine(parts: int) -> str:
    """Return the cores of one of so many parts of this machine, as the page writes them."""
    return format_cores(measure_machine().cores / parts)
