"""A row: one event as a tuple that has a value for each column of an entry, in their order.

`COLUMNS` is that order. The columns themselves are declared in schemas/columns.py; what an INSERT has is derived from
them here: the flusher replaces `visitor_before` by the session that it assigned, and adds `DELIVERY`.

Not promised: that the values of a row are of their columns' types. The flusher finds out when it encodes them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.columns import DELIVERY_COLUMNS, ENTRY_COLUMNS, Columns, Kept


class Row(Columns):
    """Holds the values of one event: what its client said, and what the server knows."""

    __slots__ = ()


COLUMNS: tuple[str, ...] = Row._fields
INDEX: dict[str, int] = {name: at for at, name in enumerate(COLUMNS)}

# url_flags, bit by bit
KEEP_QUERY = 1  # the site keeps whole query strings, not the allow-list alone
KEEP_FRAGMENT = 2  # the site routes by hash: the fragment belongs to the path
INTERNAL = 4  # the referrer is on one of the site's own hosts, which is no source
SENT_BY_LIBRARY = 8  # a program's library sent it, for a person or with money: a server's event, and no bot's

DELIVERY: tuple[str, ...] = tuple(DELIVERY_COLUMNS)
INSERT_TYPES: dict[str, str] = {
    name: column.type for name, column in (ENTRY_COLUMNS | DELIVERY_COLUMNS).items() if column.kept is not Kept.USED_UP
}
MINUTE_MS = 60_000
SESSION_GAP_MS = 30 * MINUTE_MS  # the longest pause within a session


def month_of(ts: int) -> int:
    """Returns the partition of a moment in unix ms, as ClickHouse's toYYYYMM in UTC: 202611."""
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    return moment.year * 100 + moment.month


def months_of(ts: list[int]) -> list[int]:
    """Returns the partitions that these moments fall in, ascending. It is cheap when all share one."""
    first, final = month_of(min(ts)), month_of(max(ts))
    if first == final:
        return [first]
    return sorted({month_of(moment) for moment in ts})
