"""dashboard/reports/letters.py: what a report and an alarm say, and what they never do."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser

import msgspec
import pytest

from dashboard.catalogue.contract import Period
from dashboard.reports import letters
from dashboard.reports.alarms import Alarm
from dashboard.reports.summary import Number, Row, Summary
from runtime.notify.message import Message
from schemas.reports import WEBHOOK, What

HOSTILE = (
    '/"><script src="https://evil.example/x.js"></script><img src=x onerror=alert(1)>\r\nBcc: eve@example.net\x00\u202e'
    + "x" * 300
)
ANN = "ann@example.org"
ALLOWED = {"html", "head", "meta", "title", "style", "body", "table", "tr", "td", "h1", "h2", "p"}


def number(name: str, now: object, before: object, change: float | None) -> Number:
    return Number(name=name, now=now, before=before, change=change)


def summary(name: str = "/pricing", since: date = date(2026, 3, 23), until: date = date(2026, 3, 29)) -> Summary:
    visitors = number("visitors", 1_204, 1_075, 12)
    return Summary(
        site="shop.example",
        period=Period(since=since, until=until, zone="Europe/Berlin"),
        compared=Period(since=since, until=until, zone="Europe/Berlin"),
        totals=(
            visitors,
            number("bounce_rate", 41, 44, -3),
            number("visit_duration", 3_725, 0, 100),
            number("views_per_visit", None, None, None),
        ),
        tables={
            "pages": [Row(name=name, numbers=(number("visitors", 402, 0, 100), number("pageviews", 500, 0, 100)))],
            "sources": [Row(name=name, numbers=(number("visitors", 7, 7, 0),))],
            "countries": [Row(name="DE", numbers=(number("visitors", 9, 10, -10),))],
            "goals": [],
        },
        revenue=[number("EUR", "1801.5000", "810.5000", 122), number("XBT", "0.0123", "0", 100)],
    )


class Seen(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def alarm(name: str = "/pricing", what: str = "spike") -> Alarm:
    period = Period(
        since=date(2026, 3, 29), until=date(2026, 3, 29), zone="Europe/Berlin", starts=1_774_782_900, ends=1_774_786_500
    )
    return Alarm(
        what=msgspec.convert(what, What),
        site="shop.example",
        period=period,
        visitors=330,
        usual=100.5,
        weeks=(98, 104, 100),
        pages=[(name, 300)],
        sources=[(name, 280)],
    )


def messages(name: str) -> list[Message]:
    return [
        letters.report(summary(name), "weekly", ANN),
        letters.alarm(alarm(name), ANN),
        letters.alarm(alarm(name, "drop"), ANN),
    ]


def test_a_report_says_its_numbers() -> None:
    """Text, subject and facts; nobody adds up two currencies."""
    said = letters.report(summary(), "weekly", ANN)
    assert said.subject == "shop.example: 1,204 visitors last week (+12 %)"
    lines = [" ".join(line.split()) for line in said.text.splitlines()]
    for line in (
        "A week of shop.example",
        "Monday 23 to Sunday 29 March 2026, compared with the week before",
        "Visitors 1,204 +12 %",
        "Bounce rate 41 % −3 pts",
        "Visit duration 1h 2m new",
        "Views per visit –",
        "402 new /pricing",
        "9 −10 % Germany",
        "1,801.50 +122 % EUR",
        "0.0123 new XBT",
    ):
        assert line in lines
    assert "forebay report remove --site shop.example --to ann@example.org --what weekly" in said.text
    assert said.facts["totals"]["visitors"] == {"now": 1_204, "before": 1_075}
    assert said.facts["pages"] == [{"page": "/pricing", "visitors": 402, "pageviews": 500}]
    msgspec.json.encode(said.facts)


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (date(2026, 3, 23), date(2026, 3, 29), "Monday 23 to Sunday 29 March 2026"),
        (date(2026, 3, 30), date(2026, 4, 5), "Monday 30 March to Sunday 5 April 2026"),
        (date(2025, 12, 29), date(2026, 1, 4), "Monday 29 December 2025 to Sunday 4 January 2026"),
        (date(2026, 3, 29), date(2026, 3, 29), "Sunday 29 March 2026"),
    ],
)
def test_days_are_named(since: date, until: date, text: str) -> None:
    """With the month and year where they change."""
    assert f"\n{text}, compared" in letters.report(summary(since=since, until=until), "weekly", ANN).text


def test_a_spike_says_what_is_usual() -> None:
    """When, how many, and how many the weeks before."""
    said = letters.alarm(alarm(), WEBHOOK)
    assert said.subject == "shop.example: 330 visitors in the last hour, 100.5 are usual"
    assert "330 visitors came between 13:15 and 14:15 on Sunday 29 March 2026 (Europe/Berlin)" in said.text
    assert "the last 3 weeks had 98, 104, 100" in said.text
    assert said.facts["since"] == "2026-03-29T11:15:00+00:00"
    assert "do not arrive" in letters.alarm(alarm(what="drop"), ANN).text


@pytest.mark.parametrize("said", messages(HOSTILE), ids=lambda message: message.kind)
def test_what_visitors_send_stays_text(said: Message) -> None:
    """A path is one short line of text: no element, no header, no second line."""
    seen = Seen()
    seen.feed(said.html)
    assert seen.tags <= ALLOWED
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert "Bcc" not in said.subject
    assert not re.search(r"^\s*Bcc", said.text, re.MULTILINE)
    assert "x" * 80 not in said.text
    assert "\u202e" not in said.text + said.html


@pytest.mark.parametrize("said", messages("/pricing"), ids=lambda message: message.kind)
def test_a_mail_asks_for_nothing(said: Message) -> None:
    """No picture, font, script or link: it is the same without a network, and tells nobody that it was read."""
    seen = Seen()
    seen.feed(said.html)
    assert seen.tags <= ALLOWED
    assert not {"src", "href", "background", "action", "poster", "srcset"} & seen.attributes
    assert not re.search(r"url\(|@import|https?:", said.html)


def test_a_link_leads_to_the_dashboard() -> None:
    """To the days of the report, if people reach it; nothing else is a link."""
    said = letters.report(summary(), "weekly", ANN, "https://stats.example.org/")
    link = "https://stats.example.org/#/shop.example?period=2026-03-23,2026-03-29"
    assert f"\nMore on the dashboard: {link}\n" in said.text
    assert re.findall(r"https?:[^\"<]*", said.html) == [link]
    assert "#/shop.example?period=day" in letters.alarm(alarm(), ANN, "https://stats.example.org").text


def test_the_same_report_has_the_same_id() -> None:
    """Whichever dashboard sends it: a second one is recognised as such."""
    one, same = (letters.report(summary(), "weekly", to) for to in (ANN, WEBHOOK))
    assert one.id == same.id
    assert one.id != letters.report(summary(), "daily", ANN).id
    assert one.id != letters.report(summary(since=date(2026, 3, 16)), "weekly", ANN).id
