"""What Redis holds of a shard, as values: entries, edges, the checkpoint, claims. Whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.entry import ENTRY_ROWS_MAX, ORIGIN, entry_order


@dataclass(frozen=True, slots=True)
class Edge:
    """The last entry of a block, and what the block held: rows, and entry bytes as `size`."""

    id: str
    rows: int
    size: int

    def text(self) -> str:
        """As the edges list keeps it."""
        return f"{self.id} {self.rows} {self.size}"

    @classmethod
    def parse(cls, text: bytes) -> Edge:
        """The edge of a list element. Raises ValueError."""
        entry_id, rows, size = text.split()
        return cls(id_of(entry_id), int(rows), int(size))


BEGINNING = Edge(ORIGIN, 0, 0)  # of the log, as the first cut records it: trimmed and followed away like any edge


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`stored`, the recorded edges behind and after it, and what is left out of blocks, by their edges.

    `verdicts` on refused blocks, the `duplicates` of blocks that were searched for them, and which rows of blocks were
    `erased`. Blocks up to `counted` were stored before a replay. `erasures` are those that the shard has acknowledged.
    `settled` is the edge of a block of which a person said: go on with what is left. The tail was `compared` with the
    ClickHouse that was started in that unix ms.
    """

    stored: str
    edges: tuple[Edge, ...]
    verdicts: Mapping[str, bytes] = field(default_factory=dict)
    duplicates: Mapping[str, bytes] = field(default_factory=dict)
    counted: str = ORIGIN
    erased: Mapping[str, bytes] = field(default_factory=dict)
    erasures: frozenset[str] = frozenset()
    settled: str = ORIGIN
    compared: int = 0

    def last_erased(self) -> str | None:
        """The last stored edge of which rows were erased."""
        at = entry_order(self.stored)
        erased = [edge.id for edge in self.edges if edge.id in self.erased and entry_order(edge.id) <= at]
        return erased[-1] if erased else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A block's turn among the blocks of all shards, and every shard's current block with its turn, its own included."""

    turn: int
    current: Mapping[int, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream record. `data` as schemas.entry encodes it. `fault` says why it is no entry of ours, if it is none."""

    id: str
    data: bytes
    rows: int
    producer: str
    commit: int
    fault: str = ""


def id_of(text: bytes) -> str:
    """An entry's id. Raises ValueError when it is none."""
    entry_order(text.decode())
    return text.decode()


def entry_of(entry_id: str, fields: Mapping[bytes, bytes]) -> Entry:
    """An entry of a record's fields, whoever wrote them."""
    data, rows = fields.get(b"d"), _number(fields.get(b"n", b""))
    fault = ""
    if data is None:
        fault = f"it has no field d, but {', '.join(repr(name)[1:40] for name in list(fields)[:8])}"
    elif not 0 < rows <= ENTRY_ROWS_MAX:
        fault = f"its field n is {fields.get(b'n')!r:.40}"
    producer = fields.get(b"p", b"")[:200].decode("utf-8", "replace")
    return Entry(entry_id, data or b"", 0 if fault else rows, producer, _number(fields.get(b"c", b"")), fault)


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 16 else 0
