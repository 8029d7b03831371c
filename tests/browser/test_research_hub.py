"""The spawn page of a hub with many pools and environments: keyboard, reader, phone, rights that go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.contrast import least_contrast
from tests.browser.research_hub import research_hub, with_many
from tests.browser.steps import choice, part_of_this_machine, sign_in
from tests.stack import Stack, running_stack

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
FINGER_PIXELS = 44


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("research-hub")
    raw = with_many(research_hub(folder))
    (folder / "hub.yaml").write_text(yaml.safe_dump(raw))
    with running_stack(folder / "data", "--config", str(folder / "hub.yaml"), "--no-open") as stack:
        yield stack


def opened(page: Page, stack: Stack, name: str = "alice") -> Page:
    sign_in(page, stack, name)
    page.get_by_role("button", name="Start", exact=True).wait_for()
    return page


@pytest.fixture
def spawn_page(page: Page, stack: Stack) -> Page:
    return opened(page, stack)


def test_what_is_hidden_is_not_in_the_source(spawn_page: Page, stack: Stack) -> None:
    source = spawn_page.request.get(f"{stack.url}hub/spawn").text()
    assert "Standard ¼" in source
    assert "veiled" not in source.lower()


def test_every_pool_is_a_group_that_a_screen_reader_names(spawn_page: Page) -> None:
    gpu = spawn_page.get_by_role("group", name="Size", exact=True).get_by_role("group", name="GPU")
    assert [radio.is_disabled() for radio in gpu.get_by_role("radio").all()] == [True, True]
    expect(gpu).to_contain_text("May be taken back at any time.")


def test_many_sizes_are_found_by_their_words(spawn_page: Page) -> None:
    box = spawn_page.get_by_role("searchbox", name="Find in Size")
    sizes = spawn_page.get_by_role("group", name="Size", exact=True)
    count = sizes.get_by_role("radio").count()
    assert count > 40
    box.fill("pool d ½")
    # What is chosen stays in sight.
    assert sizes.locator("label:visible .sh-name").all_inner_texts() == ["Standard ¼", "Pool D ½"]
    expect(sizes.get_by_role("group", name="Pool E")).to_be_hidden()
    box.press("Enter")
    expect(box).to_be_visible()  # it has not started anything
    choice(spawn_page, "Size", "Pool D ½").check()
    box.fill("")
    assert sizes.get_by_role("radio").count() == count
    expect(choice(spawn_page, "Size", "Pool D ½")).to_be_checked()


def test_what_is_chosen_and_start_stay_in_view(spawn_page: Page) -> None:
    spawn_page.evaluate("window.scrollTo(0, 0)")
    expect(spawn_page.locator("#sh-sum")).to_be_in_viewport()
    expect(spawn_page.get_by_role("button", name="Start", exact=True)).to_be_in_viewport()


def test_on_a_low_screen_they_do_not_hide_the_choices(new_page: NewPage, stack: Stack) -> None:
    page = opened(new_page(viewport={"width": 844, "height": 390}), stack)
    page.evaluate("window.scrollTo(0, 0)")
    expect(page.get_by_role("button", name="Start", exact=True)).not_to_be_in_viewport()


def test_the_line_that_sums_up_is_said_as_it_changes(spawn_page: Page) -> None:
    line = spawn_page.locator("#sh-sum")
    assert (line.get_attribute("aria-live"), line.get_attribute("aria-atomic")) == ("polite", "true")


def test_a_link_to_the_choice_is_copied(new_page: NewPage, stack: Stack) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    opened(page, stack)
    choice(page, "Size", "Pool D ½").check()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{stack.url}hub/spawn?opt-size=pool-3-1-2&opt-image=climate")
    choice(page, "Size", "Standard ¼").check()
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_without_javascript_the_line_does_not_claim_to_follow(new_page: NewPage, stack: Stack) -> None:
    page = opened(new_page(java_script_enabled=False), stack)
    expect(page.locator(".sh-sum")).to_contain_text(f"Selected at first: {part_of_this_machine(4)}")
    assert page.get_by_role("searchbox").count() == 0


def test_everything_to_press_on_a_phone_is_as_large_as_a_finger(new_page: NewPage, stack: Stack) -> None:
    page = opened(new_page(**PHONE), stack)
    targets = page.locator(
        ".sh-card, .sh-recent a, .sh-sum a, .sh-sum button, #spawn_form button[type=submit]"
    )
    small = [
        target.inner_text()
        for target in targets.all()
        if (box := target.bounding_box()) and box["height"] < FINGER_PIXELS
    ]
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["viewport"]["width"]


def test_every_field_has_a_name_and_every_id_is_unique(spawn_page: Page) -> None:
    for field in spawn_page.locator("#spawn_form :is(input, button, a):visible").all():
        expect(field).to_have_accessible_name(re.compile(r"\w"))
    ids = spawn_page.locator("[id]").evaluate_all("found => found.map(element => element.id)")
    assert len(ids) == len(set(ids))
    levels = spawn_page.locator(":is(h1, h2, h3, h4):visible").evaluate_all(
        "found => found.map(h => h.tagName)"
    )
    assert levels == ["H1"]


def test_the_tab_key_goes_down_the_page(spawn_page: Page) -> None:
    spawn_page.get_by_role("searchbox", name="Find in Size").focus()
    seen = ["size"]
    for _ in range(6):
        spawn_page.keyboard.press("Tab")
        seen.append(spawn_page.evaluate("document.activeElement.name || document.activeElement.innerText"))
    assert seen == ["size", "size", "", "image", "interface", "Link to this choice", "Copy"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_start_keep_their_contrast(new_page: NewPage, stack: Stack, scheme: Any) -> None:
    page = opened(new_page(color_scheme=scheme), stack)
    for part in (".sh-form", ".feedback-container"):
        ratio, text = least_contrast(page.locator(part))
        assert ratio >= 4.5, f"{ratio:.2f}: {text}"


def test_a_right_that_went_while_the_page_was_open_is_refused_in_words(page: Page, stack: Stack) -> None:
    opened(page, stack, "erin")
    choice(page, "Size", "GPU ½").check()
    stack.sign_in("admin").call("DELETE", "hub/api/groups/gpu/users", {"users": ["erin"]})
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".spawn-error-msg")).to_have_text(
        "Error: GPU ½ cannot be chosen: Ask the GPU team: gpu@example.org."
    )
    expect(choice(page, "Size", "Standard ¼")).to_be_checked()


def test_a_start_that_takes_long_says_what_starts_and_what_one_can_do(page: Page, stack: Stack) -> None:
    opened(page, stack, "grace")
    choice(page, "Environment", "Genomics").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="Your server starts")).to_be_visible()
    expect(page.locator(".sh-starting")).to_contain_text("JupyterLab, Genomics; about $0.21/h")
    expect(page.get_by_text("to choose something else, stop it first")).to_be_visible()
    expect(page.locator("#progress-message[role=status]")).to_have_count(1)
    page.get_by_role("button", name="Stop Server").click()
    expect(page.get_by_role("heading", name="Start your server")).to_be_visible(timeout=30_000)
    assert servers(stack, "grace") == {}


def test_a_page_that_the_browser_kept_as_it_was_left_is_had_anew(spawn_page: Page) -> None:
    spawn_page.evaluate("window.left = true")
    with spawn_page.expect_navigation():
        # As after Back; this browser is told to keep no pages.
        spawn_page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    assert spawn_page.evaluate("window.left") is None
    expect(spawn_page.get_by_role("button", name="Start", exact=True)).to_be_visible()


def test_stopping_a_named_server_that_starts_leaves_the_default_one_alone(page: Page, stack: Stack) -> None:
    frank = stack.sign_in("frank")
    frank.start_server({"image": "climate"})
    sign_in(page, stack, "frank")
    page.wait_for_url("**/user/frank/**")
    page.goto(f"{stack.url}hub/spawn/frank/extra")
    choice(page, "Environment", "Genomics").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="Your server starts")).to_be_visible()
    page.get_by_role("button", name="Stop Server").click()
    expect(page.get_by_role("heading", name="Start your server")).to_be_visible(timeout=30_000)
    assert servers(stack, "frank") == {"": True}
    frank.stop_server()


def servers(stack: Stack, name: str) -> dict[str, bool]:
    """Return of each server of a user that starts or runs whether it is ready."""
    return {server: model["ready"] for server, model in stack.sign_in(name).servers().items()}
