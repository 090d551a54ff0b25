"""Finds the entries that can't be stored, before they are cut into a block (docs/delivery.md, rule 15).

Everything that reaches Redis can append to a stream: a tool, a person, another version. An entry that can't be stored
is set aside alone, and its neighbours go on. Once an edge is recorded its block must be the same on every attempt
(I5), so entries are judged earlier than that. It is slow, so it is done only when preparing the block has failed.

    no_rows      the field `d` or `n` is missing, or `n` is not a number of rows
    damaged      `d` fails its checksum or exceeds a bound, or its content is not rows
    rows_differ  `d` holds another number of rows than `n` says
    unencodable  none of its rows could ever be sent to ClickHouse, and there are more than may die as single rows

An entry of a newer version is not judged: it raises UnknownVersion, and the shard waits for that version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from flusher.blocks import native_format
from flusher.blocks.block import TYPES, ShapeChanged, prepare
from flusher.delivery.deadletter import most_dead
from schemas.aside import TEXT_CHARS_MAX, TOTALS_MAX
from schemas.entry import Damaged, UnknownVersion, decode
from schemas.ledger import OTHER, field_of
from schemas.names import EntryId
from schemas.redis.records import Entry
from schemas.row import COLUMNS, INDEX, MINUTE_MS

SETTLED_LATER = {"visitor_id", "session_id"}


class Unfit(NamedTuple):
    """Names an entry that can't be stored and says why. `totals` are its readable rows, as the ledger counts them."""

    id: EntryId
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
    """Returns the reason and its explanation, or None if at least some of the entry's rows can be stored."""
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
    """Counts the entry's rows by minute and site, as far as they can be read."""
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
