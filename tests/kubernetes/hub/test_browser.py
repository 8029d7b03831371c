"""The hub on Kubernetes in a browser: choose, wait, land in the lab, see one's own dashboard only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import keep_pictures, open_page
from tests.browser.steps import PATIENCE_MS, choice, find_chromium, launch, open_dask_panel, sign_in
from tests.kubernetes.hub.changes import changed
from tests.kubernetes.hub.clusters import no_pods_left
from tests.kubernetes.research_hub import PASSWORD, Person, ResearchHub


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    assert path is not None, "these tests need Chromium; install the package 'chromium'"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, path)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = open_page(chromium)
    yield page
    keep_pictures(page.context, f"kubernetes-{request.node.name}")


@pytest.fixture
def dave(hub: ResearchHub) -> Iterator[Person]:
    person = hub.sign_in("dave")
    yield person
    person.stop_server()


@pytest.fixture
def erin(hub: ResearchHub) -> Person:
    return hub.sign_in("erin")


def test_somebody_chooses_waits_and_lands_in_the_lab(page: Page, hub: ResearchHub, dave: Person) -> None:
    sign_in(page, hub, "dave", PASSWORD)
    choice(page, "Size", "Medium").check()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/user/dave/lab"))
    expect(page.locator("#jp-top-panel")).to_be_visible()
    assert dave.pod()["metadata"]["labels"]["scalablehub/size"] == "medium"


def test_a_start_that_fails_is_explained_on_the_page(page: Page, hub: ResearchHub, dave: Person) -> None:
    sign_in(page, hub, "dave", PASSWORD)
    choice(page, "Environment", "crashing").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("Your server ended as soon as it started (exit code 3).").first).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)
    page.get_by_role("button", name="Choose again").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()


def test_the_dask_panel_starts_a_cluster_and_shows_it_where_the_hub_knows_its_address(
    page: Page, hub: ResearchHub, erin: Person
) -> None:
    with changed(hub, {"hub": {"config": {"JupyterHub": {"public_url": hub.url}}}}):
        try:
            sign_in(page, hub, "erin", PASSWORD)
            page.get_by_role("button", name="Start", exact=True).wait_for()
            # Its image signs in to the service of the dashboards.
            page.wait_for_load_state("networkidle")
            page.get_by_role("button", name="Start", exact=True).click()
            expect(page.locator("#jp-top-panel")).to_be_visible()
            open_dask_panel(page)
            page.get_by_role("button", name="NEW", exact=True).click()
            cluster = page.locator(".dask-ClusterListingItem")
            expect(cluster).to_contain_text("GatewayCluster 1")
            cluster.click()
            page.get_by_role("button", name="Workers", exact=True).click()
            plot = page.frame_locator("iframe[src*='individual-workers']")
            expect(plot.locator("canvas").first).to_be_visible()
            cluster.get_by_role("button", name="SHUTDOWN").click()
            expect(cluster).to_have_count(0)
        finally:
            erin.stop_server()
        no_pods_left(hub)


def test_the_owner_sees_the_dashboard(page: Page, hub: ResearchHub, cluster_of_alice: dict[str, Any]) -> None:
    sign_in(page, hub, "alice", PASSWORD)
    expect(page.locator("#jp-top-panel")).to_be_visible()
    page.goto(hub.url + cluster_of_alice["link"].removeprefix("/"))
    expect(page.locator("canvas").first).to_be_visible()


def test_somebody_else_does_not_see_it(
    page: Page, hub: ResearchHub, cluster_of_alice: dict[str, Any]
) -> None:
    sign_in(page, hub, "carol", PASSWORD)
    page.get_by_role("button", name="Start", exact=True).wait_for()
    page.goto(hub.url + cluster_of_alice["link"].removeprefix("/"))
    expect(page.get_by_text("There is no such cluster among yours")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(0)
