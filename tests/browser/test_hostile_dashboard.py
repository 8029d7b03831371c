"""What a dashboard that means harm can do to its owner, and what not, in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import hostile
from tests.browser.conftest import NewPage
from tests.browser.steps import CLUSTERS, find_chromium, launch, sign_in
from tests.services.dask_gateway import real
from tests.stack import Program, Stack

ON_THE_HUBS_ORIGIN = {
    "read cookies": "",
    "plant a cookie": "not planted",
    "fetch a page of the hub": "nothing secret",
    "ask the hub who one is": "403",
    "make a token": "403",
    "use the server": "403",
    "frame the hub": "cut off",
    "open the hub": "cut off",
    # Where its code runs already, and which chooses its headers itself.
    "open the server": "read: /user/mallory/lab",
    # Its own origin: it can stop and scale its owner's clusters, of which it is one.
    "read My clusters": "200",
    "be a service worker for the hub": "refused",
}
ON_A_DOMAIN_OF_ITS_OWN = ON_THE_HUBS_ORIGIN | {
    # The hub's are another site's; what a browser does not let it read fails.
    "fetch a page of the hub": "failed",
    "ask the hub who one is": "failed",
    "make a token": "failed",
    "use the server": "failed",
    "open the server": "cut off",
}


_ALL_HERE = "--host-resolver-rules=MAP *.hub.test 127.0.0.1, MAP hub.test 127.0.0.1"


def attempts(page: Page, dashboard: str) -> Any:
    """Open the hostile page; return what came of each of its attempts."""
    page.goto(f"{dashboard}hostile")
    page.wait_for_function("window.came !== undefined", timeout=60_000)
    return page.evaluate("window.came")


_CLUSTER = f"""
from dask_gateway import Gateway
{hostile.SERVE}
gateway = Gateway()
cluster = gateway.new_cluster()
client = cluster.get_client()
client.run_on_scheduler(serve, page={hostile.page("", "mallory")!r})
say(cluster.name)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def dashboard(stack: Stack) -> Iterator[str]:
    """The URL of the dashboard of a cluster whose scheduler serves the hostile page, ending in '/'."""
    mallory = stack.sign_in("mallory")
    mallory.start_server()
    with Program(mallory, _CLUSTER) as program:
        yield f"{stack.url}{CLUSTERS}clusters/{program.answer(180)}/"
    mallory.stop_server()


@pytest.fixture
def signed_in(new_page: NewPage, stack: Stack) -> Page:
    page = new_page()
    sign_in(page, stack, "mallory")
    page.wait_for_url(re.compile("/hub/spawn|/user/"))
    return page


def test_a_hostile_dashboard_gets_nothing_of_the_hubs(signed_in: Page, dashboard: str) -> None:
    assert attempts(signed_in, dashboard) == ON_THE_HUBS_ORIGIN


def test_the_hub_has_its_owner_signed_in_meanwhile(signed_in: Page, stack: Stack) -> None:
    """What was refused was worth having."""
    answer = signed_in.goto(f"{stack.url}hub/token")
    assert answer is not None
    assert (answer.status, signed_in.url) == (200, f"{stack.url}hub/token")


def test_inside_of_another_page_it_is_cut_off_from_the_hub_as_well(
    signed_in: Page, dashboard: str, stack: Stack
) -> None:
    """As JupyterLab shows it."""
    signed_in.goto(f"{stack.url}user/mallory/lab")
    signed_in.evaluate(
        """address => {
          const frame = document.createElement('iframe');
          frame.src = address;
          document.body.append(frame);
        }""",
        f"{dashboard}hostile",
    )
    signed_in.wait_for_function("document.querySelector('iframe[src$=hostile]').contentWindow.came")
    (frame,) = [frame for frame in signed_in.frames if frame.url.endswith("/hostile")]
    frame.wait_for_function("window.came !== undefined", timeout=60_000)
    assert frame.evaluate("window.came['open the hub']") == "cut off"


@pytest.fixture
def domains(tmp_path: Path) -> Iterator[real.Stack]:
    with real.running(tmp_path, "hub.test") as stack:
        yield stack


def test_with_domains_of_their_own_dashboards_are_of_another_origin(
    domains: real.Stack, chromium: Browser
) -> None:
    hub = f"http://hub.test:{domains.port}"
    code = f"""
from dask_gateway import Gateway, JupyterHubAuth
{hostile.SERVE}
auth = JupyterHubAuth({domains.token("alice")["token"]!r})
address = "http://127.0.0.1:{domains.service}/services/dask-gateway"
with Gateway(address, proxy_address="gateway://127.0.0.1:{domains.tcp}", auth=auth) as gateway:
    cluster = gateway.new_cluster(shutdown_on_close=False)
    with cluster.get_client() as client:
        client.run_on_scheduler(serve, page={hostile.page(hub, "alice")!r})
    print(cluster.name)
    cluster.close(shutdown=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    path = find_chromium()
    assert path is not None
    browser = launch(chromium.browser_type, path, _ALL_HERE)
    try:
        page = browser.new_page()
        page.goto(f"{hub}/hub/login?next=/hub/home")
        page.get_by_label("Username").fill("alice")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{hub}/hub/home")
        service = f"http://dask-gateway--service.hub.test:{domains.port}/services/dask-gateway/"
        page.goto(service)
        page.get_by_role("heading", name="My Dask clusters").wait_for()
        assert attempts(page, f"{service}clusters/{done.stdout.strip()}/") == ON_A_DOMAIN_OF_ITS_OWN
    finally:
        browser.close()
