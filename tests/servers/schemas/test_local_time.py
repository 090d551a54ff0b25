"""The views in local time: what they count is what Python counts of the same rows, by zoneinfo; and what answers them."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from forebay.__main__ import main
from forebay.clickhouse import ClickHouse, ClickHouseError
from schemas.sql import literal
from tests.support.engine import EngineProcess
from tests.support.volume import volume

PASSIVE = {"engagement", "vitals", "identify", "alias", "group"}
QUARTER_S, HOUR_S = 900, 3600


class Row(NamedTuple):
    """Is one row of `events`; `ts` is in unix ms."""

    site: str
    ts: int
    name: str
    bot: str
    visitor_id: int
    session_id: int
    path: str
    engaged_ms: int
    currency: str
    cents: int


class Range(NamedTuple):
    """Is what somebody asks for: local dates, both included. `hours` is what it has, where a test says so."""

    site: str
    timezone: str
    since: date
    until: date
    hours: int | None = None

    @property
    def arguments(self) -> str:
        return (
            f"(site = {literal(self.site)}, timezone = {literal(self.timezone)},"
            f" since = '{self.since}', until = '{self.until}')"
        )

    def local(self, unix_s: float) -> datetime:
        return datetime.fromtimestamp(unix_s, ZoneInfo(self.timezone))

    def holds(self, unix_s: float) -> bool:
        return self.since <= self.local(unix_s).date() <= self.until


def asked(name: str, timezone: str, since: str, days: int, hours: int) -> Range:
    first = date.fromisoformat(since)
    return Range(name, timezone, first, first + timedelta(days=days - 1), hours)


# Days of 23, 24 and 25 hours; midnights that are missing (Santiago, Cairo) or come twice (Havana); quarters of an hour;
# and both ends of the date line.
NAMED = [
    asked("la-25", "America/Los_Angeles", "2025-11-02", 1, 25),
    asked("la-23", "America/Los_Angeles", "2026-03-08", 1, 23),
    asked("auckland-23", "Pacific/Auckland", "2025-09-28", 1, 23),
    asked("auckland-25", "Pacific/Auckland", "2026-04-05", 1, 25),
    asked("auckland-week", "Pacific/Auckland", "2026-04-01", 7, 169),
    asked("kathmandu", "Asia/Kathmandu", "2026-02-27", 4, 96),
    asked("kathmandu-1", "Asia/Kathmandu", "2025-12-31", 1, 24),
    asked("chatham-25", "Pacific/Chatham", "2026-04-05", 1, 25),
    asked("santiago-no-midnight", "America/Santiago", "2025-09-07", 1, 23),
    asked("santiago-before", "America/Santiago", "2025-09-06", 1, 24),
    asked("santiago-25", "America/Santiago", "2025-04-05", 1, 25),
    asked("cairo-no-midnight", "Africa/Cairo", "2025-04-25", 2, 47),
    asked("havana-two-midnights", "America/Havana", "2025-11-02", 1, 25),
    asked("havana-before", "America/Havana", "2025-11-01", 1, 24),
    asked("kiritimati", "Pacific/Kiritimati", "2026-01-01", 2, 48),
    asked("niue", "Pacific/Niue", "2026-01-01", 2, 48),
    asked("lord-howe", "Australia/Lord_Howe", "2026-04-04", 3, 0),
    asked("utc", "UTC", "2026-01-31", 3, 72),
    asked("kolkata", "Asia/Kolkata", "2026-02-28", 2, 48),
]


def random_ranges(zones: list[str], count: int) -> list[Range]:
    """Returns ranges of up to a fortnight in any zone, in years whose rules no release of the zones changes any more."""
    chance = random.Random(8)
    found = []
    for number in range(count):
        since = date(2013, 1, 1) + timedelta(days=chance.randrange(4_000))
        until = since + timedelta(days=chance.choice((0, 0, 1, 2, 6, 13)))
        found.append(Range(f"random-{number}", chance.choice(zones), since, until))
    return found


def rows_of(one: Range, chance: random.Random) -> list[Row]:
    """Returns rows around the range: anywhere in it, and a millisecond beside its midnights and each full hour of UTC."""
    first = datetime(*one.since.timetuple()[:3], tzinfo=UTC).timestamp() - 40 * HOUR_S
    hours = (one.until - one.since).days * 24 + 24 + 80
    moments = [int(1000 * (first + chance.random() * hours * HOUR_S)) for _ in range(60)]
    for hour in range(0, hours, 1 + hours // 120):
        quarter = int(1000 * (first + hour * HOUR_S + chance.randrange(4) * QUARTER_S))
        moments += [quarter - 1, quarter]
    return [
        Row(
            site=one.site,
            ts=ts,
            name=chance.choice(("pageview", "pageview", "engagement", "purchase", "identify")),
            bot=chance.choice(("",) * 7 + ("crawler",)),
            visitor_id=chance.randrange(20),
            session_id=((ts // 1_000_000 + 1) * 1_000 << 32) + chance.randrange(2),
            path=f"/{chance.randrange(4)}",
            engaged_ms=chance.randrange(1_000),
            currency=chance.choice(("", "", "EUR", "JPY")),
            cents=chance.randrange(10_000),
        )
        for ts in moments
    ]


class Asked(NamedTuple):
    """Holds what was inserted, and everything that is asked about it."""

    clickhouse: ClickHouse
    ranges: list[Range]
    rows: dict[str, list[Row]]

    def people(self, one: Range) -> list[Row]:
        """Returns the rows of people in the range, by Python's own zones."""
        return [row for row in self.rows[one.site] if not row.bot and one.holds(row.ts / 1000)]


@pytest.fixture(scope="module", name="asked_of")
def filled(clickhouse: ClickHouse) -> Asked:
    """Inserts the rows of all ranges in two INSERTs, so that there are parts to read together."""
    known = set(clickhouse.run("SELECT time_zone FROM system.time_zones").split())
    zones = sorted(known & available_timezones())
    assert len(zones) > 400
    ranges = NAMED + random_ranges(zones, volume(8, 24))
    chance = random.Random(5)
    rows = {one.site: rows_of(one, chance) for one in ranges}
    everything = [row for of_site in rows.values() for row in of_site]
    for half in (everything[::2], everything[1::2]):
        clickhouse.run(
            "INSERT INTO forebay.events (site, ts, name, bot, visitor_id, session_id, path, engaged_ms, currency, revenue_e4)"
            " VALUES "
            + ", ".join(
                f"({literal(row.site)}, fromUnixTimestamp64Milli({row.ts}), {literal(row.name)}, {literal(row.bot)},"
                f" {row.visitor_id}, {row.session_id}, {literal(row.path)}, {row.engaged_ms}, {literal(row.currency)},"
                f" {row.cents * 100 if row.currency else 0})"
                for row in half
            ),
            max_partitions_per_insert_block="1000",
        )
    return Asked(clickhouse, ranges, rows)


def counted(rows: list[Row]) -> tuple[int, ...]:
    """Counts rows as the views do: pageviews, events, visitors, engaged_ms."""
    return (
        sum(row.name == "pageview" for row in rows),
        len(rows),
        len({row.visitor_id for row in rows if row.name not in PASSIVE}),
        sum(row.engaged_ms for row in rows),
    )


def table(clickhouse: ClickHouse, sql: str) -> list[list[Any]]:
    """Returns the rows that a SELECT answers."""
    settings = {"output_format_json_quote_64bit_integers": "0", "output_format_json_quote_decimals": "1"}
    lines = clickhouse.run(f"{sql} FORMAT JSONCompactEachRow", **settings).splitlines()
    return [msgspec.json.decode(line) for line in lines]


def test_local_days_are_what_python_counts(asked_of: Asked) -> None:
    """Every day of the range is there, also one without events; and whole columns, each of its own source, are right."""
    for one in asked_of.ranges:
        by_day: dict[date, list[Row]] = {
            one.since + timedelta(days=number): [] for number in range((one.until - one.since).days + 1)
        }
        for row in asked_of.people(one):
            by_day[one.local(row.ts / 1000).date()].append(row)
        wanted = [[str(day), *counted(rows)] for day, rows in sorted(by_day.items())]
        question = f"FROM forebay.local_days{one.arguments} ORDER BY day"
        assert table(asked_of.clickhouse, f"SELECT * {question}") == wanted, one
        few = [[row[0], row[1], row[4]] for row in wanted]
        assert table(asked_of.clickhouse, f"SELECT day, pageviews, engaged_ms {question}") == few, one


def test_local_hours_are_what_python_counts(asked_of: Asked) -> None:
    """A day has as many hours as its clock shows: 23, 24 or 25, each with the moment at which it began.

    Not on Lord Howe Island, whose clock jumps by half an hour: no rule says what its hours are then.
    """
    for one in (one for one in asked_of.ranges if one.timezone not in {"Australia/Lord_Howe", "Australia/LHI"}):
        began = int(datetime(*one.since.timetuple()[:3], tzinfo=UTC).timestamp()) - 30 * HOUR_S
        by_hour: dict[int, list[Row]] = defaultdict(list)
        for quarter in range(began, began + ((one.until - one.since).days + 4) * 24 * HOUR_S, QUARTER_S):
            if one.holds(quarter):
                by_hour[hour_of(one, quarter)] = []
        for row in asked_of.people(one):
            by_hour[hour_of(one, row.ts // 1000)].append(row)
        wanted = [[hour, *counted(rows)] for hour, rows in sorted(by_hour.items())]
        assert one.hours in {None, len(wanted)}, one
        sql = f"SELECT toUnixTimestamp(hour), * EXCEPT hour FROM forebay.local_hours{one.arguments} ORDER BY hour"
        assert table(asked_of.clickhouse, sql) == wanted, one


def hour_of(one: Range, unix_s: int) -> int:
    """Returns when the local hour of a moment began, in unix seconds. No clock may be set by a part of an hour in it."""
    local = one.local(unix_s)
    return unix_s - local.minute * 60 - local.second


def test_visits_are_what_python_counts(asked_of: Asked) -> None:
    """Counts each visit as a whole, on the local day on which it began, and leaves out visits with an event that looks automated."""
    for one in asked_of.ranges:
        sessions: dict[int, list[Row]] = defaultdict(list)
        for row in asked_of.rows[one.site]:
            sessions[row.session_id].append(row)
        days = (one.until - one.since).days + 1
        wanted = {one.since + timedelta(days=number): [0, 0, 0, 0, 0] for number in range(days)}
        for rows in sessions.values():
            began, ended = min(row.ts for row in rows), max(row.ts for row in rows)
            if one.holds(began / 1000) and not any(row.bot for row in rows) and {row.name for row in rows} - PASSIVE:
                pageviews, others = (sum(row.name == name for row in rows) for name in ("pageview", "purchase"))
                engaged_ms = sum(row.engaged_ms for row in rows)
                is_bounce = pageviews == 1 and not others and engaged_ms < 10_000
                found = (1, int(is_bounce), pageviews, ended // 1000 - began // 1000, engaged_ms)
                day = one.local(began / 1000).date()
                wanted[day] = [total + value for total, value in zip(wanted[day], found, strict=True)]
        sql = f"SELECT * FROM forebay.local_visits{one.arguments} ORDER BY day"
        assert table(asked_of.clickhouse, sql) == [[str(day), *found] for day, found in wanted.items()], one


def test_totals_pages_and_money_are_what_python_counts(asked_of: Asked) -> None:
    """Over the whole range: visitors once, pages from whole UTC days and two edges, and each currency by itself."""
    for one in asked_of.ranges:
        people = asked_of.people(one)
        totals = table(asked_of.clickhouse, f"SELECT * FROM forebay.local_totals{one.arguments}")
        assert totals == [[one.site, *counted(people)]], one
        assert table(asked_of.clickhouse, f"SELECT events FROM forebay.local_totals{one.arguments}") == [[len(people)]]

        by_path: dict[str, list[Row]] = defaultdict(list)
        for row in people:
            by_path[row.path].append(row)
        pages = [[path, *counted(rows)[:2], counted(rows)[3]] for path, rows in sorted(by_path.items())]
        sql = f"SELECT path, pageviews, events, engaged_ms FROM forebay.local_pages{one.arguments} ORDER BY path"
        assert table(asked_of.clickhouse, sql) == pages, one

        by_currency: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in filter(lambda row: row.currency, people):
            by_currency[str(one.local(row.ts / 1000).date()), row.currency].append(row)
        money = [
            [day, currency, f"{sum(row.cents for row in rows) / 100:g}", len(rows)]
            for (day, currency), rows in sorted(by_currency.items())
        ]
        sql = (
            "SELECT day, currency, toString(toFloat64(revenue)), events FROM"
            f" forebay.local_revenue{one.arguments} ORDER BY day, currency"
        )
        assert [[*row[:2], f"{float(row[2]):g}", row[3]] for row in table(asked_of.clickhouse, sql)] == money, one


ANYWHERE = "(site = 'example.com', timezone = 'Asia/Kathmandu', since = '2026-11-01', until = '2026-11-30')"


@pytest.mark.parametrize(
    ("columns", "view", "reads"),
    [
        ("day, pageviews, events, engaged_ms", "local_days", ["quarter_hours", "quarter_hours"]),
        ("hour, pageviews", "local_hours", ["quarter_hours", "quarter_hours"]),
        ("pageviews, events", "local_totals", ["quarter_hours", "quarter_hours"]),
        ("*", "local_revenue", ["quarter_hours"]),
        ("*", "local_days", ["quarter_hours", "forebay.events"]),
        ("*", "local_pages", ["daily", "forebay.events"]),
    ],
)
def test_counts_come_from_a_projection(clickhouse: ClickHouse, columns: str, view: str, reads: list[str]) -> None:
    """Rows are read for visitors and visits, and for the edges of pages, and for nothing else."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, path, currency) SELECT 'example.com', 'pageview',"
        " toDateTime64('2026-10-30 00:00:00', 3, 'UTC') + number * 30, number, toString(number % 9), ['', 'EUR'][1 + number % 2]"
        " FROM numbers(100000)"
    )
    plan = clickhouse.run(f"EXPLAIN SELECT {columns} FROM forebay.{view}{ANYWHERE}").splitlines()
    found = [line.partition("(")[2].partition(")")[0] for line in plan if "ReadFromMergeTree" in line]
    assert found == reads, plan


def test_what_is_wrong_with_an_argument_is_said(clickhouse: ClickHouse) -> None:
    """Names the fault: an unknown zone, a missing one, and what is not a date. A range that ends before it begins is empty."""
    for wrong, code, words in (
        (ANYWHERE.replace("Asia/Kathmandu", "Mars/Olympus"), 36, "Cannot load time zone Mars/Olympus"),
        (ANYWHERE.replace("timezone = 'Asia/Kathmandu', ", ""), 456, "`timezone` is not set"),
        (ANYWHERE.replace("2026-11-01", "yesterday"), 38, "value yesterday cannot be parsed as Date"),
    ):
        for view in ("local_days", "local_hours", "local_totals", "local_pages", "local_revenue", "local_visits"):
            with pytest.raises(ClickHouseError, match=words) as raised:
                clickhouse.run(f"SELECT * FROM forebay.{view}{wrong}")
            assert raised.value.code == code, raised.value
    backwards = ANYWHERE.replace("2026-11-30", "2026-10-30")
    assert clickhouse.run(f"SELECT count() FROM forebay.local_days{backwards}") == "0\n"
    assert clickhouse.run(f"SELECT count() FROM forebay.local_hours{backwards}") == "0\n"


def test_the_ends_of_time_can_be_asked_for(clickhouse: ClickHouse) -> None:
    """People say 1970 for the beginning: nothing wraps around at the ends of what a Date holds."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, path, ts, session_id) SELECT 's', 'pageview', '/', now() - 864000, bitShiftLeft(toUInt64(toUnixTimestamp(now() - 864000)), 32)"
    )
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        always = f"(site = 's', timezone = '{zone}', since = '1970-01-01', until = '2149-06-06')"
        assert clickhouse.run(f"SELECT pageviews, visitors FROM forebay.local_totals{always}") == "1\t1\n"
        assert clickhouse.run(f"SELECT path, pageviews FROM forebay.local_pages{always}") == "/\t1\n"
        assert clickhouse.run(f"SELECT sum(visits) FROM forebay.local_visits{always}") == "1\n"


def test_they_are_asked_as_any_table_is(
    engine: EngineProcess, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a client that may only read, with arguments of a query of its own, with today's date; and by `forebay query`."""
    client: Client = engine.client(settings={"readonly": 1})
    sql = "SELECT count() FROM forebay.local_days(site = {site:String}, timezone = {zone:String}, since = today() - 2, until = today())"
    parameters = {"site": "example.com", "zone": "Pacific/Auckland"}
    assert client.query(sql, parameters=parameters).result_rows == [(3,)]
    client.close()
    url = f"http://127.0.0.1:{engine.port}"
    assert main(["query", "--clickhouse-url", url, f"SELECT count() AS n FROM local_days{ANYWHERE}"]) == 0
    assert capsys.readouterr().out == "n\n30\n"
