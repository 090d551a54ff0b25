"""forebay/erase/rows.py on a real engine: an erasure means the rows that it means in a stream, and deletes them."""

from __future__ import annotations

from typing import Any

import pytest

from forebay.clickhouse import ClickHouse, Condition
from forebay.erase.rows import Bound, Rows, accepted, meant
from schemas.erasure import Erasure, digest
from schemas.names import ORIGIN, BlockName, EntryId
from tests.support.waiting import wait_until

SALT = "5a17"
FIRST = str(BlockName("cafe", 0, ORIGIN, EntryId(5, 1)))
SECOND = str(BlockName("cafe", 0, EntryId(5, 1), EntryId(6, 0)))
# site, user, visitor, ts and received_at in ms, block
EVENTS = (
    ("a", "o'ann\\", 7, 100, 100, FIRST),
    ("b", "o'ann\\", 2**64 - 1, 200, 200, FIRST),
    ("a", "bob", 7, 300, 900, FIRST),
    ("a", "bob", 7, 300, 900, SECOND),
    ("a", "", 9, 400, 300, SECOND),
)


@pytest.fixture(name="clickhouse")
def with_events(clickhouse: ClickHouse) -> ClickHouse:
    """The tables, with EVENTS in them."""
    clickhouse.run("TRUNCATE TABLE forebay.events")
    for site, user, visitor, ts, received, block in EVENTS:
        quoted = user.replace("\\", "\\\\").replace("'", "\\'")
        clickhouse.run(
            "INSERT INTO forebay.events (site, user_id, visitor_id, ts, received_at, block_id)"
            f" SELECT '{site}', '{quoted}', {visitor}, fromUnixTimestamp64Milli(toInt64({ts})),"
            f" fromUnixTimestamp64Milli(toInt64({received})), '{block}'"
        )
    clickhouse.run(
        "INSERT INTO forebay.events (site, name, user_id, ts, props) VALUES ('c', 'alias', 'eve', 1, {'previous_id': 'carl'}),"
        " ('c', 'signup', 'eve', 1, {'previous_id': 'carl'})"
    )
    return clickhouse


def erasure(**selectors: Any) -> Erasure:
    return Erasure(id=SALT, at_ms=500, ends={0: "5-1"}, **selectors)


@pytest.mark.parametrize(
    ("selectors", "found"),
    [
        ({"site": "a"}, {"a": 4}),
        ({"user": digest(SALT, "o'ann\\")}, {"a": 1, "b": 1}),
        ({"user": digest(SALT, "o'ann\\"), "site": "b"}, {"b": 1}),
        ({"visitor": digest(SALT, str(2**64 - 1))}, {"b": 1}),
        ({"visitor": digest(SALT, "7")}, {"a": 3}),
        ({"before_ms": 200, "site": "a"}, {"a": 1}),
        ({"user": digest(SALT, "carl")}, {"c": 1}),
        ({"user": digest(SALT, "eve")}, {"c": 2}),
        ({"site": "a' OR '1' = '1"}, {}),
    ],
)
def test_selectors_mean_the_same_in_sql(
    clickhouse: ClickHouse, selectors: dict[str, Any], found: dict[str, int]
) -> None:
    """They mean what schemas.erasure says of a stream's rows, whatever a name holds."""
    assert Rows(clickhouse).by_site(meant(erasure(**selectors))) == found


def test_what_was_accepted_before_is_counted_and_goes(clickhouse: ClickHouse) -> None:
    """Earlier blocks go whatever a clock said, and of later ones what was received before; the plan counts each block."""
    rows, asked = Rows(clickhouse), erasure(site="a")
    condition = accepted(asked, {0: Bound("cafe", EntryId(5, 1)), 1: Bound("beef", EntryId(9, 0))})
    rows.write_plan(SALT, "plan", condition)
    rows.note(asked, "plan", state="planned")
    assert rows.planned(SALT, "plan") == {FIRST: {(0, "a"): 2}, SECOND: {(0, "a"): 1}}
    wait_until(lambda: rows.delete(SALT, condition))
    assert rows.by_site(Condition("site != 'c'", {})) == {"a": 1, "b": 1}
    assert rows.delete(SALT, condition), "and once more changes nothing"
    assert rows.replaced(), "the files of what the mutation replaced"
