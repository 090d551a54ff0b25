"""Holds a site of which all days are closed, and asks it through copies and through rows alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

from msgspec.structs import replace

from dashboard.ask.answers import answer
from dashboard.catalogue.contract import Question, Statement
from dashboard.catalogue.filters import Compare, Filter
from flusher.closing import statements
from schemas.closed import COPY_TABLES
from tests.support.closing import close_days
from tests.support.dashboard.asking import EngineAsker, days
from tests.support.dashboard.hand import HAND
from tests.support.dashboard.seed import insert
from tests.support.engine import EngineProcess

SITE, ZONE = HAND.name, HAND.zone
PERIOD = days(date(2026, 2, 27), date(2026, 3, 4), ZONE)
METRICS = ("visitors", "visits", "views_per_visit", "bounce_rate", "visit_duration", "percentage")
OF_ACTS = ("visitors", "visits", "pageviews", "percentage")
# What is asked, and the table of copies that has the sums. Where two columns are read that no sums have together, it is that of single rows.
ASKED: tuple[tuple[tuple[str, ...], tuple[str, ...], Filter | None, str], ...] = (
    (METRICS, (), None, "closed_sums"),
    (METRICS, ("time:day",), None, "closed_sums"),
    (METRICS, ("source",), None, "closed_sums"),
    (METRICS, ("browser",), Compare("is_not", "country", ("FR",)), "closed_visits"),
    (OF_ACTS, ("page",), None, "closed_act_sums"),
    (OF_ACTS, ("hostname",), Compare("is_not", "event", ("purchase",)), "closed_acts"),
)
QUESTIONS = [
    Question(site=SITE, period=PERIOD, metrics=metrics, dimensions=dimensions, filters=filters)
    for metrics, dimensions, filters, _ in ASKED
]
READ = [table for *_, table in ASKED]
ROWS = "SELECT sum(cityHash64(*)) FROM forebay.events"
LISTS = "SELECT max(version) FROM forebay.source_index"
TABLES = ("events", "erased_rows", "closed_days", "closed_repeats", *COPY_TABLES)
KEPT = (*TABLES, "source_index")  # copies hold for its lists
ONE_MORE = """
INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url, country)
SELECT site, 'pageview', ts + INTERVAL 1 SECOND, now64(3), visitor_id, session_id, 'https://hand.example/late', country
FROM forebay.events WHERE site = 'hand.example' AND bot = '' ORDER BY ts, session_id LIMIT 1
"""


class RowsAlone(EngineAsker):
    """Asks as if no day were closed."""

    def copied(self, statement: Statement) -> Statement:
        """Returns the statement unchanged."""
        return statement


class Site:
    """Holds an engine with one site, and asks it in both ways.

    What tests begin with is made once and kept beside our tables, and its parts are attached again, which takes less CPU.
    """

    def __init__(self, engine: EngineProcess) -> None:
        self.clickhouse = engine.tools
        self.url = f"http://127.0.0.1:{engine.port}"
        self._kept: set[str] = set()
        self._of_rows: dict[tuple[str, str], list[Any]] = {}  # what rows alone say of a zone, by what they are

    def fill(self) -> None:
        """Brings in the visits that were counted on paper and nothing else; all of their days are closed."""
        self.begin("filled", self._fill)

    def _fill(self) -> None:
        sql, body = insert([HAND])
        self.clickhouse.run(f"{sql}\n{body.decode()}")
        assert self.close() == self.closed() >= 3

    def begin(self, name: str, make: Callable[[], None]) -> None:
        """Brings the tables into the state of a name, which `make` makes of empty tables the first time."""
        is_kept = name in self._kept
        for table in KEPT if is_kept else TABLES:
            self.run(f"TRUNCATE TABLE forebay.{table}")
        if not is_kept:
            make()
            self.run(f"CREATE DATABASE {name}")
        for table in KEPT:
            here, there = f"forebay.{table}", f"{name}.{table}"
            if is_kept:
                self.run(f"ALTER TABLE {here} ATTACH PARTITION ALL FROM {there}")
            else:
                self.run(f"CREATE TABLE {there} AS {here}")
                self.run(f"ALTER TABLE {there} ATTACH PARTITION ALL FROM {here}")
        self._kept.add(name)

    def forget(self) -> None:
        """Removes what was kept."""
        for name in self._kept:
            self.run(f"DROP DATABASE {name} SYNC")

    def close(self) -> int:
        """Closes all days that have no true copy."""
        return close_days(self.url, lambda one: True)

    def closed(self) -> int:
        """Counts the days whose copy is true."""
        found = "SELECT count() FROM forebay.closed_days WHERE (site, toUInt64(opened), made_of) IN"
        return int(
            self.clickhouse.run(
                f"{found} (SELECT site, day, made_of FROM ({statements.FINGERPRINTS} GROUP BY site, day))"
            )
        )

    def answers(self, asker: type[EngineAsker] = EngineAsker, zone: str = ZONE) -> list[Any]:
        """Returns the rows of all questions."""
        asks, period = asker(self.clickhouse), days(PERIOD.since, PERIOD.until, zone)
        made_of = self.run(f"{ROWS} UNION ALL {LISTS}") if asker is RowsAlone else ""
        if (zone, made_of) not in self._of_rows:
            rows = [asyncio.run(answer(asks, replace(question, period=period))).rows for question in QUESTIONS]
            if not made_of:
                return rows
            self._of_rows[zone, made_of] = rows
        return self._of_rows[zone, made_of]

    def agrees(self) -> bool:
        """Tells whether copies make no difference."""
        return self.answers() == self.answers(RowsAlone)

    def run(self, sql: str) -> str:
        """Runs a statement, and waits for what it changes."""
        return self.clickhouse.run(sql, mutations_sync="2")
