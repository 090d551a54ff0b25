"""Random histories come out of ClickHouse as docs/visits.md says, which tests/support/visits.py repeats.

What arrives late, out of order, twice, over midnight or in the hour that clocks skip goes through the flusher's own code
into the real engine's tables, and is asked of the views. A failure names the seed, the period and the site; a period
is repeated alone by `-k "period3"`. `make test` has 700 histories in each of the first three periods, `make histories` 2,000
in each of all ten.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from flusher.blocks import sessions as sessions_module
from flusher.blocks.sessions import Sessions
from flusher.copies.claims import Claims
from flusher.delivery.table import Table
from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import packaged
from tests.support.engine import EngineProcess
from tests.support.histories import AROUND, ZONES, Flusher, Period, blocks_of, number
from tests.support.visits import MINUTE, Page, Session, Visit, pages_of, sessions_of, visit_of, visitors_of_days
from tests.support.volume import volume

SEED = 33
PERIODS = volume(3, 10)
HISTORIES = volume(700, 2_000)  # of each
FEW, FEW_HISTORIES = 97, 150  # a period, and so many histories in it, are enough to notice that a rule is broken
VISITS = """
SELECT toString(site) AS site, session_id AS id, visitor_id AS visitor, bot, is_visit,
    toUnixTimestamp64Milli(started_at) AS started_at, toUnixTimestamp64Milli(ended_at) AS ended_at, seconds, events,
    pageviews, custom_events, engaged_ms, is_bounce, entry_hostname, entry_path, exit_hostname, exit_path,
    source, referrer, query, utm_medium, first_visitor, last_visitor, toUnixTimestamp64Milli(first_active_at) AS first_active_at,
    toUnixTimestamp64Milli(last_active_at) AS last_active_at
FROM forebay.sessions WHERE startsWith(site, {like:String})
"""
OF_PEOPLE = "SELECT toString(site) AS site, session_id FROM forebay.v_sessions WHERE startsWith(site, {like:String})"
PAGES = """
SELECT toString(site) AS site, session_id AS session, toString(hostname) AS hostname, path, pageviews, engaged_ms, scroll_pct
FROM forebay.v_pages WHERE startsWith(site, {like:String})
"""
DAYS = """
SELECT toString(site) AS site, toString(toDate(ts, {zone:String})) AS day, uniqExact(visitor_id) AS visitors
FROM forebay.v_events WHERE startsWith(site, {like:String}) AND name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group')
GROUP BY site, day
"""


@pytest.fixture(scope="module")
def table(engine: EngineProcess, clickhouse: ClickHouse) -> Iterator[Table]:
    """The flusher's connection to our tables. Each period has sites of its own, so nothing is emptied between tests."""
    assert clickhouse.run("SELECT count() FROM forebay.events") == "0\n"
    table = Table.connect(f"http://127.0.0.1:{engine.port}", user="default", password="", timeout_seconds=120)
    yield table
    asyncio.run(table.close())


@functools.cache  # tests that break a rule share their histories
def reference(period: Period) -> dict[str, list[Session]]:
    """Returns the sessions of each site by the rules."""
    shares = blocks_of(period)
    return {
        history.site: sessions_of(
            shares[history.site], history.zone, lambda *who, site=history.site: number(site, *who)
        )
        for history in period.histories
    }


def differences(clickhouse: ClickHouse, period: Period) -> Iterator[str]:
    """Yields where ClickHouse and the rules differ: every number of every session, page and day of the period.

    Who wants to know no more than whether they do has ClickHouse asked until then.
    """
    expected = reference(period)
    like = {"like": f"p{period.index}-"}

    def compared(what: str, wanted: set[tuple[object, ...]], there: list[tuple[object, ...]]) -> Iterator[str]:
        assert len(there) == len(set(there)), what
        yield from (f"{what}: by the rules {one}" for one in sorted(map(str, wanted.difference(there))))
        yield from (f"{what}: in ClickHouse {one}" for one in sorted(map(str, set(there).difference(wanted))))

    visits = [(site, visit_of(session)) for site, sessions in expected.items() for session in sessions]
    asked = [(row.pop("site"), Visit(**row)) for row in clickhouse.rows(VISITS, like)]
    yield from compared("visit", set(visits), list(asked))
    people = {(site, visit.id) for site, visit in visits if not visit.bot and visit.is_visit}
    yield from compared(
        "visit of people", set(people), [tuple(row.values()) for row in clickhouse.rows(OF_PEOPLE, like)]
    )
    pages = {(site, page) for site, sessions in expected.items() for session in sessions for page in pages_of(session)}
    yield from compared("page", set(pages), [(row.pop("site"), Page(**row)) for row in clickhouse.rows(PAGES, like)])
    for zone in ZONES:
        sites = {history.site for history in period.histories if history.zone == zone}
        days = {(site, *day) for site in sites for day in visitors_of_days(expected[site], zone).items()}
        rows = clickhouse.rows(DAYS, {**like, "zone": zone.key})
        yield from compared(
            "visitors of a day", set(days), [tuple(row.values()) for row in rows if row["site"] in sites]
        )


@pytest.mark.parametrize("index", range(PERIODS), ids=lambda index: f"period{index}")
def test_random_histories_are_what_the_rules_say(index: int, table: Table, clickhouse: ClickHouse) -> None:
    """Each visit, each page and each local day's visitors, of hundreds of sites in three zones."""
    period = Period(index, SEED, HISTORIES)
    asyncio.run(Flusher(table, period).store())
    found = [*differences(clickhouse, period)]
    assert not found, f"seed {SEED}, period {index}: {len(found)} differences\n" + "\n".join(found[:10])


# What each part of a rule is worth: without it, the same histories are found to be wrong.
IN_SQL = {
    "the entry is that of any event": (
        "argMinIf(e.path, concat(moment, e.path), e.name = 'pageview') AS entry_path",
        "argMin(e.path, concat(moment, e.path)) AS entry_path",
    ),
    "the exit is that of any event": (
        "argMaxIf(e.path, concat(moment, e.path), e.name = 'pageview') AS exit_path",
        "argMax(e.path, concat(moment, e.path)) AS exit_path",
    ),
    "equal moments are not decided": (
        "argMinIf(e.path, concat(moment, e.path), e.name = 'pageview') AS entry_path",
        "argMinIf(e.path, moment, e.name = 'pageview') AS entry_path",
    ),
    "the source is that of any event": ("if(e.name = 'pageview', 0, 1)", "0"),
    "a visit has the longest engagement": (
        "sum(e.engaged_ms) AS engaged_ms,\n    toUInt8",
        "max(e.engaged_ms) AS engaged_ms,\n    toUInt8",
    ),
    "a page has the longest engagement": (
        "sum(e.engaged_ms) AS engaged_ms,\n        max",
        "max(e.engaged_ms) AS engaged_ms,\n        max",
    ),
    "the depth of scrolling is a mean": ("max(e.scroll_pct)", "toUInt8(avg(e.scroll_pct))"),
    "an engagement event is an interaction": (
        "countIf(e.name NOT IN ('pageview', 'engagement', 'vitals', 'identify', 'alias', 'group'))",
        "countIf(e.name NOT IN ('pageview', 'vitals'))",
    ),
    "who somebody is is an interaction": (
        "countIf(e.name NOT IN ('pageview', 'engagement', 'vitals', 'identify', 'alias', 'group'))",
        "countIf(e.name NOT IN ('pageview', 'engagement', 'vitals'))",
    ),
    "ten seconds bounce": ("engaged_ms < 10000", "engaged_ms <= 10000"),
    "an old tab is a visit": ("WHERE bot = '' AND is_visit = 1", "WHERE bot = ''"),
    "a bot's other pages count": ("LEFT ANTI JOIN", "LEFT SEMI JOIN"),
    "a visit has the visitor of its last event": ("toUInt64(min(who))", "toUInt64(max(who))"),
    "to read makes somebody a visitor": (
        "e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AS is_seen",
        "e.bot = '' AS is_seen",
    ),
    "a bot is a visitor": (
        "e.bot = '' AND e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AS is_seen",
        "e.name NOT IN ('engagement', 'vitals', 'identify', 'alias', 'group') AS is_seen",
    ),
    "the last visitor is any": ("toUInt64(maxIf(who,", "toUInt64(minIf(who,"),
}


async def every_row(*_: Any, **__: Any) -> list[int]:
    """Finds no copies."""
    return []


IN_PYTHON = {
    "a gap of 29 minutes": (sessions_module, "GAP_MS", 29 * MINUTE),
    "remembered for 37 minutes": (sessions_module, "MEMORY_MS", 37 * MINUTE),
    "a visit ends half an hour after midnight": (Sessions, "_carry", lambda *_: None),
    "midnight is not known": (
        Sessions,
        "_within_reach",
        lambda self, visitor, _: ((visitor, one) for one in self._of(visitor)),
    ),
    "copies are stored": (Claims, "copies", every_row),
}


@pytest.fixture(scope="module")
def stored(table: Table) -> Period:
    """A period of a few hundred histories, which are stored."""
    period = Period(FEW, SEED, FEW_HISTORIES)
    asyncio.run(Flusher(table, period).store())
    return period


@functools.cache
def views() -> dict[str, str]:
    """Returns the statements that make the views of visits as the last migrations leave them, by the views' names."""
    statements = [
        statement
        for migration in packaged()
        if migration.name >= "0009_visits"
        for statement in migration.statements("")
    ]
    return {found[1]: one for one in statements if (found := re.search(r"CREATE OR REPLACE VIEW (\S+)", one))}


@pytest.fixture
def broken(rule: str, clickhouse: ClickHouse) -> Iterator[None]:
    """Has a part of views replaced, and makes them again as they are."""
    wanted, instead = IN_SQL[rule]
    whole = [statement for statement in views().values() if wanted in statement]
    assert whole
    for statement in whole:
        clickhouse.run(statement.replace(wanted, instead))
    yield
    for statement in whole:
        clickhouse.run(statement)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("rule", IN_SQL)
def test_a_broken_rule_of_a_view_is_noticed(stored: Period, clickhouse: ClickHouse) -> None:
    """Each rule has a part in the views without which the comparison above fails."""
    assert next(differences(clickhouse, stored), "")


@pytest.mark.parametrize("rule", IN_PYTHON)
def test_a_broken_rule_of_the_flusher_is_noticed(
    rule: str, table: Table, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule has a part in the flusher without which the comparison above fails."""
    period = Period(FEW + len(AROUND) * (1 + list(IN_PYTHON).index(rule)), SEED, FEW_HISTORIES)
    monkeypatch.setattr(*IN_PYTHON[rule])
    asyncio.run(Flusher(table, period).store())
    assert next(differences(clickhouse, period), "")
