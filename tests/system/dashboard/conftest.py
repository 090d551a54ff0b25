"""One browser and one whole system with made-up visits, for all tests of a file that look at the page.

They live in one loop for a whole module, and so do the tests: they say asyncio(loop_scope="module").
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import open_browser
from tests.support.dashboard.crowd import world
from tests.support.dashboard.showing import Shown, fill, shown
from tests.support.system import System, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser(is_whole=False) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running(tmp_path_factory.mktemp("dashboard"), FOREBAY_QUESTION_SECONDS="30") as up:
        await fill(up, world())
        yield up


@pytest_asyncio.fixture(loop_scope="module")
async def opened(browser: Browser, system: System) -> AsyncIterator[Shown]:
    async with shown(browser, system.facts()["dashboard_url"]) as page:
        yield page
