"""Sessions of one shard's visitors, assigned by arrival.

An event joins a session of its visitor when its time is within 30 minutes of any of that
session's events, else it opens one; sessions never merge. Among several that fit, the one
that began last is taken, so the choice depends on the set alone, not on how it was built.

State is a function of what ClickHouse holds from earlier blocks (delivery.md, rule 11): a
session can be joined while the last block that touched it is at most MEMORY_MS older than
the block at hand, both read off stream ids. `restore` builds the same state from rows.

Not promised: sessions over a change of shard count, or over a Redis that was made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP_MS = 30 * 60_000
MEMORY_MS = 35 * 60_000  # 30 minutes, and 5 for events that waited on their way
PRUNE_EVERY_MS = 60_000
HASH_MASK = 0xFFFF_FFFF

# session id, first and last event in unix ms, time of the last block in unix ms
Session = tuple[int, int, int, int]


class Sessions:
    """What may still be joined. About 300 B a visitor."""

    def __init__(self, restored: Iterable[tuple[int, Session]] = ()) -> None:
        self._open: dict[int, tuple[Session, ...]] = {}
        self._pruned_ms = 0
        for visitor, session in restored:
            self._open[visitor] = (*self._open.get(visitor, ()), session)

    def __len__(self) -> int:
        return len(self._open)

    def assign(
        self, visitors: list[int], befores: list[int], given: list[int], ts: Sequence[int], block_ms: int
    ) -> tuple[list[int], list[int]]:
        """Visitors and session ids of rows in order of arrival; remembers what it opened.

        `befores` are the visitors under the previous day's salt (0: none): one with an open
        session keeps its name, so a visit over midnight stays one. `given` are session ids
        that an SDK owns (0: none); they are kept and not remembered.
        """
        joined = self._join
        if any(befores):
            # row by row: the visit that `before` names may have begun in this very block
            names, sessions = list(visitors), list(given)
            for at, (before, moment) in enumerate(zip(befores, ts, strict=True)):
                if before and self._joinable(before, moment, block_ms):
                    names[at] = before
                sessions[at] = given[at] or joined(names[at], moment, block_ms)
            visitors = names
        else:
            sessions = [
                session or joined(visitor, moment, block_ms)
                for visitor, moment, session in zip(visitors, ts, given, strict=True)
            ]
        if block_ms - self._pruned_ms > PRUNE_EVERY_MS:
            self._prune(block_ms)
        return visitors, sessions

    def _joinable(self, visitor: int, moment: int, block_ms: int) -> bool:
        return any(_fits(session, moment, block_ms) for session in self._open.get(visitor, ()))

    def _join(self, visitor: int, moment: int, block_ms: int) -> int:
        known = self._open.get(visitor, ())
        fitting = [session for session in known if _fits(session, moment, block_ms)] if known else ()
        if fitting:
            old = max(fitting)
            session_id, first, final, _ = old
            new = (session_id, min(first, moment), max(final, moment), block_ms)
            self._open[visitor] = (new,) if len(known) == 1 else (*(one for one in known if one is not old), new)
            return session_id
        session_id = session_id_of(visitor, moment)
        self._open[visitor] = (*known, (session_id, moment, moment, block_ms))
        return session_id

    def _prune(self, block_ms: int) -> None:
        self._pruned_ms = block_ms
        kept = {}
        for visitor, sessions in self._open.items():
            if left := tuple(one for one in sessions if block_ms - one[3] <= MEMORY_MS):
                kept[visitor] = left
        self._open = kept


def _fits(session: Session, moment: int, block_ms: int) -> bool:
    _, first, final, touched_ms = session
    return first - GAP_MS <= moment <= final + GAP_MS and block_ms - touched_ms <= MEMORY_MS


def session_id_of(visitor: int, start_ms: int) -> int:
    """Start second << 32 | 32-bit hash of the visitor: sorts by time (findings, schema)."""
    return (start_ms // 1000) << 32 | (visitor & HASH_MASK)
