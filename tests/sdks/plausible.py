"""Declares Plausible's clients. None of them sends anything again, so an event whose request was refused is gone."""

from decimal import Decimal

from playwright.async_api import Page

from tests.sdks.declared import Sdk, drive, looks_at_no_answer
from tests.support.pages import HIDE

HERE = {"hostname": "{site}", "path": "/pricing", "utm_source": "letter"}
FREE = {"plan": "free"}
CAME = "http://news.test/"


async def read_and_leave(tab: Page, page: str) -> None:
    """Leaves the page after its visit, as a reader does who goes to another tab."""
    await drive(tab, page)
    await tab.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'})")
    await tab.evaluate(HIDE)


NPM = Sdk(
    name="plausible_npm",
    of="Plausible",
    runs_in="browser",
    packages=("@plausible-analytics/tracker",),
    comes_back=False,
    drive=read_and_leave,
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "props": FREE, "dialect": "plausible"},
        {"name": "Purchase", **HERE, "revenue": Decimal("49.9"), "currency": "EUR", "props": {"sku": "A-1", **FREE}},
        {"name": "Refund", **HERE, "revenue": Decimal("-12.5"), "currency": "USD"},
        {"name": "Outbound Link: Click", **HERE, "props": {"url": "http://elsewhere.test/there"}},
        {"name": "File Download", **HERE, "props": {"url": lambda url: url.endswith("/guide.pdf")}},
        {"name": "Signup", **HERE, "revenue": 0, "currency": "", "props": {"plan": "pro"}},
        {"name": "Form: Submission", **HERE},
        # Leaving a page of a single-page application ends what was read of it.
        {"name": "engagement", **HERE, "scroll_pct": lambda deep: 0 < deep < 60, "props": FREE},
        {"name": "pageview", "hostname": "{site}", "path": "/plans"},
        {"name": "engagement", "path": "/plans"},
    ),
)
LEGACY = Sdk(
    name="plausible_legacy",
    of="Plausible",
    runs_in="browser",
    packages=("plausible-tracker",),
    comes_back=False,
    leaves_out=looks_at_no_answer(),
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME, "screen_w": 1280},
        {"name": "Signup", **HERE, "props": {"plan": "pro", "n": "3"}},
    ),
)
API = Sdk(
    name="plausible_api",
    of="Plausible",
    runs_in="python",
    packages=("requests",),
    comes_back=False,
    rows=(
        {"name": "pageview", **HERE, "referrer": CAME},
        {"name": "Signup", "hostname": "localhost", "path": "/login", "props": {"plan": "pro", "seats": "3"}},
        {"name": "Purchase", **HERE, "revenue": Decimal("12.5"), "currency": "USD"},
    ),
)
SDKS = (NPM, LEGACY, API)
