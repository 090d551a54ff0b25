"""What the packages find in a shard's stream and list of edges, as values: entries and edges, whoever wrote them.

    record of the stream   d entry bytes · n rows · p producer · c its commit number
    element of the list    "id rows bytes"

Ingest writes entries (append.lua), and so does `forebay dead retry`, as the producer `dead`; the flusher writes edges. Both are
read by the flusher and by the commands.

Not promised: that a record is an entry of ours. Whoever reaches Redis can append to a stream; `Entry.fault` says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.entry import ENTRY_ROWS_MAX
from schemas.names import ORIGIN, EntryId

DATA, ROWS, PRODUCER, COMMIT = b"d", b"n", b"p", b"c"
PRODUCER_BYTES_MAX = 200  # of a stranger's, which is shown to people


@dataclass(frozen=True, slots=True)
class Edge:
    """Holds the last entry of a block, and what the block held: rows, and entry bytes as `size`."""

    id: EntryId
    rows: int
    size: int

    def text(self) -> str:
        """Returns the element of the list."""
        return f"{self.id} {self.rows} {self.size}"

    @classmethod
    def parse(cls, text: bytes) -> Edge:
        """Returns the edge of an element. Raises ValueError."""
        entry_id, rows, size = text.split()
        return cls(EntryId.parse(entry_id), int(rows), int(size))


# Where a stream begins, as the first cut records it: it is trimmed and followed away like any edge.
BEGINNING = Edge(ORIGIN, 0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """Holds one record of a stream. `data` is as schemas.entry encodes it; `fault` is empty for an entry of ours."""

    id: EntryId
    data: bytes
    rows: int
    producer: str
    commit: int
    fault: str = ""

    @classmethod
    def of(cls, entry_id: str | bytes, fields: Mapping[bytes, bytes]) -> Entry:
        """Returns the entry of a record's fields, whoever wrote them."""
        data, rows = fields.get(DATA), number_of(fields.get(ROWS, b""))
        fault = ""
        if data is None:
            fault = f"it has no field d, but {', '.join(repr(name)[1:40] for name in list(fields)[:8])}"
        elif not 0 < rows <= ENTRY_ROWS_MAX:
            fault = f"its field n is {fields.get(ROWS)!r:.40}"
        producer = fields.get(PRODUCER, b"")[:PRODUCER_BYTES_MAX].decode("utf-8", "replace")
        commit = number_of(fields.get(COMMIT, b""))
        return cls(EntryId.parse(entry_id), data or b"", 0 if fault else rows, producer, commit, fault)


def number_of(text: bytes) -> int:
    """Returns the number in a field, 0 where there is none."""
    return int(text) if text.isdigit() and len(text) < 16 else 0
