"""Keeps the flusher's copy of a shard's checkpoint: what is stored, which edges are recorded, which blocks are judged.

The copy is moved along with the checkpoint in Redis. After an unclear answer it may be wrong, so it is thrown away and
the checkpoint is read again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from flusher.redis.records import Checkpoint
from schemas.names import ORIGIN, EntryId
from schemas.redis.records import BEGINNING, Edge


class Progress:
    """Follows the checkpoint of one shard, block by block."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.stored = checkpoint.stored
        self.edges = deque(checkpoint.edges)
        self.verdicts = dict(checkpoint.verdicts)
        self.settled = checkpoint.settled
        self._counted = checkpoint.counted

    def pending(self) -> Edge | None:
        """Returns the first recorded edge that is not stored: its block is delivered again as it was."""
        at = bisect_right(self.edges, self.stored, key=lambda edge: edge.id)
        return self.edges[at] if at < len(self.edges) else None

    def cut(self, edge: Edge) -> None:
        """Notes an edge that was recorded."""
        if not self.edges and self.stored == ORIGIN:
            self.edges.append(BEGINNING)
        self.edges.append(edge)

    def is_counted(self, edge: Edge) -> bool:
        """Tells whether the block was counted as stored before a replay brought it again."""
        return edge.id <= self._counted

    def floor(self, oldest_kept_ms: int, tail_bytes_max: int) -> Edge | None:
        """Returns the last stored edge that the replay tail no longer covers, or None if there is nothing to trim.

        The tail covers entries from `oldest_kept_ms` (unix ms) on, as far as they fit into `tail_bytes_max`.
        """
        at = self.stored
        behind = [edge for edge in self.edges if edge.id <= at]
        tail_bytes = sum(edge.size for edge in behind)
        floor: Edge | None = None
        for edge in behind:
            if edge.id.ms >= oldest_kept_ms and tail_bytes <= tail_bytes_max:
                break
            floor = edge
            tail_bytes -= edge.size
        return None if floor is None or floor is self.edges[0] else floor

    def trimmed(self, floor: EntryId) -> None:
        """Forgets the edges before this one."""
        while self.edges and self.edges[0].id != floor:
            self.edges.popleft()
