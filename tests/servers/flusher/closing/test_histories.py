"""Random histories have the same numbers with copies of their days and without.

Their days are closed while the histories of tests/support/histories.py are stored: what arrives late, out of order, twice, over midnight or
in the hour that clocks skip. All sites of a period are asked at once: `site` is the beginning of their names.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from msgspec.structs import replace

from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import EVERYTHING, compiled
from dashboard.catalogue.contract import ALWAYS, FileQuestion, Period, Reply, Statement
from dashboard.catalogue.copied_days import Days, days_of
from dashboard.catalogue.copies import with_copies
from dashboard.catalogue.dimensions import ROW_DAY
from dashboard.catalogue.filters import Compare, Done, Filter
from flusher.closing.closing import Due
from flusher.delivery.table import Table
from forebay.clickhouse import ClickHouse
from schemas.closed import DAY_SPAN
from tests.support import histories
from tests.support.closed_site import RowsAlone
from tests.support.closing import close_days
from tests.support.engine import EngineProcess
from tests.support.histories import ZONES, Flusher
from tests.support.volume import volume

SEED = 33
PERIODS = volume(1, 10)
HISTORIES = volume(300, 2_000)  # of each
ADDED = ("visitors", "visits", "bounces", "seconds", "pageviews", "engaged_ms")  # what sums have
OF_ACTS = ("visitors", "everybody", "visits", "pageviews", "events")
OF_DAYS = ("visitors", "pageviews", "events")
# Questions about acts that are answered by sums of all acts, of pages, of names and of days, and by single acts.
ASKED_OF_ACTS: tuple[tuple[tuple[str, ...], Filter | None, tuple[str, ...]], ...] = (
    ((), None, OF_ACTS),
    (("page",), None, OF_ACTS),
    (("event",), None, OF_ACTS),
    (("time:day",), None, OF_DAYS),
    (("time:day",), None, OF_ACTS),
    (("page",), Compare("is", "event", ("pageview",)), OF_ACTS),
)
# Questions about visits: all of them, and those with an act, or without one, that acts find.
ASKED_OF_VISITS = (
    None,
    Compare("is", "event", ("pageview",)),
    Done(Compare("is_not", "event", ("pageview",)), is_done=False),
)
ANY_SITE = "any(e.site) AS of_site"
# Somebody with an id that an SDK owns comes to each site on three days. No two sites have a visitor together.
COMES_DAILY = """
INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url)
SELECT e.site, 'pageview', fromUnixTimestamp64Milli(1000 * (toInt64({first:Int64}) + 86400 * n), 'UTC'), now64(3), cityHash64(e.site),
    bitOr(bitShiftLeft(toUInt64({first:Int64} + 86400 * n), 32), 77), concat('https://', e.site, '/daily')
FROM (SELECT DISTINCT site FROM forebay.events WHERE startsWith(site, {like:String})) AS e ARRAY JOIN [0, 1, 2] AS n
"""

# Some visits bring in money, in two currencies, one of them by an event that is no act.
PAYS = """
INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url, bot, revenue, currency)
SELECT e.site, if(e.name = 'signup', 'purchase', e.name), e.ts, now64(3), e.visitor_id, e.session_id, concat('https://', e.hostname, e.path), e.bot,
    toDecimal64(cityHash64(e.session_id, e.ts) % 1000 / 100, 4), ['EUR', 'JPY'][cityHash64(e.ts) % 2 + 1]
FROM forebay.events AS e WHERE startsWith(e.site, {like:String}) AND e.name IN ('signup', 'identify')
"""
OF_CAMPAIGN = "s.utm_source AS utm_source"


@dataclass
class Shared:
    """Holds the sites of a period, whose names begin alike, as if they were one."""

    begins: str
    copies: dict[int, list[int]]  # by day
    days: list[int]

    def closed(self, statement: Statement) -> Days:
        """Returns the days of a statement, with the copies of all sites."""
        found = days_of(
            {day: day if self.copies.get(day) else 0 for day in self.days}, statement.parameters, self.copies
        )
        whole, others, acts = (
            [one for day in days for one in self.copies[day]] for days in (found.whole, found.others, found.act_copies)
        )
        return found._replace(whole=whole, others=others, act_copies=acts)


@pytest.fixture(scope="module", name="table")
def with_tables(engine: EngineProcess, clickhouse: ClickHouse) -> Iterator[Table]:
    """Returns the flusher's connection to our tables."""
    assert clickhouse.run("SELECT count() FROM forebay.events") == "0\n"
    table = Table.connect(f"http://127.0.0.1:{engine.port}", user="default", password="", timeout_seconds=120)
    yield table
    asyncio.run(table.close())


def questions(zone: str, middle: datetime) -> Iterator[tuple[FileQuestion, tuple[str, ...]]]:
    """Yields questions with the columns that are wanted: of all days, of the middle one, and up to a moment of the middle one.

    Visits of a period that is cut off are read from rows, where acts are asked for.
    """
    local = middle.date()
    around = Period(since=local - timedelta(days=2), until=local + timedelta(days=2), zone=zone)
    for period in (
        around,
        replace(around, since=local, until=local),
        replace(around, before=int(middle.timestamp()) // 900 * 900),
    ):
        for tree in ASKED_OF_VISITS:
            yield FileQuestion(file="visits", site="", period=period, limit=EVERYTHING, filters=tree), ADDED
            yield FileQuestion(file="campaigns", site="", period=period, limit=EVERYTHING, filters=tree), ()
        for dimensions, filters, columns in ASKED_OF_ACTS:
            question = FileQuestion(
                file="events", site="", period=period, limit=EVERYTHING, dimensions=dimensions, filters=filters
            )
            is_cut = period.before != ALWAYS
            yield question, tuple(name for name in columns if not (is_cut and name == "visits"))
    yield FileQuestion(file="visits", site="", period=around, limit=EVERYTHING), (*ADDED, "exits")


def of_sites(question: FileQuestion, columns: tuple[str, ...], begins: str) -> Statement:
    """Returns the statement that asks for the numbers of each site: by local day where it asks for visits, else by its dimension."""
    found = compiled(query_of(question.file), question, columns=("d", *columns) if columns else ())
    sql = found.sql.replace("s.site AS d", "(toString(s.site), toString(s.part_day)) AS d")
    if question.file == "campaigns":
        sql = sql.replace(OF_CAMPAIGN, f"(toString(s.site), toString({OF_CAMPAIGN.partition(' ')[0]})) AS utm_source")
        sql = sql.replace("toInt64(0) AS alone,", "toInt64(0) AS alone,\n            v.site AS site,")
    if question.file == "events" and question.dimensions:
        sql = sql.replace(" AS d,\n", f" AS d,\n    {ANY_SITE},\n", 1)
        sql = sql.replace("r.visitor_id AS visitor,", "r.visitor_id AS visitor,\n        r.site AS site,")
    return replace(found, sql=sql, parameters={**found.parameters, "site": begins})


def with_copies_of(rows: Statement, shared: Shared) -> Statement:
    """Returns the statement that reads copies."""
    return replace(rows, sql=with_copies(rows.sql, shared.closed(rows)))


def by_site(statement: Statement) -> Statement:
    """Returns a statement about acts that divides by the site, too, which sums could not answer if it had been told before."""
    sql = re.sub(
        rf"(e\.\w+|{re.escape(ROW_DAY)}) AS d,\n    {re.escape(ANY_SITE)},",
        r"(toString(e.site), \1) AS d,",
        statement.sql,
    )
    sql = sql.replace("e.site AS d", "(toString(e.site), '') AS d")
    return replace(statement, sql=sql.replace("OVER ()", "OVER (PARTITION BY tupleElement(d, 1))"))


class ManySites(RowsAlone):
    """Asks about all sites whose names begin with the parameter `site`."""

    def now(self, statement: Statement, **settings: str) -> Reply:
        """Returns the answer of the engine."""
        sql = re.sub(r"(\w)\.site = \{site:String\}", r"startsWith(\1.site, {site:String})", statement.sql)
        return super().now(replace(statement, sql=sql), **settings)


@pytest.mark.parametrize("index", range(PERIODS), ids=lambda index: f"period{index}")
def test_copies_of_random_histories_say_what_rows_say(
    index: int, table: Table, clickhouse: ClickHouse, engine: EngineProcess
) -> None:
    """Every second day is closed, and then every day. Each number of each site and local day is as without copies."""
    period = histories.Period(index, SEED, HISTORIES)
    asyncio.run(Flusher(table, period).store())
    clickhouse.run(COMES_DAILY, {"like": f"p{index}-", "first": period.begins // 1000 - 86_400})
    clickhouse.run(PAYS, {"like": f"p{index}-"})
    zones = {history.site: history.zone.key for history in period.histories}
    middle = datetime.fromtimestamp((period.begins + 2 * histories.HOUR) / 1000, UTC)
    begins = f"p{index}-"
    asker = ManySites(clickhouse)
    # The clock goes on, because copies are told apart by the moment at which they were begun.
    moments = count(middle.timestamp() + 10 * 86_400, 0.01)
    some = shared_of(clickhouse, begins).days[0] % 2
    for odd in ({some}, {0, 1}):

        def is_wanted(one: Due, odd: set[int] = odd) -> bool:
            return one.site in zones and one.day % 2 in odd

        close_days(f"http://127.0.0.1:{engine.port}", is_wanted, zones, moments.__next__)
        shared = shared_of(clickhouse, begins)
        assert any(shared.copies.values())
        paid = 0
        for zone in ZONES:
            sites = {site for site, name in zones.items() if name == zone.key}
            for question, columns in questions(zone.key, middle.astimezone(zone)):
                rows = of_sites(question, columns, begins)
                copies = with_copies_of(rows, shared)
                assert copies.sql != rows.sql
                said, wanted = (
                    [row for row in asker.now(by_site(one)).rows if row[0][0] in sites] for one in (copies, rows)
                )
                assert len(wanted) > len(sites) / 3
                if question.file == "campaigns":
                    paid += sum(bool(row[-1]) for row in wanted)
                assert said == wanted, f"seed {SEED}, period {index}, {zone}"
        assert paid > 0


def shared_of(clickhouse: ClickHouse, begins: str) -> Shared:
    """Returns which days have rows, and their copies."""
    like = {"like": begins}
    days = clickhouse.rows(
        f"SELECT DISTINCT intDiv(session_id, {DAY_SPAN}) AS day FROM forebay.events WHERE startsWith(site, {{like:String}})",
        like,
    )
    copies = clickhouse.rows(
        "SELECT toUInt16(opened) AS day, groupUniqArray(copy) AS copies FROM forebay.closed_days"
        " WHERE startsWith(site, {like:String}) GROUP BY day",
        like,
    )
    return Shared(
        begins,
        {int(row["day"]): [int(one) for one in row["copies"]] for row in copies},
        sorted(int(row["day"]) for row in days),
    )
