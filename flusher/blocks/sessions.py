"""Sessions of one shard's visitors, assigned by arrival.

An event joins a session of its visitor when its time is within 30 minutes of any of that
session's events, else it opens one; sessions never merge. Among several that fit, the one
that began last is taken, so the choice depends on the set alone, not on how it was built.

State is a function of what ClickHouse holds from earlier blocks (delivery.md, rule 11): a
session can be joined while the last block that touched it is at most MEMORY_MS older than
the block at hand, both read off stream ids, and while it is among the SESSIONS_MAX touched
last, counted in whole blocks. `restore` builds the same state from rows.

A session is one integer: the second it began, its first and last event in unix ms, and the
time of the last block in unix ms, 44 bits each. That sorts as it should, and is 48 B where a
tuple of numbers is 230. A visitor with more than one has them in a tuple, of the SESSIONS_OF_ONE_MAX
that were touched last.

Not promised: sessions over a change of shard count, or over a Redis that was made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP_MS = 30 * 60_000
MEMORY_MS = 35 * 60_000  # 30 minutes, and 5 for events that waited on their way
PRUNE_EVERY_MS = 60_000
# Of one shard. Measured 140 B each, so 70 MB: a shard with 240 new visits a second for 35 minutes, 20 million a day.
# With more, visits are remembered for less than 35 minutes: a long pause in one splits it.
SESSIONS_MAX = 500_000
# Of one visitor. People have one, and two or three with events that waited; every event is held against each of them,
# and somebody who invents the times of events has a session for every half hour of the 30 days that may be said.
SESSIONS_OF_ONE_MAX = 16
HASH_MASK = 0xFFFF_FFFF
BITS = 44  # of a time in ms: until the year 2527
TIME_MASK = (1 << BITS) - 1
FINAL_AT, FIRST_AT, START_AT = BITS, 2 * BITS, 3 * BITS

# session id, first and last event in unix ms, time of the last block in unix ms
Session = tuple[int, int, int, int]


class Sessions:
    """What may still be joined."""

    def __init__(self, restored: Iterable[tuple[int, Session]] = (), *, sessions_max: int = SESSIONS_MAX) -> None:
        self._open: dict[int, int | tuple[int, ...]] = {}
        self._sessions_max = sessions_max
        self._held = 0  # sessions in memory, forgotten ones that are not pruned yet among them
        self._touched: dict[int, int] = {}  # by the time of the last block: how many, the oldest first
        self._forgotten_ms = 0  # what a block of this time or an earlier one touched last is forgotten
        self._pruned_ms = 0
        counts: dict[int, int] = {}
        for visitor, (session_id, first, final, touched_ms) in restored:
            self._add(visitor, _packed(session_id >> 32, first, final, touched_ms))
            counts[touched_ms] = counts.get(touched_ms, 0) + 1
        self._touched = dict(sorted(counts.items()))
        self._forget()

    def __len__(self) -> int:
        return len(self._open)

    def assign(
        self,
        visitors: Sequence[int],
        befores: Sequence[int],
        given: Sequence[int],
        ts: Sequence[int],
        block_ms: int,
    ) -> tuple[Sequence[int], list[int]]:
        """Visitors and session ids of rows in order of arrival; remembers what it opened.

        `befores` are the visitors under the previous day's salt (0: none): one with an open
        session keeps its name, so a visit over midnight stays one. `given` are session ids
        that an SDK owns (0: none); they are kept and not remembered.
        """
        self._touched.setdefault(block_ms, 0)
        if any(befores):
            # row by row: the visit that `before` names may have begun in this very block
            names, sessions = list(visitors), list(given)
            for at, (before, moment) in enumerate(zip(befores, ts, strict=True)):
                if before and any(self._fits(session, moment, block_ms) for session in self._of(before)):
                    names[at] = before
                sessions[at] = given[at] or self._join(names[at], moment, block_ms)
            visitors = names
        else:
            sessions = self._assign(visitors, given, ts, block_ms)
        self._forget()
        if block_ms - self._pruned_ms > PRUNE_EVERY_MS or self._held > 2 * self._sessions_max:
            self._prune(block_ms)
        return visitors, sessions

    def _assign(self, visitors: Sequence[int], given: Sequence[int], ts: Sequence[int], block_ms: int) -> list[int]:
        """The usual rows, of visitors with no session or one that fits, without a call for each: half the time."""
        known_of, opened, touched = self._open.get, self._open, self._touched
        oldest_ms = max(block_ms - MEMORY_MS, self._forgotten_ms + 1)
        sessions = []
        moved = held = 0
        for visitor, moment, own in zip(visitors, ts, given, strict=True):
            if own:
                sessions.append(own)
                continue
            known = known_of(visitor)
            if known is None:
                start = moment // 1000
                opened[visitor] = ((start << BITS | moment) << BITS | moment) << BITS | block_ms
                sessions.append(start << 32 | visitor & HASH_MASK)
                moved += 1
                held += 1
                continue
            if type(known) is int:
                touched_ms, final, first = (
                    known & TIME_MASK,
                    known >> FINAL_AT & TIME_MASK,
                    known >> FIRST_AT & TIME_MASK,
                )
                if touched_ms >= oldest_ms and first - GAP_MS <= moment <= final + GAP_MS:
                    if touched_ms != block_ms:
                        touched[touched_ms] -= 1
                        moved += 1
                    if moment > final:
                        final = moment
                    elif moment < first:
                        first = moment
                    start = known >> START_AT
                    opened[visitor] = ((start << BITS | first) << BITS | final) << BITS | block_ms
                    sessions.append(start << 32 | visitor & HASH_MASK)
                    continue
            sessions.append(self._join(visitor, moment, block_ms))
        touched[block_ms] += moved
        self._held += held
        return sessions

    def _of(self, visitor: int) -> tuple[int, ...]:
        known = self._open.get(visitor, ())
        return (known,) if isinstance(known, int) else known

    def _add(self, visitor: int, session: int) -> None:
        known = self._of(visitor)
        self._open[visitor] = (*known, session) if known else session
        self._held += 1
        if len(known) >= SESSIONS_OF_ONE_MAX:
            # Which go does not depend on when: a session that was left is never touched again. It still counts among
            # those of its block, as ClickHouse, which does not know that it was left, has it too.
            left = min(*known, session, key=_touched_then_began)
            self._open[visitor] = tuple(one for one in (*known, session) if one != left)
            self._held -= 1

    def _join(self, visitor: int, moment: int, block_ms: int) -> int:
        known = self._of(visitor)
        fitting = [session for session in known if self._fits(session, moment, block_ms)]
        self._touched[block_ms] += 1
        if not fitting:
            self._add(visitor, _packed(moment // 1000, moment, moment, block_ms))
            return session_id_of(visitor, moment)
        old = max(fitting)
        self._touched[old & TIME_MASK] -= 1
        first, final = old >> FIRST_AT & TIME_MASK, old >> FINAL_AT & TIME_MASK
        new = _packed(old >> START_AT, min(first, moment), max(final, moment), block_ms)
        self._open[visitor] = new if len(known) == 1 else (*(one for one in known if one is not old), new)
        return old >> START_AT << 32 | visitor & HASH_MASK

    def _fits(self, session: int, moment: int, block_ms: int) -> bool:
        first, final = session >> FIRST_AT & TIME_MASK, session >> FINAL_AT & TIME_MASK
        return first - GAP_MS <= moment <= final + GAP_MS and self._is_remembered(session, block_ms)

    def _is_remembered(self, session: int, block_ms: int) -> bool:
        touched_ms = session & TIME_MASK
        return block_ms - touched_ms <= MEMORY_MS and touched_ms > self._forgotten_ms

    def _forget(self) -> None:
        """Keep to SESSIONS_MAX, by whole blocks and never the last: a successor must come to the same."""
        held = sum(self._touched.values()) if self._held > self._sessions_max else 0
        while held > self._sessions_max and len(self._touched) > 1:
            self._forgotten_ms = next(iter(self._touched))
            held -= self._touched.pop(self._forgotten_ms)

    def _prune(self, block_ms: int) -> None:
        self._pruned_ms = block_ms
        kept: dict[int, int | tuple[int, ...]] = {}
        held = 0
        for visitor, known in self._open.items():
            if isinstance(known, int):
                if self._is_remembered(known, block_ms):
                    kept[visitor] = known
                    held += 1
            elif left := tuple(one for one in known if self._is_remembered(one, block_ms)):
                kept[visitor] = left if len(left) > 1 else left[0]
                held += len(left)
        self._open = kept
        self._held = held
        self._touched = {at: count for at, count in self._touched.items() if block_ms - at <= MEMORY_MS}


def _touched_then_began(session: int) -> tuple[int, int]:
    return session & TIME_MASK, session


def _packed(start_second: int, first: int, final: int, touched_ms: int) -> int:
    return start_second << START_AT | first << FIRST_AT | final << FINAL_AT | touched_ms


def session_id_of(visitor: int, start_ms: int) -> int:
    """Start second << 32 | 32-bit hash of the visitor: sorts by time (docs/facts.md#clickhouse-and-cost)."""
    return (start_ms // 1000) << 32 | (visitor & HASH_MASK)
