"""Dask as its user sees it: the notebook, the dashboard, JupyterLab's panel, the page of clusters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, WebSocket, expect

from tests.browser.conftest import NewPage, keep_pictures, open_page
from tests.browser.steps import (
    CLUSTERS,
    dashboard_link,
    open_dask_panel,
    open_lab,
    run_all,
    sign_in,
    start,
    start_cluster,
    wait_for_notebook,
    wake_kernel,
)
from tests.stack import Stack

WIDE = {"width": 1500, "height": 950}


@dataclass
class Lab:
    """Alice's JupyterLab, with the start notebook run until its two workers are there."""

    page: Page
    dashboard: str


@dataclass
class Sockets:
    """What came through a page's websockets."""

    urls: list[str] = field(default_factory=list)
    received: int = 0
    closed: int = 0

    def watch(self, page: Page) -> None:
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        self.urls.append(socket.url)
        socket.on("framereceived", lambda data: self._count())
        socket.on("close", lambda socket: self._close())

    def _count(self) -> None:
        self.received += 1

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def lab(stack: Stack, chromium: Browser) -> Iterator[Lab]:
    page = open_page(chromium, viewport=WIDE)
    open_lab(page, stack, "alice")
    yield Lab(page, start_cluster(page))
    keep_pictures(page.context, "lab")


def expect_plot(where: Page | FrameLocator) -> None:
    """Wait for a plot that Bokeh has drawn."""
    expect(where.locator("canvas").first).to_be_visible()


def test_notebooks_cluster_is_the_one_that_its_link_names(lab: Lab, stack: Stack) -> None:
    assert re.fullmatch(re.escape(stack.url + CLUSTERS) + r"clusters/[0-9a-f]{32}/status", lab.dashboard)


def test_panel_shows_plots_of_the_pasted_dashboard(lab: Lab) -> None:
    box = open_dask_panel(lab.page)
    box.fill(lab.dashboard)
    box.press("Enter")
    lab.page.get_by_role("button", name="Task Stream").click()
    expect_plot(lab.page.frame_locator("iframe[src*='individual-task-stream']"))


def test_panel_finds_the_notebooks_dashboard_by_itself(lab: Lab) -> None:
    box = open_dask_panel(lab.page)
    lab.page.get_by_role("tab", name="start.ipynb").click()
    box.fill("")
    lab.page.get_by_role("button", name="Auto-detect dashboard URL").click()
    expect(box).to_have_value(lab.dashboard.removesuffix("status"))


def test_panel_starts_a_cluster_shows_it_and_gives_a_notebook_its_client(
    new_page: NewPage, stack: Stack
) -> None:
    page = new_page(viewport=WIDE)
    open_lab(page, stack, "heidi")
    box = open_dask_panel(page)
    page.get_by_role("button", name="NEW", exact=True).click()
    cluster = page.locator(".dask-ClusterListingItem")
    expect(cluster).to_contain_text("GatewayCluster 1", timeout=90_000)
    cluster.click()
    expect(box).to_have_value(
        re.compile(r"/services/dask-gateway/of/user/heidi/proxy/clusters/[0-9a-f]{32}/")
    )
    page.get_by_role("button", name="Workers", exact=True).click()
    expect_plot(page.frame_locator("iframe[src*='individual-workers']"))
    page.get_by_role("tab", name="start.ipynb").click()
    wake_kernel(page)
    cluster.get_by_title("Inject client code").click()
    cell = page.locator(".jp-CodeCell").filter(has_text='client = Client("gateway://')
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("Connection method: Direct")
    cluster.get_by_role("button", name="SHUTDOWN").click()
    expect(cluster).to_have_count(0)


def test_panel_works_without_the_spawn_page_once_the_dashboard_was_opened(
    lab: Lab, new_page: NewPage, stack: Stack
) -> None:
    page = new_page(viewport=WIDE)
    sign_in(page, stack, "alice")
    wait_for_notebook(page)
    page.goto(lab.dashboard)
    expect_plot(page)
    page.goto(f"{stack.url}user/alice/lab")
    wait_for_notebook(page)
    box = open_dask_panel(page)
    box.fill(lab.dashboard)
    box.press("Enter")
    page.get_by_role("button", name="Workers", exact=True).click()
    expect_plot(page.frame_locator("iframe[src*='individual-workers']"))


def test_link_in_the_notebook_opens_the_dashboard_for_its_owner(lab: Lab) -> None:
    sockets = Sockets()
    lab.page.context.once("page", sockets.watch)
    lab.page.get_by_role("tab", name="start.ipynb").click()
    with lab.page.expect_popup() as opened:
        dashboard_link(lab.page).click()
    dashboard = opened.value
    expect(dashboard).to_have_title("Dask: Status")
    expect_plot(dashboard)
    assert [url.rsplit("/", 2)[-2:] for url in sockets.urls] == [["status", "ws"]]
    assert sockets.received
    assert not sockets.closed


def test_dashboard_refuses_one_without_dask(lab: Lab, page: Page, stack: Stack) -> None:
    sign_in(page, stack, "bob")
    page.get_by_role("button", name="Start", exact=True).wait_for()
    answer = page.goto(lab.dashboard)
    assert answer
    assert answer.status == 403
    expect(
        page.get_by_text("do not have permission to access JupyterHub service dask-gateway").first
    ).to_be_visible()


def test_dashboard_is_not_there_for_an_admin_who_does_not_own_it(lab: Lab, page: Page, stack: Stack) -> None:
    sign_in(page, stack, "admin")
    page.get_by_role("button", name="Start", exact=True).wait_for()
    answer = page.goto(lab.dashboard)
    assert answer
    assert answer.status == 404
    expect(page.get_by_text("There is no such cluster among yours")).to_be_visible()


def test_dashboard_sends_a_stranger_to_sign_in_and_the_owner_back_to_it(
    lab: Lab, page: Page, stack: Stack
) -> None:
    page.goto(lab.dashboard)
    expect(page).to_have_url(re.compile("/hub/login"))
    page.locator("input[name=username]").fill("alice")
    page.locator("input[name=password]").fill(stack.secrets["user_password"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(lab.dashboard)
    expect_plot(page)


def test_ones_clusters_are_listed_and_nobody_elses(lab: Lab, new_page: NewPage, stack: Stack) -> None:
    name = lab.dashboard.split("/")[-2]
    for person, count in (("alice", 1), ("admin", 0)):
        page = new_page()
        sign_in(page, stack, person)
        page.wait_for_url(re.compile("/hub/spawn|/user/"))
        page.goto(stack.url + CLUSTERS)
        expect(page.get_by_role("heading", name="My Dask clusters")).to_be_visible()
        expect(page.get_by_text(name, exact=True)).to_have_count(count)


def test_the_page_of_clusters_follows_them_and_leaves_alone_what_one_writes(
    new_page: NewPage, stack: Stack
) -> None:
    kate, json = stack.sign_in("kate"), {"Content-Type": "application/json"}
    page = new_page()
    sign_in(page, stack, "kate")
    page.wait_for_url("**/hub/spawn")
    page.goto(stack.url + CLUSTERS)
    expect(page.get_by_text("You have no cluster.")).to_be_visible()
    loaded = page.evaluate("window.loaded = performance.timeOrigin")
    status, made = kate.call("POST", f"{CLUSTERS}api/v1/clusters/", {"cluster_options": {}}, **json)
    assert status == 201, made
    expect(page.get_by_text("Tasks: 0 in all")).to_be_visible(timeout=60_000)
    page.get_by_role("spinbutton").fill("3")
    kate.call("POST", f"{CLUSTERS}api/v1/clusters/{made['name']}/scale", {"count": 1}, **json)
    expect(page.get_by_text("1 granted · 1 wanted")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("spinbutton")).to_have_value("3")
    expect(page.get_by_role("spinbutton")).to_be_focused()
    page.get_by_role("heading", name="My Dask clusters").click()
    kate.call("DELETE", f"{CLUSTERS}api/v1/clusters/{made['name']}")
    expect(page.get_by_text("You stopped it, or it had nothing to do")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("You have no cluster.")).to_be_visible()
    assert page.evaluate("window.loaded") == loaded


def test_what_a_cluster_wrote_is_there_while_it_runs_and_after(new_page: NewPage, stack: Stack) -> None:
    mia = stack.sign_in("mia")
    status, made = mia.call(
        "POST", f"{CLUSTERS}api/v1/clusters/", {"cluster_options": {}}, **{"Content-Type": "application/json"}
    )
    assert status == 201, made
    page = new_page()
    sign_in(page, stack, "mia")
    page.wait_for_url("**/hub/spawn")
    page.goto(stack.url + CLUSTERS)
    expect(page.get_by_text("Tasks: 0 in all")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name=f"Logs of {made['name']}").click()
    expect(page.get_by_text("Scheduler: it runs")).to_be_visible()
    expect(page.get_by_text("Scheduler at:").first).to_be_visible()
    mia.call("DELETE", f"{CLUSTERS}api/v1/clusters/{made['name']}")
    page.get_by_role("link", name="My Dask clusters").click()
    expect(page.get_by_text("You stopped it, or it had nothing to do")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name=f"Logs of {made['name']}").click()
    expect(page.get_by_text("Scheduler: it has ended")).to_be_visible()
    expect(page.get_by_text("Scheduler at:").first).to_be_visible()
    address = page.url
    stranger = new_page()
    sign_in(stranger, stack, "judy")
    stranger.wait_for_url("**/hub/spawn")
    stranger.goto(address)
    expect(stranger.get_by_text("There is no such cluster among yours")).to_be_visible()
    expect(stranger.get_by_text("Scheduler at:")).to_have_count(0)


def test_cluster_is_stopped_without_javascript(new_page: NewPage, stack: Stack) -> None:
    status, made = stack.sign_in("judy").call(
        "POST", f"{CLUSTERS}api/v1/clusters/", {"cluster_options": {}}, **{"Content-Type": "application/json"}
    )
    assert status == 201, made
    page = new_page(java_script_enabled=False)
    sign_in(page, stack, "judy")
    page.wait_for_url("**/hub/spawn")
    page.goto(stack.url + CLUSTERS)
    page.get_by_role("button", name=f"Stop {made['name']}").click()
    for _ in range(120):
        if page.get_by_text("You have no cluster").is_visible():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.get_by_text(made["name"], exact=True)).to_have_count(0)


def test_start_notebook_runs_to_its_end(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "ivan")
    start(page, "ivan")
    wait_for_notebook(page)
    run_all(page)
    for sentence in (
        r"^\d+\.\d% of the Earth is land\.$",
        r"^The coast behaves like a curve of \d\.\d+ dimensions\.$",
        r"^The same after reading it back: True$",
    ):
        found = page.locator(".jp-OutputArea-output").get_by_text(re.compile(sentence, re.MULTILINE))
        expect(found.first).to_be_attached(timeout=400_000)
    expect(page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")).to_have_count(0)
    expect(
        page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]")
    ).to_be_visible()
