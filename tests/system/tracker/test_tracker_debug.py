"""What the tracker says to a page's developer: with data-debug, in the browser's console, and only there."""

import json

import pytest
from playwright.async_api import ConsoleMessage, Page

from ingest.fates import Reason
from schemas.reasons import EXPLAINED
from tests.support.host import Host
from tests.support.pages import HIDE, opened, pass_time
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Console:
    """What a page's console showed: (level, text)."""

    def __init__(self, page: Page) -> None:
        self.lines: list[tuple[str, str]] = []
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        self.lines.append((message.type, message.text))

    def forebay(self) -> list[tuple[str, str]]:
        """Ours alone: the browser has a line of its own for each failed request."""
        return [line for line in self.lines if line[1].startswith("forebay: ")]

    async def shown(self, count: int) -> list[tuple[str, str]]:
        """Our lines, as soon as there are so many."""
        await until(lambda: len(self.forebay()) >= count)
        return self.forebay()


async def test_nothing_is_said_or_loaded_unless_asked(host: Host, page: Page) -> None:
    """A visitor's console has no line of ours, and the second file is not fetched."""
    console = Console(page)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    host.answers.append(400)
    await page.goto(host.origin + "/a")
    await host.sent_before(page)
    assert console.forebay() == []
    assert not any("debug" in url for url in fetched)


async def test_what_is_taken_and_what_is_refused_is_said(host: Host, page: Page) -> None:
    """With the reason, and the server's explanation of it, which it is asked for."""
    console = Console(page)
    host.attributes += " data-debug"
    await page.goto(host.origin + "/a")
    await console.shown(1)
    reason = Reason.UNKNOWN_SITE
    host.answers.append(403)
    host.answer_body = json.dumps({"reason": reason, "explanation": EXPLAINED[reason]})
    await page.evaluate("forebay('signup', {plan: 'pro'})")
    await console.shown(2)
    host.answers.append(400)
    await page.evaluate("forebay(undefined)")
    lines = await console.shown(3)
    assert [level for level, _ in lines] == ["info", "error", "error"]
    assert lines[2][1].startswith("forebay: an event without a name was refused")
    assert lines[0][1].startswith("forebay: pageview was taken")
    assert lines[1][1].startswith(f"forebay: signup was refused: unknown_site. {EXPLAINED[reason]}")
    assert {post.query for post in host.posts} == {"debug=1"}


async def test_what_waits_and_what_becomes_of_it_is_said(host: Host, page: Page) -> None:
    """No answer, an answer that asks to come again, then each event of the request that was taken."""
    console = Console(page)
    host.attributes += " data-debug"
    host.answers.append(503)
    host.answer_body = '{"accepted": 1, "rejected": [{"index": 0, "reason": "invalid_name", "explanation": "Empty."}]}'
    await page.route("**/f?debug=1", lambda route: route.abort())
    await page.goto(host.origin + "/a")
    await console.shown(1)
    await page.evaluate("forebay('signup')")
    await page.unroute("**/f?debug=1")
    await until(lambda: "pageview was taken" in console.forebay()[-1][1])
    lines = [text for _, text in console.forebay()]
    assert "no answer from" in lines[0]
    assert "pageview will be tried again" in lines[0]
    heard = [text for text in lines if "no answer from" not in text]  # a slow page tries again before it may
    assert sum("was not taken (503" in line for line in heard[:2]) == 2
    assert "signup was refused: invalid_name. Empty." in heard[2]
    assert "pageview was taken" in heard[3]


async def test_properties_that_were_left_out_are_named(host: Host, page: Page) -> None:
    """And fields that the server ignored; also of an event that waits until the one before it is answered."""
    console = Console(page)
    host.attributes += " data-debug"
    host.answer_body = '{"ignored": ["colour"]}'
    await page.goto(host.origin + "/a")
    await console.shown(2)
    await page.evaluate(
        "const ring = {plan: 'pro'}; ring.self = ring; forebay('signup', ring); forebay('signup', 'pro'); forebay(Symbol())"
    )
    lines = [text for _, text in await console.shown(8)]
    assert any("ignored colour" in line for line in lines)
    assert any("properties of signup were left out: self" in line for line in lines)
    assert any("left out: all" in line for line in lines)


async def test_engagement_is_explained(host: Host, focused_page: Page) -> None:
    """With its time and depth in words, and what the page saw of a browser that a program drives."""
    console = Console(focused_page)
    host.attributes += " data-debug"
    await opened(focused_page, host, stands=True)
    await pass_time(focused_page, host, 2_500)
    await focused_page.evaluate(HIDE)
    await pass_time(focused_page, host, 1_000)
    lines = [text for _, text in await console.shown(2)]
    # 1, and 2 because the turned clock is a global of Playwright.
    assert "pageview was taken; auto is 3, which speaks for a program" in lines[0]
    assert "engagement (2.5 s more, 100 % of the page seen) was taken" in lines[1]


async def test_a_missing_second_file_costs_nothing(host: Host, page: Page) -> None:
    """Behind a proxy that does not know it, the page is counted all the same."""
    host.attributes = f'data-site="example.com" data-debug data-api="{host.tracker}/elsewhere"'
    await page.goto(host.origin + "/a")
    await host.pageviews(1)
