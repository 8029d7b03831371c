"""Where a start leads."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.steps import choice, sign_in, start, wait_for_notebook
from tests.stack import Stack, until


def test_jupyterlab_opens_on_the_start_notebook_and_is_remembered(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "frank")
    choice(page, "Size", "Medium").check()
    choice(page, "Interface", "JupyterLab").check()
    start(page, "frank")
    wait_for_notebook(page)
    expect(page).to_have_url(re.compile(r"/user/frank/lab/tree/start\.ipynb"))

    frank = stack.sign_in("frank")
    frank.stop_server()
    until(lambda: not frank.call("GET", "hub/api/users/frank")[1]["servers"], "the hub knows that it ended")
    page.goto(f"{stack.url}hub/spawn")
    expect(choice(page, "Size", "Medium")).to_be_checked()
    expect(choice(page, "Interface", "JupyterLab")).to_be_checked()


def test_notebook_opens_on_the_start_notebook(page: Page, stack: Stack) -> None:
    sign_in(page, stack, "grace")
    choice(page, "Interface", "Jupyter Notebook").check()
    start(page, "grace")
    wait_for_notebook(page)
    expect(page).to_have_url(re.compile(r"/user/grace/notebooks/start\.ipynb"))
    expect(page.locator("body")).to_have_attribute("data-notebook", "notebooks")
