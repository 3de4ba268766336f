"""A real browser: Debian's Chromium, driven by playwright, and axe-core to judge what it shows.

A test module that looks at pages names the fixtures `browser` and `page`, or starts a browser of its own with
`chromium(...)` where it needs more flags.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.components import require, require_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",  # the sandbox refuses to run as root, as tests do in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 360, "height": 640}
"""Viewport of a small phone, in CSS pixels."""
_LIMIT_MS = 10_000


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A headless Chromium, started with `flags` on top of what every test needs.

    While it runs, this thread holds playwright's event loop, in which `asyncio.run` refuses to start.
    """
    program = require_program("chromium", "chromium")
    require(importlib.util.find_spec("playwright"), "playwright is missing: pip install -e '.[browser]'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags], timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, **options: object) -> Iterator[Page]:
    """A page in a context of its own; `options` are those of `Browser.new_context`: viewport, color_scheme, ...

    What the page itself gets wrong (an exception in a script, an error on the console) fails the test.
    """
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(_LIMIT_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def accessibility_problems(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now: rule, element, and how to mend it, one a line."""
    require(importlib.util.find_spec("axe_playwright_python"), "axe is missing: pip install -e '.[browser]'")
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {' '.join(node['failureSummary'].split())}"
        for rule in found
        for node in rule["nodes"]
    ]
