"""A statement reads closed days from sums where these have all that it names, else from copies, and all other days from rows."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from typing import Any as Any_

import pytest
from msgspec.structs import replace

from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import EVERYTHING, compiled
from dashboard.catalogue.contract import FileQuestion, Period, Statement
from dashboard.catalogue.copied_days import days_of
from dashboard.catalogue.copies import has_copies, with_copies
from dashboard.catalogue.filters import Compare, Done
from dashboard.catalogue.goals import RecordedGoals
from schemas.closed import DAY_SPAN, SETS
from schemas.goals import goal_of

PERIOD = Period(since=date(2026, 3, 2), until=date(2026, 3, 5), zone="Europe/Berlin")
FIRST = date(2026, 2, 28).toordinal() - date(1970, 1, 1).toordinal()  # UTC day of the first session that may matter
CLOSED = {FIRST + number: 1_000 + number for number in range(8)}
COLUMNS = ("d", "visitors", "visits")
IS_DE = Compare("is", "country", ("DE",))


def statement(file: str = "visits", columns: tuple[str, ...] = COLUMNS, **fields: Any_) -> Statement:
    """Returns the statement of a question."""
    question: dict[str, Any_] = {"file": file, "site": "a.example", "period": PERIOD, **fields}
    return compiled(query_of(file), FileQuestion(**question), columns=columns)


def asked(found: Statement, copies: dict[int, int], have_acts: Collection[int] = ()) -> str:
    """Returns what is asked with these copies."""
    return with_copies(found.sql, days_of(copies, found.parameters, have_acts))


def tables(sql: str) -> list[str]:
    """Returns the tables of visits that are read, in order."""
    return re.findall(r"FROM forebay\.(closed_sums|closed_visits|sessions|named_sessions)\b", sql)


def test_days_are_whole_or_not() -> None:
    """The period needs sessions of a day before and after it. Of the first UTC day and of the last one it needs a part."""
    found = days_of(CLOSED | {FIRST + 3: 0}, statement().parameters)
    assert (found.whole, found.others) == ([1_001, 1_002, 1_004, 1_005], [1_000, 1_006])
    assert found.open == [FIRST + 3]
    assert found.closed == [FIRST + number for number in (0, 1, 2, 4, 5, 6)]


def test_without_closed_days_rows_are_read_and_no_more_than_is_named() -> None:
    """The file as it stands, without the columns that nobody asked for."""
    found = statement(dimensions=("country",))
    assert asked(found, dict.fromkeys(CLOSED, 0)) == found.sql
    assert tables(found.sql) == ["sessions"]
    assert "v.country" in found.sql
    assert not re.search(r"browser|bounces|part_at|before|named_sessions", found.sql)
    assert tables(statement(dimensions=("channel",)).sql) == ["named_sessions"]


SUMS, COPIES = ["closed_sums", "closed_visits"], ["closed_visits"]


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, SUMS),
        ({"dimensions": ("time:week",)}, SUMS),
        ({"dimensions": ("country", "city")}, SUMS),
        ({"dimensions": ("city",), "filters": IS_DE}, SUMS),
        ({"dimensions": ("browser",), "filters": IS_DE}, COPIES),
        ({"dimensions": ("time:hour",)}, COPIES),
        ({"filters": Compare("is", "page", ("/",))}, COPIES),
        ({"period": replace(PERIOD, starts=1_772_500_000, ends=1_772_600_000)}, COPIES),
        ({"columns": (*COLUMNS, "exits"), "dimensions": ("exit_page",)}, SUMS),
        ({"columns": (*COLUMNS, "exits"), "period": replace(PERIOD, before=1_772_600_400)}, COPIES),
    ],
)
def test_sums_are_read_where_they_have_all_that_is_named(fields: dict[str, Any_], read: list[str]) -> None:
    """Days of which the period needs a part are read from copies in any case. Rows are read of days without a copy alone."""
    found = statement(**fields)
    whole = days_of(CLOSED, found.parameters).whole
    sql = asked(found, CLOSED)
    assert tables(sql) == (read if read == COPIES or not whole else [*read, *COPIES])
    assert not has_copies(sql)
    assert tables(asked(found, CLOSED | {FIRST + 4: 0}))[-1] == "sessions"


def test_a_period_that_is_cut_off_reads_its_last_day_from_copies() -> None:
    """Sums have the local days before, and so have those of the copies who are compared."""
    sql = asked(statement(period=replace(PERIOD, before=1_772_600_400)), CLOSED)
    assert tables(sql) == ["closed_sums", "closed_visits", "closed_visits"]
    assert (sql.count(" AND c.part_day < toDate("), sql.count("AND NOT (c.copy IN (")) == (3, 1)


def test_visitors_are_compared_only_if_they_are_wanted() -> None:
    """A row that has nothing but visitors is left out then."""
    columns = ("d", "visits", "bounces")
    for period in (PERIOD, replace(PERIOD, before=1_772_600_400)):
        sql = asked(statement(columns=columns, period=period, limit=EVERYTHING), CLOSED | {FIRST + 4: 0})
        assert "HAVING visits > 0" in sql
        assert not re.search(r"AS (visitor|alone|is_alone)\b|closed_repeats", sql)


def test_filters_within_filters_read_copies() -> None:
    """Each place is filled, the inner one first."""
    tree = Done(Compare("is", "source", ("Google",)))
    found = statement("events", ("d", "visitors"), filters=tree)
    assert has_copies(found.sql)
    assert tables(asked(found, CLOSED)) == ["closed_visits"]
    assert tables(asked(found, CLOSED | {FIRST + 4: 0})) == ["closed_visits", "named_sessions"]


OF_ACTS = ("d", "visitors", "everybody", "visits", "pageviews", "events")
PAGE = Compare("is", "page", ("/",))
GOALS = RecordedGoals([goal_of("signup"), goal_of("Visit /thanks")])
ACT_SUMS, ACTS, ROWS = ["closed_act_sums", "closed_acts", "events"], ["closed_acts", "events"], ["events"]


def tables_of_acts(sql: str) -> list[str]:
    """Returns the tables of acts that are read, but for those of subqueries."""
    return re.findall(r"FROM forebay\.(closed_act_sums|closed_acts|events) AS [cr]\b", sql)


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, ACT_SUMS),
        ({"dimensions": ("page",)}, ACT_SUMS),
        ({"dimensions": ("event",)}, ACT_SUMS),
        ({"dimensions": ("page",), "filters": PAGE}, ACTS),
        ({"dimensions": ("page",), "filters": PAGE, "columns": ("d", "visitors", "visits")}, ACT_SUMS),
        ({"filters": PAGE}, ACTS),
        ({"dimensions": ("hostname",)}, ACTS),
        ({"dimensions": ("page", "event")}, ACTS),
        ({"dimensions": ("goal",), "goals": GOALS}, ACTS),
        ({"dimensions": ("country",)}, ACTS),
        ({"dimensions": ("page",), "filters": IS_DE}, ACTS),
        ({"dimensions": ("time:day",)}, ACTS),
        ({"dimensions": ("time:day",), "columns": ("d", "visitors", "pageviews", "events")}, ACT_SUMS),
        ({"dimensions": ("time:week",), "columns": ("d", "visitors")}, ACTS),
        ({"dimensions": ("time:hour",)}, ROWS),
        ({"dimensions": ("props.plan",)}, ROWS),
        ({"dimensions": ("page",), "bots": True}, ROWS),
        ({"period": replace(PERIOD, starts=1_772_500_000, ends=1_772_600_000)}, ROWS),
        ({"period": replace(PERIOD, before=1_772_600_400)}, ROWS),
        ({"period": replace(PERIOD, before=1_772_600_400), "columns": ("d", "visitors")}, ACT_SUMS),
        ({"file": "revenue", "columns": ()}, ACTS),
        ({"file": "revenue", "columns": (), "dimensions": ("goal",), "goals": GOALS}, ACTS),
        ({"file": "revenue", "columns": ("d", "revenue", "purchases")}, ROWS),
        ({"file": "revenue", "columns": (), "dimensions": ("browser",)}, ACTS),
        ({"file": "revenue", "columns": (), "dimensions": ("props.plan",)}, ROWS),
    ],
)
def test_acts_are_read_where_they_have_all_that_is_named(fields: dict[str, Any_], read: list[str]) -> None:
    """Sums by a column have the visitors of each of its values, and of no other division."""
    found = statement(**{"file": "events", "columns": OF_ACTS, **fields})
    sql = asked(found, CLOSED, CLOSED)
    assert tables_of_acts(sql) == read
    assert not has_copies(sql) or read == ROWS
    assert ("r.session_id >= " in sql) == (read != ROWS)
    assert tables_of_acts(asked(found, CLOSED)) == ROWS


@pytest.mark.parametrize(
    ("fields", "of_visits", "of_acts"),
    [
        ({}, [*SUMS, *COPIES, *COPIES], ACTS),
        ({"filters": IS_DE}, [*COPIES, *COPIES], ACTS),
        ({"filters": Compare("is", "channel", ("Email",))}, [*COPIES, *COPIES], ACTS),
        ({"bots": True}, [*SUMS, *COPIES, *COPIES], ROWS),
        ({"period": replace(PERIOD, starts=1_772_500_000, ends=1_772_600_000)}, [*COPIES, *COPIES], ROWS),
    ],
)
def test_campaigns_read_visits_and_their_money_from_copies(
    fields: dict[str, Any_], of_visits: list[str], of_acts: list[str]
) -> None:
    """Sums of visits, and beside them those visits that brought in money. Within hours money is read from rows, which have moments."""
    found = statement("campaigns", (), **fields)
    sql = asked(found, CLOSED, CLOSED)
    assert tables(sql) == of_visits
    assert tables_of_acts(sql) == of_acts
    assert "u.session_id" not in sql
    some = asked(found, CLOSED | {FIRST + 4: 0}, CLOSED)
    assert some.count(f"u.session_id >= {(FIRST + 4) * DAY_SPAN}") == 2
    assert not has_copies(sql)
    is_named = "named_sessions" in found.sql
    assert tables(found.sql) == (["named_sessions"] * 2 if is_named else ["sessions"] * 2)


def test_rows_are_read_of_sessions_without_acts_in_a_copy() -> None:
    """Of those between days that have acts, and of those before and after them, whenever their rows are."""
    found = statement("events", ("d", "visitors"))
    sql = asked(found, CLOSED | {FIRST + 3: 0}, [FIRST + 1, FIRST + 2, FIRST + 4, FIRST + 5])
    edges = [(FIRST + day) * DAY_SPAN for day in (1, 3, 4, 6)]
    assert (
        f"(r.session_id < {edges[0]} OR r.session_id >= {edges[1]} AND r.session_id < {edges[2]} OR r.session_id >= {edges[3]})"
        in sql
    )
    assert "c.copy IN (1001, 1002, 1004, 1005)" in sql
    cut = statement("events", ("d", "visitors"), period=replace(PERIOD, before=1_772_600_400))
    sql = asked(cut, CLOSED, CLOSED)
    assert (sql.count("c.part_day < toDate("), sql.count("r.ts), {zone:String}) >= toDate(")) == (2, 1)


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"filters": PAGE}, ACTS),
        ({"filters": Compare("is", "goal", ("Visit /thanks",)), "goals": GOALS}, ACTS),
        ({"filters": Done(Compare("is", "event", ("signup",)), is_done=False)}, ACTS),
        ({"filters": Done(PAGE), "file": "events"}, ACTS),
        ({"filters": Compare("is", "props.plan", ("pro",))}, ROWS),
        ({"filters": PAGE, "bots": True}, ROWS),
    ],
)
def test_sessions_with_an_act_are_found_where_acts_have_what_the_filter_names(
    fields: dict[str, Any_], read: list[str]
) -> None:
    """Of days without acts in a copy they are found in rows."""
    found = statement(**fields)
    for have_acts, tables_read in ((CLOSED, read), ({}, ROWS)):
        sql = asked(found, CLOSED, have_acts)
        assert re.findall(r"SELECT e\.session_id FROM forebay\.(\w+) AS e\b", sql) == tables_read
        assert ("e.session_id >= " in sql) == (tables_read == ACTS)


def test_of_a_day_that_is_cut_off_sessions_with_an_act_are_found_in_rows() -> None:
    """Acts have the local days before."""
    sql = asked(statement(filters=PAGE, period=replace(PERIOD, before=1_772_600_400)), CLOSED, CLOSED)
    assert (sql.count("e.part_day < toDate("), sql.count("e.ts), {zone:String}) >= toDate(")) == (1, 1)


def test_visits_are_computed_of_rows_only_if_they_are_wanted() -> None:
    """Two subqueries tell which of them count, and look at the rows that are read."""
    wanted = asked(statement("events", OF_ACTS), CLOSED, CLOSED)
    assert (wanted.count("AS is_visit"), wanted.count("b.session_id >= ")) == (3, 2)
    assert "is_visit" not in asked(statement("events", ("d", "visitors", "events")), CLOSED, CLOSED)


def test_small_sets_stand_before_large_ones() -> None:
    """The first set that has the columns is read, so none comes after one that has it within."""
    for number, one in enumerate(SETS):
        assert not [other for other in SETS[:number] if set(one) <= set(other)]
