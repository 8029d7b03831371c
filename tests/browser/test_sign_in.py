"""Signing in."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.steps import sign_in
from tests.stack import Stack


def test_right_password_leads_to_the_spawn_page(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "alice")
    expect(page).to_have_url(f"{stack.url}hub/spawn")


def test_wrong_password_shows_the_hubs_sentence(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "alice", "not-the-password")
    expect(page.get_by_text("Invalid username or password")).to_be_visible()
