"""One hub and one Chromium for all tests here; each test signs in as somebody of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.browser.steps import PATIENCE_MS, find_chromium, launch
from tests.stack import Stack, running_stack, until

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
PEOPLE = ("carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kate", "mallory", "mia")
NewPage = Callable[..., Page]
_PASSED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember of each test whether it passed."""
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        reason = "there is no chromium on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, path)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The hub as it comes, with more people, and a size that one of them may have only for a while."""
    folder = tmp_path_factory.mktemp("browser")
    described = yaml.safe_load(files("scalablehub.local").joinpath("hub.yaml").read_text())
    described["LocalHub"]["users"] |= {name: {"groups": ["research"]} for name in PEOPLE}
    described["LocalHub"]["users"]["erin"]["groups"].append("guests-of-the-week")
    described["ScalableHub"]["sizes"]["tiny"] = {
        **{"order": 9, "display_name": "Tiny", "node": "machine", "share": "1/8"},
        "allowed_groups": ["guests-of-the-week"],
    }
    config = folder / "hub.yaml"
    config.write_text(yaml.safe_dump(described))
    with running_stack(folder / "data", "--config", str(config), "--no-open") as stack:
        yield stack


def open_page(chromium: Browser, **options: Any) -> Page:
    """Return a page of a new context, in which nobody has signed in."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 1000}} | options)
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def keep_pictures(context: BrowserContext, name: str) -> None:
    """Write what the context's pages show at the end of a test, and close it."""
    ARTIFACTS.mkdir(exist_ok=True)
    for number, page in enumerate(context.pages):
        path = ARTIFACTS / f"{re.sub(r'[^a-z0-9_-]+', '-', name.lower())}-{number}.png"
        try:
            page.screenshot(path=path, full_page=True, timeout=10_000)
        except Error as error:
            print(f"no picture of {page.url}: {error}")
    context.close()


@pytest.fixture
def new_page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[NewPage]:
    """A function that opens a page where nobody has signed in yet; pictures are kept if the test fails."""
    contexts: list[BrowserContext] = []

    def new_page(**options: Any) -> Page:
        page = open_page(chromium, **options)
        contexts.append(page.context)
        return page

    yield new_page
    for number, context in enumerate(contexts):
        if request.node.stash.get(_PASSED, False):
            context.close()
        else:
            keep_pictures(context, f"{request.node.name}-{number}")


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture(autouse=True, scope="module")
def stop_servers(stack: Stack) -> Iterator[None]:
    """Let no module leave servers running to the next one's cost."""
    yield
    admin = stack.sign_in("admin")
    for user in admin.call("GET", "hub/api/users?state=active")[1]:
        admin.call("DELETE", f"hub/api/users/{user['name']}/server")
    until(lambda: not admin.call("GET", "hub/api/users?state=active")[1], "all servers have ended")
