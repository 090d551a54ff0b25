"""What looks automated is counted by reason, by crawler and beside people; people from AI assistants are counted as people."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from forebay.clickhouse import ClickHouse
from schemas.bots import BotReason
from tests.support.dashboard.asking import days, rows_of
from tests.support.dashboard.chance import events, questions, visits
from tests.support.dashboard.hand import FIRST, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import totals
from tests.support.dashboard.seed import Hit, Site, Visit, insert, moment

PERIOD = days(FIRST, THIRD, ZONE)
SITE = "hand.example"
WORDS = {reason.value: str(reason.name).lower() for reason in BotReason}
ASSISTANTS = {"chatgpt.com": "ChatGPT", "perplexity.ai": "Perplexity"}
# A row of release 0.1.0 has a verdict without reasons. Somebody whose headers are odd is a person all the same.
OLD = Site(
    "old.example",
    ZONE,
    (
        Visit("old", moment(ZONE, SECOND, 9), (Hit(0, bot="headless"), Hit(1, bot="headless", bot_reasons=2 + 32))),
        Visit("odd", moment(ZONE, SECOND, 9), (Hit(0, bot_reasons=256),)),
    ),
)


@pytest.fixture(scope="module", name="old")
def with_old_rows(seeded: ClickHouse) -> ClickHouse:
    """Returns the tables with one more site."""
    sql, body = insert([OLD])
    seeded.run(f"{sql}\n{body.decode()}")
    return seeded


def test_programs_of_the_hand_counted_site(seeded: ClickHouse) -> None:
    """A crawler came, and somebody who was too fast; Gus was sent by an assistant."""
    assert [[row[0], *row[2:]] for row in rows_of(seeded, "bots", SITE, PERIOD)] == [["crawler", 1, 1], ["rate", 1, 1]]
    by_day = rows_of(seeded, "bot_series", SITE, PERIOD, dimensions=("time:day",))
    assert by_day == [["2026-03-01", 4, 0], ["2026-03-02", 4, 2], ["2026-03-03", 2, 0]]
    asked = {"purpose": "ai-"}
    assert rows_of(seeded, "crawlers", SITE, PERIOD, parameters=asked) == [["ai-training", "GPTBot", 1, 1]]
    assert rows_of(seeded, "crawlers", SITE, PERIOD, parameters={"purpose": "seo"}) == []
    assert rows_of(seeded, "assistants", SITE, PERIOD) == [["ChatGPT", 1, 1, 1]]


def test_rows_of_the_first_release(old: ClickHouse) -> None:
    """Their verdict is their only reason; a reason that is too weak makes nobody a program."""
    rows = rows_of(old, "bots", OLD.name, PERIOD)
    assert [[row[0], *row[2:]] for row in rows] == [["headless", 2, 1], ["automation", 1, 0]]
    assert rows_of(old, "bot_series", OLD.name, PERIOD) == [[OLD.name, 1, 2]]


def test_programs_are_what_python_counts(seeded: ClickHouse) -> None:
    """By reason, by crawler, and beside people, over changes of clocks, with filters and without."""
    answers = 0
    for one in questions(20, seed=8):
        everybody = one.asked._replace(bots=True).rows(events(), one.fits)
        programs = [event for event in everybody if event.bot]
        with_it = Counter(word for event in programs for bit, word in WORDS.items() if event.bot_reasons & bit)
        alone = Counter(WORDS[event.bot_reasons] for event in programs if event.bot_reasons in WORDS)
        found = rows_of(seeded, "bots", **one.arguments)
        assert [(row[0], row[2], row[3]) for row in found] == [
            (word, n, alone[word]) for word, n in sorted(with_it.items(), key=lambda pair: (-pair[1], pair[0]))
        ], one

        pages: dict[tuple[str, str], list[str]] = defaultdict(list)
        for event in programs:
            if event.bot_purpose.startswith("ai-"):
                pages[event.bot_purpose, event.bot_name].append(event.path)
        crawled = rows_of(seeded, "crawlers", parameters={"purpose": "ai-"}, **one.arguments)
        assert sorted(map(tuple, crawled)) == sorted(
            (*crawler, len(paths), len(set(paths))) for crawler, paths in pages.items()
        ), one

        days_ = Counter(
            (str(one.asked.day(event.ms)), bool(event.bot)) for event in everybody if event.name == "pageview"
        )
        series = rows_of(seeded, "bot_series", dimensions=("time:day",), **one.arguments)
        assert [tuple(row) for row in series] == [
            (day, days_[day, False], days_[day, True]) for day in sorted({day for day, _ in days_})
        ], one
        answers += bool(found)
    assert answers > 4


def test_assistants_are_what_python_counts(seeded: ClickHouse) -> None:
    """Over changes of clocks and midnights."""
    answers = 0
    for one in questions(12, seed=9, with_filters=False):
        wanted = {}
        for source, name in ASSISTANTS.items():
            there = [visit for visit in visits(one.asked.site) if visit.source == source]
            counted = totals(there, one.asked)
            began = [visit for visit in there if visit.is_counted(one.asked.bots) and one.asked.holds(visit.started)]
            if counted.visitors or counted.visits:
                wanted[name] = (counted.visitors, counted.visits, len({visit.entry for visit in began} - {""}))
        found = rows_of(seeded, "assistants", **one.arguments)
        assert {row[0]: tuple(row[1:]) for row in found} == wanted, one
        answers += bool(found)
    assert answers > 3
