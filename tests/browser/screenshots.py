"""Take the documentation's pictures: ``python -m tests.browser.screenshots docs/images [spawn]``.

They show the hub as it comes, with its own sample data and the start notebook at work.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.research_hub import research_hub
from tests.browser.steps import (
    CLUSTERS,
    PATIENCE_MS,
    choice,
    find_chromium,
    launch,
    open_dask_panel,
    open_lab,
    run_through,
    sign_in,
    start_cluster,
)
from tests.stack import Stack, running_stack

LARGEST_BYTES = 300_000


def main(folder: Path, *, only_spawn_pages: bool = False) -> None:
    """Write the pictures to the folder, all or those of the spawn page."""
    path = find_chromium()
    if path is None:
        raise SystemExit("The pictures need chromium on PATH.")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        running_stack(Path(data), "--no-open") as stack,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright.chromium, path)
        _spawn_pages(browser, stack, folder)
        described = Path(data) / "research-hub.yaml"
        described.write_text(yaml.safe_dump(research_hub(Path(data))))
        with running_stack(Path(data) / "research", "--config", str(described), "--no-open") as research:
            _research_hub(browser, research, folder)
        if not only_spawn_pages:
            _lab_and_clusters(browser, stack, folder)
        browser.close()


def _spawn_pages(browser: Browser, stack: Stack, folder: Path) -> None:
    for name, scheme, width in (
        ("spawn-page", "light", 1100),
        ("spawn-page-dark", "dark", 1100),
        ("spawn-page-phone", "light", 390),
    ):
        page = _spawn_page(browser, stack, "alice", color_scheme=scheme, width=width)
        _write_whole(page, folder / f"{name}.png")
        page.context.close()


def _research_hub(browser: Browser, stack: Stack, folder: Path) -> None:
    """What is locked, a choice that is refused, and a start that takes long."""
    page = _spawn_page(browser, stack, "erin")
    choice(page, "Size", "GPU ½").check()
    stack.sign_in("admin").call("DELETE", "hub/api/groups/gpu/users", {"users": ["erin"]})
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator(".spawn-error-msg").wait_for()
    _write_whole(page, folder / "spawn-error.png")
    page.context.close()

    page = _spawn_page(browser, stack, "alice")
    _write_whole(page, folder / "spawn-locked.png")
    choice(page, "Environment", "Genomics").check()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("heading", name="Your server starts").wait_for()
    page.locator("#progress-message").filter(has_text=re.compile(r"\w")).wait_for()
    page.set_viewport_size({"width": 1100, "height": 440})
    _write(page, folder / "spawn-stalled.png")
    page.context.close()


def _spawn_page(browser: Browser, stack: Stack, name: str, *, width: int = 1100, **options: Any) -> Page:
    page = browser.new_context(
        viewport={"width": width, "height": 700}, device_scale_factor=1.5, **options
    ).new_page()
    sign_in(page, stack, name)
    page.get_by_role("button", name="Start", exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    return page


def _write_whole(page: Page, path: Path) -> None:
    """Write all of the page: what stays in view stands where it belongs."""
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": height})
    _write(page, path)


def _lab_and_clusters(browser: Browser, stack: Stack, folder: Path) -> None:
    page = browser.new_context(viewport={"width": 1600, "height": 960}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    open_lab(page, stack, "alice")
    dashboard = start_cluster(page)
    box = open_dask_panel(page)
    box.fill(dashboard)
    box.press("Enter")
    page.get_by_role("button", name="Task Stream").wait_for()
    page.keyboard.press("Control+Shift+C")
    page.locator(".jp-ModalCommandPalette input").fill("Dask Dashboard Layout")
    page.locator(".jp-ModalCommandPalette").get_by_text("Dask Dashboard Layout").first.click()
    stream = page.frame_locator("iframe[src*='individual-task-stream']")
    stream.locator("canvas").first.wait_for()
    page.get_by_role("tab", name="Dask").click()  # closes the panel, for the notebook's sake
    page.get_by_role("tab", name="start.ipynb").click()
    run_through(page, "result = plan.compute()")
    run_through(page, "sea_to_land = ")
    maps = page.locator(".jp-OutputArea-output img").first
    maps.wait_for(timeout=400_000)
    # Once more, so that the picture shows the cluster at work.
    cell = page.locator(".jp-CodeCell").filter(has_text="result = plan.compute()")
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("Shift+Enter")
    maps.scroll_into_view_if_needed()
    page.wait_for_timeout(6_000)  # for some of the work to be done; it is the middle that makes the picture
    _write(page, folder / "lab-and-dashboard.png")

    page.set_viewport_size({"width": 800, "height": 370})
    page.goto(stack.url + CLUSTERS)
    _write(page, folder / "my-clusters.png")
    page.context.close()


def _write(page: Page, path: Path) -> None:
    """Write what the page shows with as many colours as fit the documentation's limit."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colors in (256, 128, 64):
        picture.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < LARGEST_BYTES:
            break
    else:
        raise SystemExit(f"{path.name} is larger than {LARGEST_BYTES} bytes.")
    print(f"{path}: {path.stat().st_size // 1000} kB, {picture.width}x{picture.height}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), only_spawn_pages=sys.argv[2:] == ["spawn"])
