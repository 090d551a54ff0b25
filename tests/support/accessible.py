"""Looks at a page as somebody may who needs contrast, names of parts, or a narrow window: axe-core, in both themes."""

from __future__ import annotations

from importlib.resources import files

from playwright.async_api import Page

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """
async rules => (await axe.run(document, {runOnly: rules, resultTypes: ['violations']}))
  .violations.map(one => `${one.id}: ${one.nodes.map(node => node.html)}`)
"""
_IS_WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


async def looked_at(page: Page) -> None:
    """Fails if something is wrong with a page for somebody, in either theme, or if it is wider than its window."""
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        await page.evaluate(AXE)
        assert await page.evaluate(_RUN, RULES) == [], theme
        assert not await page.evaluate(_IS_WIDER)
