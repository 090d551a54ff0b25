"""The page of a result in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from loadtest.report import page
from tests.support.browser import open_browser
from tests.support.figures import run_figures, sweep_figures


def addresses(shown: Page) -> list[str]:
    """Returns what the page would have loaded."""
    fetched: list[str] = []
    shown.on("request", lambda request: fetched.append(request.url))
    return fetched


@pytest.mark.parametrize("figures", [run_figures(), sweep_figures()])
async def test_a_browser_shows_it_at_every_width(tmp_path: Path, figures: dict[str, Any]) -> None:
    """On a phone and on a desktop, in light and dark, nothing overflows, nothing is loaded, and one drawing is shown."""
    path = tmp_path / "page.html"
    page.write(path, figures)
    async with open_browser(is_whole=False) as browser:
        for width, scheme in ((390, "dark"), (1_200, "light")):
            context = await browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
            )
            shown = await context.new_page()
            fetched = addresses(shown)
            await shown.goto(path.as_uri())
            assert [url for url in fetched if not url.startswith("data:")] == [path.as_uri()]
            assert await shown.evaluate("document.documentElement.scrollWidth") == width
            figure = shown.locator("figure").first
            assert await figure.locator("svg[role=img]:visible").count() == 1
            letters = figure.locator("svg[role=img]:visible .tick").first
            assert await letters.evaluate("node => node.getBoundingClientRect().height") > 11
            await context.close()
