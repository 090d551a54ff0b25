"""A row: an event plus what the server knows, as a tuple in table order.

`COLUMNS` is the order of a row's values in an entry and of the columns in an INSERT. The
flusher replaces `visitor_before` by the session it assigned and adds `DELIVERY`.
Changing either list needs a migration and a new entry version.

Not promised: that every column of the table is here. ClickHouse derives hostname, path,
query, source and utm_* from `url` (0.07 us a row in SQL, 0.7 to 1.5 in Python: docs/facts.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Times in unix ms; ids unsigned 64 bit; "" and 0 mean not known."""

    site: str
    name: str
    ts: int
    received_at: int
    event_id: str
    visitor_id: int
    visitor_before: int  # the visitor under the previous day's salt, in a day's first 30 minutes
    session_id: int  # given by an SDK that owns one; 0: the flusher assigns it
    user_id: str
    url: str
    referrer_url: str
    url_flags: int
    title: str
    language: str
    screen_w: int
    screen_h: int
    revenue_e4: int
    currency: str
    engaged_ms: int
    scroll_pct: int
    props: dict[str, str]
    vitals: dict[str, float]
    dialect: str
    bot: str
    country: str
    browser: str
    os: str
    device: str


COLUMNS: tuple[str, ...] = Row._fields
INDEX: dict[str, int] = {name: at for at, name in enumerate(COLUMNS)}

# url_flags, bit by bit
KEEP_QUERY = 1  # the site keeps whole query strings, not the allow-list alone
KEEP_FRAGMENT = 2  # the site routes by hash: the fragment belongs to the path
INTERNAL = 4  # the referrer is on one of the site's own hosts, which is no source
SENT_BY_LIBRARY = 8  # a program's library sent it, for a person or with money: a server's event, and no bot's

DELIVERY: tuple[str, ...] = ("block_id", "attempt", "deadline")
INSERT_TYPES: dict[str, str] = {
    "site": "LowCardinality(String)",
    "name": "LowCardinality(String)",
    "ts": "DateTime64(3, 'UTC')",
    "received_at": "DateTime64(3, 'UTC')",
    "event_id": "String",
    "visitor_id": "UInt64",
    "session_id": "UInt64",
    "user_id": "String",
    "url": "String",
    "referrer_url": "String",
    "url_flags": "UInt8",
    "title": "String",
    "language": "LowCardinality(String)",
    "screen_w": "UInt16",
    "screen_h": "UInt16",
    "revenue_e4": "Int64",
    "currency": "LowCardinality(String)",
    "engaged_ms": "UInt32",
    "scroll_pct": "UInt8",
    "props": "Map(LowCardinality(String), String)",
    "vitals": "Map(LowCardinality(String), Float32)",
    "dialect": "LowCardinality(String)",
    "bot": "LowCardinality(String)",
    "country": "LowCardinality(String)",
    "browser": "LowCardinality(String)",
    "os": "LowCardinality(String)",
    "device": "LowCardinality(String)",
    "block_id": "LowCardinality(String)",
    "attempt": "UInt8",
    "deadline": "UInt32",
}
MINUTE_MS = 60_000


def month_of(ts: int) -> int:
    """The partition of a moment in unix ms, as ClickHouse's toYYYYMM in UTC: 202611."""
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    return moment.year * 100 + moment.month


def months_of(ts: list[int]) -> list[int]:
    """The partitions these moments fall in, ascending. Cheap when all share one."""
    first, final = month_of(min(ts)), month_of(max(ts))
    if first == final:
        return [first]
    return sorted({month_of(moment) for moment in ts})


def columns_of(rows: list[Row]) -> list[list[Any]]:
    """Rows as columns, in table order."""
    return [list(column) for column in zip(*rows, strict=True)]
