"""The checkpoint of a shard and the claims of all shards, as values. What else Redis holds is in schemas/redis/records.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.records import Edge


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Holds `stored`, the recorded edges before and after it, and which rows blocks leave out, by the blocks' edges.

    Those rows are in `verdicts` (of refused blocks), `duplicates` (of blocks that were searched for copies) and `erased`.
    Blocks up to `counted` were counted as stored before a replay. `erasures` are the ids that the shard has acknowledged.
    `settled` is the edge of a block of which a person said: go on with what is left. `compared` is the unix ms at which the
    ClickHouse was started that the replay tail was compared with; 0: with none.
    """

    stored: EntryId
    edges: tuple[Edge, ...]
    verdicts: Mapping[EntryId, bytes] = field(default_factory=dict)
    duplicates: Mapping[EntryId, bytes] = field(default_factory=dict)
    counted: EntryId = ORIGIN
    erased: Mapping[EntryId, bytes] = field(default_factory=dict)
    erasures: frozenset[str] = frozenset()
    settled: EntryId = ORIGIN
    compared: int = 0

    def last_erased(self) -> EntryId | None:
        """Returns the last stored edge whose block has erased rows; None: there is none."""
        erased = [edge.id for edge in self.edges if edge.id in self.erased and edge.id <= self.stored]
        return erased[-1] if erased else None


@dataclass(frozen=True, slots=True)
class Claim:
    """Holds a block's turn among the blocks of all shards, and each shard's current block with its turn, its own included."""

    turn: int
    current: Mapping[int, tuple[int, BlockName]]
