"""ingest/collect/suspicion.py: the reasons of single events, and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.collect.rate import PAGEVIEWS_MAX
from ingest.collect.referrer_spam import ReferrerSpam
from ingest.collect.sites import Sites
from ingest.collect.suspicion import Suspicions
from schemas.bots import BotReason
from schemas.row import SENT_BY_LIBRARY, Row
from tests.support.collecting import NOON, URL, Bench

CURL = [(b"User-Agent", b"curl/8.5.0")]
SILENT = [(b"Accept-Language", b"")]


@pytest.fixture
async def bench() -> Bench:
    return await Bench().ready()


def verdict(row: Row) -> tuple[int, str]:
    return row.bot_reasons, row.bot


@pytest.mark.parametrize(
    ("auto", "expected"),
    [
        (0, (0, "")),
        (1, (BotReason.AUTOMATION, "automation")),
        (2, (BotReason.AUTOMATION, "automation")),
        (3, (BotReason.AUTOMATION, "automation")),
        (4, (BotReason.WINDOW, "")),
        (5, (BotReason.AUTOMATION | BotReason.WINDOW, "automation")),
        (8, (0, "")),
        (-1, (0, "")),
        (1.5, (0, "")),
        (True, (0, "")),
        ("1", (0, "")),
        ([1], (0, "")),
        (10**30, (0, "")),
        (None, (0, "")),
    ],
)
async def test_what_the_page_saw_is_a_reason(bench: Bench, auto: Any, expected: tuple[int, str]) -> None:
    """Makes no bot of a strange window alone. A value of `auto` that is not a sum of its bits has no effect."""
    assert verdict(bench.row({"url": URL, "auto": auto})) == expected


async def test_reasons_add_up(bench: Bench) -> None:
    """Two that are weak alone are a verdict together, and the first of the strongest gives its word."""
    headers = [(b"Sec-CH-UA", b'"Chromium";v="143"'), (b"Sec-CH-UA-Platform", b'"Windows"')]
    assert verdict(bench.row({"url": URL, "auto": 4}, headers=headers)) == (
        BotReason.HEADERS | BotReason.WINDOW,
        "headers",
    )


async def test_one_event_costs_no_neighbour_its_verdict(bench: Bench) -> None:
    """Of one body, each event has its own."""
    rows = [row for _, row in bench.post([{"url": URL}, {"url": URL, "auto": 1}, {"url": URL}]).rows]
    assert [row.bot for row in rows] == ["", "automation", ""]


async def test_the_threshold_is_a_setting() -> None:
    """The same reasons, and another verdict."""
    strict = await Bench(suspicions=Suspicions(threshold=30)).ready()
    mild = await Bench(suspicions=Suspicions(threshold=101)).ready()
    assert verdict(strict.row({"url": URL, "auto": 4})) == (BotReason.WINDOW, "window")
    assert verdict(mild.row({"url": URL, "auto": 1})) == (BotReason.AUTOMATION, "")


async def test_a_referrer_on_the_list_is_spam(tmp_path: Path) -> None:
    """The events are stored, and the views leave them out."""
    path = tmp_path / "spam.txt"
    path.write_text("spam.example\n")
    bench = await Bench(suspicions=Suspicions(spam=ReferrerSpam(str(path)))).ready()
    found = [
        verdict(bench.row({"url": URL, "referrer": referrer}))
        for referrer in ("https://www.spam.example/x", "spam.example/x", "https://good.example/?spam.example", "")
    ]
    assert found == [(BotReason.REFERRER_SPAM, "referrer_spam")] * 2 + [(0, "")] * 2


def fast(bench: Bench, count: int = PAGEVIEWS_MAX + 1, **more: Any) -> list[str]:
    """Sends pageviews, and then an event of another name; returns the verdicts of the last three."""
    said = {"url": URL, **more.pop("said", {})}
    rows = [row for _, row in bench.post([*[said] * count, {**said, "name": "signup"}], **more).rows]
    return [row.bot for row in rows[-3:]]


async def test_a_visitor_that_is_faster_than_a_person_is_a_bot(bench: Bench) -> None:
    """Marks whatever it sends from the pageview on that made it too fast, and marks nothing of other visitors."""
    assert fast(bench, PAGEVIEWS_MAX) == ["", "", ""]
    assert fast(bench, 2, peer="198.51.100.1") == ["", "", ""]
    assert fast(bench, 2) == ["rate", "rate", "rate"]
    bench.clock.now_ms += 60_000
    assert fast(bench, 1) == ["rate", "rate"]
    bench.clock.now_ms += 60_000
    assert fast(bench, 1) == ["", ""]


async def test_rates_end_with_their_salt(bench: Bench) -> None:
    """A visitor is a number under it, and nothing of it is kept (I8)."""
    fast(bench)
    bench.clock.now_ms += 2 * 86_400_000
    await bench.salts.refresh()
    bench.clock.now_ms -= 2 * 86_400_000
    await bench.salts.refresh()
    assert fast(bench, 1) == ["", ""]


async def test_who_is_anonymous_is_not_counted() -> None:
    """All of them are one visitor."""
    bench = await Bench(sites=Sites(named=["example.com"], privacy="anonymise")).ready()
    assert fast(bench, headers=[(b"Sec-GPC", b"1")]) == ["", "", ""]


async def test_what_a_server_sends_is_not_counted(bench: Bench) -> None:
    """One machine reports for many people, under one address and agent."""
    assert fast(bench, headers=CURL, said={"user": "u"}) == ["", "", ""]


async def test_what_waited_on_a_telephone_is_not_counted(bench: Bench) -> None:
    """It comes at once, and happened over hours."""
    assert fast(bench, said={"ts": NOON - 3_600_000}) == ["", "", ""]


async def test_a_fast_purchase_of_events_is_not_a_rate(bench: Bench) -> None:
    """Events of other names are not counted: a game may send hundreds."""
    assert fast(bench, said={"name": "shot"}) == ["", "", ""]


@pytest.mark.parametrize("said", [{"user": "u"}, {"revenue": {"amount": 1, "currency": "EUR"}}])
async def test_a_server_that_reports_a_person_is_no_bot(bench: Bench, said: dict[str, Any]) -> None:
    """It has no reason of its agent, so judging again does not make it one, and is marked as a library's."""
    row = bench.row({"url": URL, **said}, headers=CURL)
    assert (verdict(row), row.bot_name, row.url_flags) == ((0, ""), "", SENT_BY_LIBRARY)
    assert verdict(bench.row({"url": URL}, headers=CURL)) == (BotReason.LIBRARY | BotReason.NOT_A_BROWSER, "library")


async def test_a_server_with_an_agent_of_its_own_is_no_bot(bench: Bench) -> None:
    """Nobody lists what a shop's programmer calls the shop's server."""
    headers = [(b"User-Agent", b"our-shop/3")]
    row = bench.row({"url": URL, "revenue": {"amount": 1, "currency": "EUR"}}, headers=headers)
    assert (verdict(row), row.url_flags) == ((0, ""), SENT_BY_LIBRARY)
    assert bench.row({"url": URL}, headers=headers).bot == "not_a_browser"


async def test_a_crawler_with_a_user_stays_one(bench: Bench) -> None:
    """The exception is for libraries."""
    headers = [(b"User-Agent", b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")]
    assert bench.row({"url": URL, "user": "u"}, headers=headers).bot == "crawler"


@pytest.mark.parametrize(
    "agent", [b"python-requests/2.32.3", b"Go-http-client/2.0", b"analytics-node/2.1", b"PostHog/7"]
)
async def test_a_server_has_no_reason_of_headers(bench: Bench, agent: bytes) -> None:
    """No library sends a language or hints; only what calls itself a browser has to."""
    row = bench.row({"url": URL}, headers=[(b"User-Agent", agent), *SILENT])
    assert not row.bot_reasons & BotReason.HEADERS
