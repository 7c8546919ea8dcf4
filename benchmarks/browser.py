"""A headless Chromium, driven by Playwright."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """There is no Chromium on the PATH, or no Playwright to drive it."""


def program() -> str:
    """Path of the browser. Raises NoBrowserError."""
    if importlib.util.find_spec("playwright") is None:
        raise NoBrowserError("a browser is driven by playwright, which is missing; pip install playwright")
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise NoBrowserError(f"a browser is needed; none of {', '.join(PROGRAMS)} is on the PATH; install one")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; it ends with the block. Raises NoBrowserError."""
    path = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser: Any, **settings: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page of the browser, its errors and messages, and the addresses that it asks for."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **settings})
    page = context.new_page()
    trouble: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    try:
        yield page, trouble, requests
    finally:
        context.close()
