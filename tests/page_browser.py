"""A browser for tests of pages: Debian's Chromium by Playwright, and axe-core as the judge."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import REQUIRE_PEERS, find_peer

PHONE = {"width": 380, "height": 800}
DESK = {"width": 1280, "height": 860}
GRAVE = ("serious", "critical")
SCREENSHOTS = "PACSNODE_TEST_SCREENSHOTS"  # a folder to put pictures for the guide into


@contextmanager
def browsing() -> Iterator[Browser]:
    """One browser, for a whole module of tests."""
    program = find_peer("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def find_axe() -> str:
    """axe-core's program: PACSNODE_TEST_AXE, or ~/.cache/pacsnode/axe.min.js as CI has it."""
    named = os.environ.get("PACSNODE_TEST_AXE")
    path = Path(named) if named else Path.home() / ".cache" / "pacsnode" / "axe.min.js"
    if not path.is_file():
        message = f"axe-core is absent: `npm pack axe-core`, and axe.min.js of it to {path}"
        if REQUIRE_PEERS:
            pytest.fail(message)
        pytest.skip(message)
    return path.read_text("utf-8")


def grave_violations(page: Page, axe: str) -> list[str]:
    """What axe-core calls serious or critical on a page: rule, and the first element."""
    page.evaluate(axe)
    found: list[dict[str, Any]] = page.evaluate("axe.run().then(result => result.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in GRAVE]


def is_wider_than_its_window(page: Page) -> bool:
    """Whether a page has to be scrolled sideways."""
    root = "document.documentElement"
    return bool(page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))


def picture_for_the_guide(page: Page, name: str, **options: Any) -> None:
    """A screenshot of a page, where a folder for them is named."""
    folder = os.environ.get(SCREENSHOTS)
    if folder:
        page.screenshot(path=Path(folder) / f"page-{name}.png", **options)
