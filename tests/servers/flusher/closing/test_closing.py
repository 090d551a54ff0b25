"""A copy of a closed day counts while the rows are those of which it was made, and never otherwise, whatever becomes of either."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard.ask.files import query_of
from dashboard.catalogue.compiler import compiled
from dashboard.catalogue.contract import FileQuestion
from flusher.closing.closing import Closing, batches
from flusher.delivery.table import Unclear
from forebay.erase.rows import Rows
from schemas.closed import COPY_TABLES
from tests.support.closed_site import ONE_MORE, PERIOD, READ, SITE, ZONE, RowsAlone, Site
from tests.support.closing import ZONES, closing, sweep_twice
from tests.support.dashboard.asking import EngineAsker


def test_copies_are_read_and_make_no_difference(site: Site) -> None:
    """With a copy that says something else the answer is that of the copy, so it is read; in another zone it is not."""
    assert site.agrees()
    right = site.answers()
    elsewhere = site.answers(zone="Asia/Tokyo")
    before = right
    for table in COPY_TABLES:
        column = "events" if table == "closed_acts" else "pageviews"
        site.run(f"ALTER TABLE forebay.{table} UPDATE {column} = {column} + 1 WHERE 1")
        after = site.answers()
        assert [one != other for one, other in zip(after, before, strict=True)] == [read == table for read in READ]
        before = after
    assert site.answers(RowsAlone) == right
    assert site.answers(zone="Asia/Tokyo") == elsewhere


FIRST = "session_id = (SELECT min(session_id) FROM forebay.events WHERE site = 'hand.example')"
CHANGES = {
    "a late event": ONE_MORE,
    "an erasure": f"ALTER TABLE forebay.events DELETE WHERE {FIRST}",
    "another verdict": f"ALTER TABLE forebay.events UPDATE bot = 'rate' WHERE {FIRST}",
    "a partition that somebody dropped": "ALTER TABLE forebay.events DROP PARTITION 202603",
    "other lists of sources": "INSERT INTO forebay.source_index SELECT * REPLACE (version + 1 AS version) FROM forebay.source_index",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_of_other_rows_does_not_count(site: Site, change: str) -> None:
    """The answer is right at once. The day is copied anew, then it is right from copies, and the old copies go."""
    before = site.answers()
    site.run(CHANGES[change])
    after = site.answers()
    assert after == site.answers(RowsAlone)
    assert (after != before) == (change != "other lists of sources")
    assert site.close() >= (change != "a partition that somebody dropped")
    assert site.agrees()
    assert sweep_twice(site.url) >= 1
    assert site.agrees()
    of_copies = "SELECT uniqExact(site, opened, copy), uniqExact(site, opened) FROM forebay.closed_visits"
    assert len(set(site.run(of_copies).split())) == 1


def test_a_repair_leaves_the_copy_true(site: Site) -> None:
    """Rows that are twice there for a while make it untrue, and without the second ones it is true again."""
    closed = site.closed()
    site.run(
        "INSERT INTO forebay.events (* EXCEPT late) SELECT * EXCEPT late REPLACE (1 AS attempt) FROM forebay.events"
    )
    assert site.closed() == 0
    assert site.agrees()
    site.run("ALTER TABLE forebay.events DELETE WHERE attempt = 0")
    assert site.closed() == closed
    assert site.agrees()


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("statement", ["INSERT INTO forebay.closed_repeats", "INSERT INTO forebay.closed_days"])
def test_a_flusher_is_killed_between_copy_and_note(site: Site, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy does not count, the next flusher copies again, and the copy without a note is deleted."""
    site.run(ONE_MORE)
    wanted = site.answers(RowsAlone)
    works = closing(site.url)
    table = works._connect()
    run = table.run

    async def until_killed(sql: str, *given: Any) -> None:
        if statement in sql:
            raise Killed
        await run(sql, *given)

    monkeypatch.setattr(table, "run", until_killed)
    with pytest.raises(Killed):
        asyncio.run(works.round())
    assert site.answers() == wanted
    assert site.close() == 1
    assert site.answers() == wanted
    assert sweep_twice(site.url) == 2
    assert site.answers() == wanted


async def _both(first: Closing, second: Closing) -> None:
    due = await first.due()
    halves = [[one for one in due if one.day % 2 == odd] for odd in (0, 1)]
    await asyncio.gather(
        *(works.close(batch) for works, half in zip((first, second), halves, strict=True) for batch in batches(half))
    )
    await asyncio.gather(*(works.close(batch) for works in (first, second) for batch in batches(due)))


def test_two_flushers_that_copy_at_once_do_nothing_wrong(site: Site) -> None:
    """Each of some days, and then both of all days: a visitor of two days counts once, and a day that was copied twice counts once."""
    for table in ("closed_days", "closed_visits", "closed_repeats"):
        site.run(f"TRUNCATE TABLE forebay.{table}")
    site.run(
        "INSERT INTO forebay.events (site, name, ts, received_at, visitor_id, session_id, url)"
        " SELECT 'hand.example', 'pageview', toDateTime64('2026-02-27 12:00:00', 3, 'UTC') + INTERVAL number DAY, now64(3), 77,"
        " bitOr(bitShiftLeft(toUInt64(toUnixTimestamp('2026-02-27 12:00:00', 'UTC') + 86400 * number), 32), 77), 'https://hand.example/'"
        " FROM numbers(5)"
    )
    asyncio.run(_both(closing(site.url), closing(site.url)))
    assert site.closed() >= 10
    assert site.agrees()


def test_a_copy_of_changing_rows_is_not_noted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come while a day is copied, and rows that were there only meanwhile, leave it without a note."""
    site.run(ONE_MORE)
    works = closing(site.url)
    (due,) = asyncio.run(works.due())
    table = works._connect()
    run = table.run

    async def doubled(sql: str, *given: Any) -> None:
        is_copy = "INSERT INTO forebay.closed_visits" in sql
        if is_copy:
            site.run(ONE_MORE.replace("'pageview', ts", "'doubled', ts"))
        await run(sql, *given)
        if is_copy:
            site.run("ALTER TABLE forebay.events DELETE WHERE name = 'doubled'")

    monkeypatch.setattr(table, "run", doubled)
    assert asyncio.run(works.close([due])) == 0
    assert site.agrees()
    monkeypatch.setattr(table, "run", run)
    assert asyncio.run(works.close([due])) == 1
    assert site.agrees()


def test_acts_of_a_session_of_more_than_a_day_are_read_from_rows(site: Site) -> None:
    """Whether such a visit began within a period depends on the period, so its day has no acts in the copy. Other days have."""
    have = "SELECT countIf(has_acts), count() FROM forebay.closed_days"
    days = site.closed()
    assert site.run(have).split() == [str(days)] * 2
    first = "SELECT min(session_id) FROM forebay.events WHERE site = 'hand.example' AND bot = ''"
    later = ONE_MORE.replace("ts + INTERVAL 1 SECOND", "ts + INTERVAL 25 HOUR")
    site.run(later.replace("bot = ''", f"bot = '' AND session_id = ({first})"))
    assert site.close() == 1
    assert site.run(have).split() == [str(days), str(days + 1)]
    assert site.agrees()


OF_CLIENTS = (
    "hostname", "country", "region", "city", "device", "screen", "browser", "browser_version", "os", "os_version", "language",
)  # fmt: skip


def test_acts_have_what_their_events_have(site: Site) -> None:
    """Also where a visit looks at a page again with another client."""
    site.run(
        ONE_MORE.replace("/late", "/")
        .replace(", country)", ")")
        .replace("'https://hand.example/', country", "'https://hand.example/'")
    )
    assert site.close() == 1
    asker, of_rows = EngineAsker(site.clickhouse), RowsAlone(site.clickhouse)
    for dimension in OF_CLIENTS:
        question = FileQuestion(file="events", site=SITE, period=PERIOD, dimensions=(dimension, "time:day"))
        statement = compiled(query_of("events"), question)
        assert "closed_acts" in asker.copied(statement).sql
        assert asker.now(statement).rows == of_rows.now(statement).rows, dimension


def test_an_erasure_leaves_nobody_in_a_copy(site: Site) -> None:
    """What was copied of the sites of an erasure goes with the rows; the copies of other sites stay."""
    site.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, visitor_id) SELECT 'other.example', name, ts, session_id, visitor_id FROM forebay.events"
    )
    assert site.close() >= 3
    site.run("INSERT INTO forebay.closed_repeats VALUES ('hand.example', 5), ('other.example', 5)")
    site.run(
        "INSERT INTO forebay.erased_rows (erasure, plan, block_id, site, rows) VALUES ('e', 'p', 'b', 'hand.example', 1)"
    )
    Rows(site.clickhouse).forget_copies("e", "other plan")
    assert site.closed() >= 6
    Rows(site.clickhouse).forget_copies("e", "p")
    for table in ("closed_days", "closed_repeats", *COPY_TABLES):
        assert site.run(f"SELECT DISTINCT site FROM forebay.{table}").split() == ["other.example"]
    assert site.agrees()


def test_hundreds_of_sites_are_copied_at_once(site: Site) -> None:
    """Their names are longer than a URL may be, and hold what a name of a site can't, if somebody else put in the rows."""
    site.run(
        "INSERT INTO forebay.events (site, name, ts, session_id, visitor_id) SELECT concat('a-site-with-a-long-name-', toString(number % 300), if(number % 7 = 0, '\\'\\\\{x:y}', '')),"
        " 'pageview', toDateTime64('2026-03-01 00:00:00', 3, 'UTC'), bitShiftLeft(toUInt64(toUnixTimestamp('2026-03-01 00:00:00', 'UTC')), 32) + number, number FROM numbers(600)"
    )
    assert site.close() >= 300
    assert (
        site.run(
            "SELECT count() = uniqExact(session_id) FROM forebay.closed_visits WHERE site != 'hand.example'"
        ).strip()
        == "1"
    )


def test_what_clickhouse_does_not_answer_is_tried_again(site: Site) -> None:
    """A statement that fails leaves days due, and a day that was just copied is not copied again at once."""
    site.run(ONE_MORE)
    works = closing(site.url)
    site.run("RENAME TABLE forebay.closed_repeats TO forebay.away")
    with pytest.raises(Unclear):
        asyncio.run(works.round())
    site.run("RENAME TABLE forebay.away TO forebay.closed_repeats")
    assert asyncio.run(works.round()) == 1
    site.run(ONE_MORE.replace("/late", "/later"))
    assert asyncio.run(works.round()) == 0
    assert site.agrees()
    assert ZONES[SITE] == ZONE
