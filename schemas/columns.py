"""Declares every column that travels from ingest to the table `events`, once.

A column is one line here: its name, Python's type of its values, ClickHouse's type, what it means, the value of a row
that has none, and the release since which it exists. From these lines come the row (schemas/row.py), the order of an
entry's columns and what a decoder expects (schemas/entry.py), the types of an INSERT, and the comments in ClickHouse,
which are the data dictionary. A test compares the lines with `system.columns` of a migrated database.

A new column is one more line at the end of `Columns`, and a step that fills it in ingest/collect/steps.py. After a
release it is also one migration, which adds it to `events` and to `probe` and makes the views of events anew. Lines
never move and never go: an entry knows its columns by their order, and a newer entry's further columns are read by no
older flusher.

Not promised: that every column of the table is here. ClickHouse derives hostname, path, query, source and utm_* from
`url` (0.07 us a row in SQL, 0.7 to 1.5 in Python), and how it does is in schemas/migrations alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, NamedTuple, get_type_hints

FIRST_RELEASE = "0.1.0"
RIGHT_NUMBERS = "0.2.0"


class Kept(Enum):
    """Says what becomes of a column's values when their row is stored."""

    STORED = "in the table"
    GIVEN = "an ephemeral column: ClickHouse derives others from it"
    USED_UP = "in entries alone: the flusher uses it up"


@dataclass(frozen=True, slots=True)
class Column:
    """Describes one column.

    `type` is ClickHouse's. `default` is the value of a row that has none, because its entry or its INSERT is of an older
    release. `since` is the first release that has the column.
    """

    type: str
    meaning: str
    default: Any
    kept: Kept = Kept.STORED
    since: str = FIRST_RELEASE


TEXT, WORD = "String", "LowCardinality(String)"
MOMENT = "DateTime64(3, 'UTC')"


class Columns(NamedTuple):
    """Holds one value of each column that an entry has. Times are unix ms, ids unsigned 64 bit; "" and 0 mean not known."""

    site: Annotated[str, Column(WORD, "The site the event belongs to", "")]
    name: Annotated[str, Column(WORD, "pageview, or the name of a custom event", "")]
    ts: Annotated[int, Column(MOMENT, "When it happened, by the client clock where it is plausible", 0)]
    received_at: Annotated[int, Column(MOMENT, "When ingest received it", 0)]
    event_id: Annotated[str, Column(TEXT, "The client's own name of the event; emptied after 8 to 16 days", "")]
    visitor_id: Annotated[
        int,
        Column(
            "UInt64",
            "Keyed hash of site, client address and user agent under a salt of the site's day, or of an id an SDK owns",
            0,
        ),
    ]
    visitor_before: Annotated[
        int,
        Column(
            "UInt64", "The visitor on the other side of the site's midnight, until 30 minutes after it", 0, Kept.USED_UP
        ),
    ]
    # Given by an SDK that owns one; 0: the flusher assigns it.
    session_id: Annotated[
        int, Column("UInt64", "Unix second of the first event seen << 32 | 32-bit hash of the visitor", 0)
    ]
    user_id: Annotated[str, Column(TEXT, "Identified person, only if the site sends one", "")]
    url: Annotated[str, Column(TEXT, "Given on insert, not stored", "", Kept.GIVEN)]
    referrer_url: Annotated[str, Column(TEXT, "Given on insert, not stored", "", Kept.GIVEN)]
    url_flags: Annotated[
        int,
        Column(
            "UInt8",
            "Given on insert, a sum: 1 keeps the whole query, 2 keeps the fragment in path, 4 the referrer is internal,"
            " 8 a library sent it",
            0,
            Kept.GIVEN,
        ),
    ]
    title: Annotated[str, Column(WORD, "Document title", "")]
    language: Annotated[str, Column(WORD, "Language of the browser", "")]
    screen_w: Annotated[int, Column("UInt16", "Screen width in CSS pixels", 0)]
    screen_h: Annotated[int, Column("UInt16", "Screen height in CSS pixels", 0)]
    revenue_e4: Annotated[int, Column("Int64", "Given on insert: ten-thousandths of the currency unit", 0, Kept.GIVEN)]
    currency: Annotated[str, Column(WORD, "ISO 4217 code of revenue", "")]
    engaged_ms: Annotated[
        int,
        Column(
            "UInt32",
            "Milliseconds the page was visible and in use, since the last engagement event (engagement events)",
            0,
        ),
    ]
    scroll_pct: Annotated[int, Column("UInt8", "Deepest scroll position in percent (engagement events)", 0)]
    props: Annotated[
        dict[str, str], Column("Map(LowCardinality(String), String)", "Custom properties, values as text", {})
    ]
    vitals: Annotated[
        dict[str, float],
        Column("Map(LowCardinality(String), Float32)", "Web vitals: lcp, inp, cls, fcp, ttfb (vitals events)", {}),
    ]
    dialect: Annotated[str, Column(WORD, "Wire format it came in", "")]
    bot: Annotated[str, Column(WORD, "Why it looks automated: the strongest of bot_reasons; empty for people", "")]
    country: Annotated[str, Column(WORD, "ISO 3166-1 alpha-2 code", "")]
    browser: Annotated[str, Column(WORD, "Browser family", "")]
    os: Annotated[str, Column(WORD, "Operating system family", "")]
    device: Annotated[str, Column(WORD, "desktop, mobile, tablet, tv; empty when unknown", "")]
    bot_reasons: Annotated[
        int,
        Column(
            "UInt32", "All that speaks for a program, a sum of the bits of forebay.bot_reasons", 0, since=RIGHT_NUMBERS
        ),
    ]
    bot_name: Annotated[str, Column(WORD, "Name of a known crawler", "", since=RIGHT_NUMBERS)]
    bot_purpose: Annotated[
        str, Column(WORD, "What a known crawler is for: ai-training, search, seo, ...", "", since=RIGHT_NUMBERS)
    ]
    browser_version: Annotated[str, Column(WORD, "Major version of the browser", "", since=RIGHT_NUMBERS)]
    os_version: Annotated[str, Column(WORD, "Major version of the system", "", since=RIGHT_NUMBERS)]
    region: Annotated[
        str,
        Column(
            WORD, "Region: its ISO 3166-2 code, or its name where the database has no code", "", since=RIGHT_NUMBERS
        ),
    ]
    city: Annotated[str, Column(WORD, "City, in English, where the database has it", "", since=RIGHT_NUMBERS)]


class Delivery(NamedTuple):
    """Holds what the flusher adds to each row of an INSERT. No entry has these columns."""

    block_id: Annotated[str, Column(WORD, "The block that stored it: incarnation, shard, edges", "")]
    attempt: Annotated[int, Column("UInt8", "0, or the number of the repair that stored it again", 0)]
    deadline: Annotated[
        int,
        Column(
            "UInt32",
            "Given on insert: unix second after which ClickHouse must refuse it",
            (1 << 32) - 1,
            Kept.GIVEN,
        ),
    ]


def declared(kind: type[Any]) -> dict[str, Column]:
    """Returns the columns of a class of the kind above by their names, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


ENTRY_COLUMNS = declared(Columns)
DELIVERY_COLUMNS = declared(Delivery)
# An entry of any release has at least these; one that has fewer was not written by Forebay.
FEWEST = sum(column.since == FIRST_RELEASE for column in ENTRY_COLUMNS.values())
DEFAULTS: tuple[Any, ...] = tuple(column.default for column in ENTRY_COLUMNS.values())
