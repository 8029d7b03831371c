"""The spawn page of a plain JupyterHub below a path, with named servers and names that mean harm."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.plain_hub import PlainHub, plain_hub
from tests.browser.steps import choice

ATTACK = "</script><script>window.attacked = true</script>{{ 7*7 }}<img src=x onerror='window.attacked=true'>"
HOSTILE = {"display_name": ATTACK, "description": ATTACK, "icon": "<b>&"}
DESCRIPTION: dict[str, Any] = {
    "nodes": {
        "machine": {"cores": 4, "memory": "8G", "price": 0.4, "reserved": {}, "ladder": ["1/4", "1/2"]},
        "other": {"order": 1, "cores": 4, "memory": "8G", "display_name": ATTACK, "description": ATTACK},
        "locked": {"order": 2, "cores": 4, "memory": "8G", "allowed_groups": ["staff"], "locked": ATTACK},
    },
    "images": {"here": {"prefix": sys.prefix}, "hostile": HOSTILE | {"order": 1, "prefix": sys.prefix}},
    "interfaces": {
        "lab": {"display_name": "JupyterLab", "url": "/lab"},
        "notebook": {"display_name": "Jupyter Notebook", "url": "/tree"},
        "hostile": HOSTILE | {"order": 1, "url": "/lab"},
    },
    "currency": "<i>",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHub]:
    with plain_hub(tmp_path_factory.mktemp("plain-hub"), DESCRIPTION) as hub:
        yield hub


@pytest.fixture(autouse=True, scope="module")
def stop_servers(stack: PlainHub) -> None:
    """The hub stops them when it ends."""


def sign_in(page: Page, hub: PlainHub, name: str, path: str = "hub/spawn") -> None:
    page.goto(hub.url + path)
    page.get_by_label("Username").fill(name)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start", exact=True).wait_for()


def test_all_that_the_page_leads_to_and_asks_for_is_below_the_path(page: Page, stack: PlainHub) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sign_in(page, stack, "alice")
    page.wait_for_load_state("networkidle")
    links = page.locator(".sh-form a, #spawn_form").evaluate_all(
        "found => found.map(element => element.href ?? element.action)"
    )
    assert len(links) >= 2
    for address in (*asked, *links):
        assert address.startswith((stack.url, "data:")), address


def test_a_hostile_name_is_only_text(page: Page, stack: PlainHub) -> None:
    sign_in(page, stack, "alice")
    choice(page, "Environment", ATTACK).check()
    choice(page, "Interface", ATTACK).check()
    expect(page.locator("#sh-sum")).to_contain_text(ATTACK)
    expect(page.locator("#sh-sum")).to_contain_text("about <i>0.10/h")
    assert page.evaluate("window.attacked") is None
    assert page.locator(".sh-form img[src='x']").count() == 0


def test_a_link_to_a_named_server_selects_and_starts_nothing(page: Page, stack: PlainHub) -> None:
    sign_in(page, stack, "bob", "hub/spawn/bob/second?opt-size=machine-1-2&opt-interface=notebook")
    expect(choice(page, "Size", "machine ½")).to_be_checked()
    expect(choice(page, "Interface", "Jupyter Notebook")).to_be_checked()
    link = page.get_by_role("link", name="Link to this choice").get_attribute("href") or ""
    assert "/hubs/a/hub/spawn/bob/second?opt-size=machine-1-2" in link
    # A server that starts or runs would lead away from the page.
    page.goto(f"{stack.url}hub/spawn/bob/second")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()


@pytest.mark.parametrize("query", ["opt-size=machine-1-2", "size=machine-1-2"], ids=["JupyterHub 6", "5.5"])
def test_a_link_of_jupyterhubs_own_selects_and_starts_nothing(
    page: Page, stack: PlainHub, query: str
) -> None:
    sign_in(page, stack, "carol", f"hub/spawn?{query}")
    expect(choice(page, "Size", "machine ½")).to_be_checked()
    expect(page.locator(".spawn-error-msg")).to_have_count(0)
    page.reload()
    expect(choice(page, "Size", "machine ½")).to_be_checked()
    for complaint in ("Failed to spawn", "Traceback", "User options should be prefixed"):
        assert complaint not in stack.log.read_text()


def test_a_named_server_starts_as_chosen_and_remembers_it_for_itself(page: Page, stack: PlainHub) -> None:
    sign_in(page, stack, "dave", "hub/spawn/dave/second")
    choice(page, "Size", "machine ½").check()
    choice(page, "Interface", "Jupyter Notebook").check()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/hubs/a/user/dave/second/tree"))
    page.goto(f"{stack.url}hub/spawn")
    expect(choice(page, "Size", "machine ¼")).to_be_checked()
    expect(choice(page, "Interface", "JupyterLab")).to_be_checked()
