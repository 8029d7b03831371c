"""The page on which people choose their server."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.contrast import least_contrast
from tests.browser.steps import choice, sign_in, start
from tests.stack import Client, Stack

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def spawn_page(page: Page, stack: Stack) -> Page:
    sign_in(page, stack, "alice")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    return page


def group(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def chosen(page: Page) -> list[str]:
    """Return the values of the radio buttons that are on."""
    return [radio.get_attribute("value") or "" for radio in page.locator("input:checked").all()]


def options_of(person: Client) -> dict[str, str]:
    """Return what a person's running server was started with."""
    options: dict[str, str] = person.call("GET", f"hub/api/users/{person.name}")[1]["servers"][""][
        "user_options"
    ]
    return options


def test_sizes_show_their_figures(spawn_page: Page) -> None:
    cards = group(spawn_page, "Size").locator("label").all_inner_texts()
    assert [card.splitlines()[0] for card in cards] == ["Small", "Medium", "Large"]
    for card in cards:
        assert re.fullmatch(r"[\d.]+ cores? · [\d.]+ [GTM]B", card.splitlines()[1]), card


def test_environment_is_offered_and_chosen(spawn_page: Page) -> None:
    expect(choice(spawn_page, "Environment", "The environment of this hub")).to_be_checked()


@pytest.mark.parametrize("name", ["JupyterLab", "Jupyter Notebook"])
def test_interface_that_is_here_can_be_chosen(spawn_page: Page, name: str) -> None:
    choice(spawn_page, "Interface", name).check()
    expect(choice(spawn_page, "Interface", name)).to_be_checked()


def test_interface_that_is_not_here_is_disabled_and_says_why(spawn_page: Page) -> None:
    rstudio = choice(spawn_page, "Interface", "RStudio")
    expect(rstudio).to_be_disabled()
    expect(rstudio).to_have_accessible_name(re.compile("Not on this machine: .* not installed"))


def test_every_radio_button_has_a_name_and_stands_in_a_named_group(spawn_page: Page) -> None:
    grouped = 0
    for name in ("Size", "Environment", "Interface"):
        radios = group(spawn_page, name).get_by_role("radio").all()
        for radio in radios:
            expect(radio).to_have_accessible_name(re.compile(r"\w+"))
        grouped += len(radios)
    assert grouped == spawn_page.get_by_role("radio").count() == 7


def test_keyboard_alone_chooses_and_starts(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "carol")
    page.get_by_role("button", name="Start", exact=True).wait_for()
    _tab_to(page, choice(page, "Size", "Small"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(choice(page, "Environment", "The environment of this hub")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    _tab_to(page, page.get_by_role("button", name="Start", exact=True))
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/carol/**")
    assert options_of(stack.sign_in("carol")) == {
        "size": "medium",
        "image": "this-environment",
        "interface": "notebook",
    }


def test_focus_is_visible(spawn_page: Page) -> None:
    _tab_to(spawn_page, choice(spawn_page, "Size", "Small"))
    card = spawn_page.locator("label:has(input:focus)")
    assert card.evaluate("card => getComputedStyle(card).outlineStyle") == "solid"


def test_page_works_without_javascript(new_page: NewPage, stack: Stack) -> None:
    page = new_page(java_script_enabled=False)
    sign_in(page, stack, "dave")
    choice(page, "Size", "Medium").check()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/user/dave/lab**", timeout=180_000)
    expect(page).to_have_title("JupyterLab")
    assert options_of(stack.sign_in("dave"))["size"] == "medium"


def test_nothing_is_wider_than_a_phone(new_page: NewPage, stack: Stack) -> None:
    page = new_page(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
    sign_in(page, stack, "alice")
    page.get_by_role("button", name="Start", exact=True).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_keeps_its_contrast(new_page: NewPage, stack: Stack, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    sign_in(page, stack, "alice")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
    ratio, text = least_contrast(page.locator(".sh-form"))
    assert ratio >= 4.5, f"{ratio:.2f}: {text}"


def test_nothing_fails_in_the_console(page: Page, stack: Stack) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
    sign_in(page, stack, "alice")
    page.get_by_role("button", name="Start", exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    assert complaints == []


def test_page_signs_its_visitor_in_to_dask(spawn_page: Page, stack: Stack) -> None:
    image = spawn_page.locator("img[src$='/sign-in']")
    base_url = spawn_page.evaluate("window.jhdata.base_url").removesuffix("hub/")
    assert image.get_attribute("src") == f"{base_url}services/dask-gateway/sign-in"
    spawn_page.wait_for_function(
        "image => image.complete && image.naturalWidth === 1", arg=image.element_handle()
    )
    cookies = {cookie["name"]: cookie for cookie in spawn_page.context.cookies()}
    assert cookies["service-dask-gateway"]["path"] == f"{base_url}services/dask-gateway/"


def test_page_of_one_without_dask_says_for_whom_it_is(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "bob")
    expect(page.get_by_text("No Dask clusters: only for members of research")).to_be_visible()
    expect(page.locator("img[src$='/sign-in']")).to_have_count(0)


def test_refused_choice_shows_its_sentence(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "heidi")
    choice(page, "Size", "Medium").check()
    rstudio = choice(page, "Interface", "RStudio")
    rstudio.evaluate("radio => { radio.disabled = false; radio.checked = true }")
    page.get_by_role("button", name="Start", exact=True).click()
    # Once, and what was not refused stays chosen.
    expect(page.get_by_text("RStudio cannot be chosen: Not on this machine")).to_be_visible()
    assert chosen(page) == ["medium", "this-environment", "lab"]


def test_choice_that_is_gone_shows_its_sentence_and_another_is_chosen(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "erin")
    choice(page, "Size", "Tiny").check()
    start(page, "erin")
    stack.sign_in("erin").stop_server()
    admin = stack.sign_in("admin")
    admin.call("DELETE", "hub/api/groups/guests-of-the-week/users", {"users": ["erin"]})

    page.goto(f"{stack.url}hub/spawn")
    expect(page.get_by_role("status")).to_contain_text(
        "Your last choice has changed: There is no size 'tiny'"
    )
    assert chosen(page) == ["small", "this-environment", "lab"]


def _tab_to(page: Page, target: Locator) -> None:
    for _ in range(30):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the Tab key never came there")
