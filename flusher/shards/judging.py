"""Which entries can't be stored, found before they are cut into a block.

Whoever can reach Redis can append to a stream: a tool, a person, another version. What is no entry
of ours is set aside alone, and its neighbours go on. Once an edge is recorded its block must be the same on every
attempt (I5), so this is asked before, and only after preparing the block has failed: it is slow.

    no_rows      no field `d` or `n`, or an `n` that is no number of rows
    damaged      `d` fails its checksum, a bound, or holds what is no row
    rows_differ  `d` holds another number of rows than `n` says
    unencodable  not one of its rows could ever be sent to ClickHouse, and there are more than may die as single rows

An entry of a newer version is none of these: it raises UnknownVersion, and the shard waits for that version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from flusher.blocks import native_format
from flusher.blocks.block import TYPES, ShapeChanged, prepare
from flusher.delivery.deadletter import most_dead
from flusher.redis.records import Entry
from schemas.aside import TEXT_CHARS_MAX, TOTALS_MAX
from schemas.entry import Damaged, UnknownVersion, decode
from schemas.ledger import OTHER, field_of
from schemas.row import COLUMNS, INDEX, MINUTE_MS

SETTLED_LATER = {"visitor_id", "session_id"}


class Unfit(NamedTuple):
    """An entry that can't be stored, and why. `totals` of the rows that could be read, as the ledger counts them."""

    id: str
    reason: str
    text: str
    totals: dict[str, int]


def unfit(entries: Sequence[Entry]) -> list[Unfit]:
    """Returns those of the entries that can't be stored, up to the first of a newer version.

    Raises UnknownVersion when the first of all is of a newer version.
    """
    found: list[Unfit] = []
    unencodable: list[Unfit] = []
    for number, entry in enumerate(entries):
        try:
            why = _why(entry)
        except UnknownVersion:
            if number:
                break
            raise
        if why is not None:
            reason, text = why
            kind = unencodable if reason == "unencodable" else found
            kind.append(Unfit(entry.id, reason, text[:TEXT_CHARS_MAX], _totals(entry)))
    if sum(sum(one.totals.values()) for one in unencodable) > most_dead(sum(entry.rows for entry in entries)):
        found += unencodable
    return found


def _why(entry: Entry) -> tuple[str, str] | None:
    """The reason and the words; None: it can be stored, at least some of its rows."""
    if entry.fault:
        return "no_rows", entry.fault
    try:
        prepared = prepare([entry])
    except Damaged as error:
        return "damaged", str(error)
    except ShapeChanged as error:
        return "rows_differ", str(error)
    failures = [columns.failure for columns, _ in prepared.months.values() if columns.failure]
    if failures and not any(map(_is_encodable, zip(*decode(entry.data), strict=True))):
        return "unencodable", failures[0]
    return None


def _is_encodable(row: Sequence[Any]) -> bool:
    columns = native_format.Columns(TYPES)
    for name, value in zip(COLUMNS, row, strict=True):
        if name in TYPES and name not in SETTLED_LATER:
            columns.extend(name, [value])
    return not columns.failure


def _totals(entry: Entry) -> dict[str, int]:
    """The entry's rows by minute and site, as far as they can be read."""
    try:
        columns = decode(entry.data)
        moments, sites = columns[INDEX["received_at"]], columns[INDEX["site"]]
        totals = Counter(
            field_of((at // MINUTE_MS, site)) for at, site in zip(moments, sites, strict=True) if isinstance(site, str)
        )
    except (Damaged, UnknownVersion, TypeError):
        return {}
    if len(totals) <= TOTALS_MAX:
        return dict(totals)
    folded: Counter[str] = Counter()
    for field, count in totals.items():
        folded[f"{field.partition(' ')[0]} {OTHER}"] += count
    return dict(folded)
