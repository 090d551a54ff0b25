"""Compares the names and channels that visits have now with those that other lists would give them.

The names of now are those of `v_sessions`. The others are found by the same expression over the same visits, with the rows of
the other lists in the query itself, so nothing is written and no other query sees them. Visits are first counted by the columns
that names and channels follow from, so each combination is looked up once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from forebay.clickhouse import ClickHouse
from forebay.sources.lists import row_of
from forebay.sources.words import Source
from schemas.channel_views import LISTS, index_of, named
from schemas.sql import literal

QUERY_BYTES_MAX = "16777216"  # the lists stand in the query, and ClickHouse reads 256 KiB of one unless told otherwise


class Move(NamedTuple):
    """Holds how many visits of one source would have another channel, or another name of that source."""

    source: str
    name: str
    channel: str
    new_name: str
    new_channel: str
    visits: int


def instead(kind: str, site: str, rows: Mapping[str, Source]) -> str:
    """Returns what `LISTS` would find if these rows were a list in force, in place of the one that is."""
    others = f"{LISTS} WHERE NOT (list = {literal(kind)} AND site = {literal(site)})"
    return f"{others} UNION ALL {row_of(kind, site, 'toUInt64(1)', rows)}"


def moves(clickhouse: ClickHouse, lists: str, *, site: str, days: int) -> list[Move]:
    """Returns what other lists would change of the visits of the last days, most visits first. Raises ClickHouseError.

    `lists` is a query like `LISTS`.
    """
    where = f"started_at >= now() - INTERVAL {days:d} DAY" + (f" AND site = {literal(site)}" if site else "")
    inputs = "site, source, utm_medium, utm_campaign, query, source_name, channel"
    found = clickhouse.run(
        f"""SELECT source, name, old, new_name, new, sum(visits) AS visits FROM
        (
            {named(index_of(lists), of_visits=True)}
            SELECT source, source_name AS name, channel AS old, source_named AS new_name, source_channel AS new, visits
            FROM (SELECT {inputs}, count() AS visits FROM forebay.v_sessions WHERE {where} GROUP BY {inputs})
        )
        WHERE name != new_name OR old != new
        GROUP BY source, name, old, new_name, new ORDER BY visits DESC, source FORMAT TabSeparated""",
        max_query_size=QUERY_BYTES_MAX,
    )
    rows = (line.split("\t") for line in found.splitlines())
    return [Move(source, name, old, new_name, new, int(visits)) for source, name, old, new_name, new, visits in rows]
