"""Runs a real headless Chromium for the tests that need one.

It is the one that FOREBAY_BROWSER names, or else the one on PATH, or else Playwright's own. Without any, those tests
are skipped.

A test that needs no more than pages may say so, and gets Debian's headless shell where it is there: the same engine without a
window of tabs around it, in which opening a page takes a fifth of the CPU (0.13 s instead of 0.65). It has no back-forward cache.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHELL = "chromium-headless-shell"
FLAGS = (
    "--no-sandbox",  # containers run tests as root, which the sandbox refuses
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


async def browser_or_skip(*, is_whole: bool = True) -> str:
    """Returns the path of a Chromium, a whole one if it must be. Skips the test if there is none."""
    names = NAMES if is_whole else (SHELL, *NAMES)
    installed = next((path for name in names if (path := shutil.which(name))), None)
    found = os.environ.get("FOREBAY_BROWSER") or installed
    if found is None:
        async with async_playwright() as playwright:
            found = playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip("no Chromium: `make browser` finds or installs one")
    return found


@asynccontextmanager
async def open_browser(*more: str, is_whole: bool = True) -> AsyncIterator[Browser]:
    """Runs a Chromium without pages, which ends with the block. `more` are flags beside those of every test."""
    path = await browser_or_skip(is_whole=is_whole)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=[*FLAGS, *more],
            # Playwright switches the back-forward cache off; people have it on.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()
