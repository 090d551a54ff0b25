"""The files that say which sites there are and whether events arrive: bounds, latest, sites, sites_today, freshness, stored_minutes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

from dashboard.ask.files import query_of
from forebay.clickhouse import ClickHouse
from tests.support.dashboard.hand import FIRST, HAND, SECOND, THIRD, ZONE
from tests.support.dashboard.reference import NO_DEED
from tests.support.dashboard.seed import moment, rows

# The hour around the first second of 2031, in which nobody else has a row.
LATER = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())
PEOPLE = [row for row in rows([HAND]) if row["bot"] == ""]


def asked(clickhouse: ClickHouse, file: str, **parameters: str | int) -> list[list[str]]:
    """Returns what a file says, as text."""
    text = clickhouse.run(query_of(file).sql, parameters, default_format="TabSeparated")
    return [line.split("\t") for line in text.splitlines()]


def seconds(day: date, hour: int, minute: int = 0) -> int:
    return moment(ZONE, day, hour, minute) // 1000


def put(clickhouse: ClickHouse, site: str, *moments: int) -> None:
    """Stores a pageview at each of these seconds after LATER, received as it happened."""
    values = ", ".join(
        f"('{site}', 'pageview', 'https://{site}/{at}', {LATER + at}, {LATER + at}, 1)" for at in moments
    )
    clickhouse.run(f"INSERT INTO forebay.events (site, name, url, ts, received_at, visitor_id) VALUES {values}")


def test_bounds_are_of_all_rows(seeded: ClickHouse) -> None:
    """The quarters of ada's first and of gus's last event, with bots and engagement; of a site without events nothing."""
    ((first, last, events, currencies),) = asked(seeded, "bounds", site=HAND.name)
    assert (int(first), int(last)) == (seconds(FIRST, 10), seconds(THIRD, 16))
    assert int(events) == len(list(rows([HAND])))
    assert currencies == "['EUR','USD']"
    assert asked(seeded, "bounds", site="empty.example") == [["0", "0", "0", "[]"]]


def test_the_latest_are_those_of_a_day(seeded: ClickHouse) -> None:
    """The last first, with bots; nothing that is older than a day, and no other site's."""
    now = seconds(SECOND, 12, 30)
    found = asked(seeded, "latest", site=HAND.name, now=now, limit=100)
    assert [row[1] for row in found].count("purchase") == 2
    assert max(int(row[0]) for row in found) == int(found[0][0])
    assert min(int(row[0]) for row in found) > now - 86_400
    assert "crawler" in {row[3] for row in found}
    assert len(asked(seeded, "latest", site=HAND.name, now=now, limit=2)) == 2


def test_sites_have_the_days_of_utc(seeded: ClickHouse) -> None:
    """People's pageviews of each day, as plain Python counts them; each site has its own."""
    found = asked(seeded, "sites", since="2026-02-27", until="2026-03-04")
    mine = {day: int(count) for site, day, count in found if site == HAND.name}
    assert mine == Counter(row["ts"][:10] for row in PEOPLE if row["name"] == "pageview")
    assert len({site for site, _, _ in found}) > 2
    assert "empty.example" not in {site for site, _, _ in found}


def test_today_is_the_day_before_a_moment(seeded: ClickHouse) -> None:
    """Visitors are people who did something; what comes later than the moment is not counted."""
    now = seconds(SECOND, 12, 30)
    found = {site: (int(visitors), int(views)) for site, visitors, views in asked(seeded, "sites_today", now=now)}
    since = datetime.fromtimestamp(now - 86_400, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    until = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    lately = [row for row in PEOPLE if since < row["ts"] <= until and row["name"] not in NO_DEED]
    visitors = len({row["visitor_id"] for row in lately})
    assert found[HAND.name] == (visitors, sum(row["name"] == "pageview" for row in lately))


def test_freshness_and_the_minutes_of_receipt(seeded: ClickHouse) -> None:
    """The newest row, how many came in five minutes, and each minute's rows by site, to be compared with the totals of ingest."""
    put(seeded, "minutes.example", 0, 59, 60, 200, 400)
    put(seeded, "other-minutes.example", 61)
    ((received, _, events),) = asked(seeded, "freshness", now=LATER + 420)
    assert (int(received), int(events)) == (LATER + 400, 2)
    found = asked(seeded, "stored_minutes", after=LATER, upto=LATER + 360)
    assert [[int(minute) - LATER, site, int(count)] for minute, site, count in found] == [
        [0, "minutes.example", 2],
        [60, "minutes.example", 1],
        [60, "other-minutes.example", 1],
        [180, "minutes.example", 1],
    ]
