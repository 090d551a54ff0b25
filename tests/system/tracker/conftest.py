"""A real browser, and the host page that the tracker lives in.

A browser lives in one loop for a whole module, and so do its tests: they say asyncio(loop_scope="module").
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.released_tracker import noted
from tests.support.browser import open_browser
from tests.support.host import Host, run_host

# The script as it is built, and those of earlier releases, whose pages load the other files as they are today.
SCRIPTS = ("f.js", *sorted({f"versions/f.{version}.js" for version in noted().values()}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """Runs a browser; the whole one for a module that says so with IS_WHOLE."""
    async with open_browser(is_whole=getattr(request.module, "IS_WHOLE", False)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[Host]:
    async with run_host() as running:
        yield running


@asynccontextmanager
async def open_page(browser: Browser, script: str = "") -> AsyncIterator[Page]:
    """Opens a page of a fresh profile. Whatever a test does, nothing may have been thrown into it."""
    thrown: list[str] = []
    context = await browser.new_context(viewport={"width": 1280, "height": 720})
    page = await context.new_page()
    await page.add_init_script(script)
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    await context.close()
    assert thrown == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Opens a page that nobody looks at, so that a slow machine sends no engagement where a test counts requests."""
    async with open_page(browser, "document.hasFocus = () => false") as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def focused_page(browser: Browser) -> AsyncIterator[Page]:
    async with open_page(browser) as page:
        yield page
