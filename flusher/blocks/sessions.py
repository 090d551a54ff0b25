"""Assigns sessions to the events of one shard's visitors, in the order in which they arrive.

An event joins a session of its visitor when its time lies between 30 minutes before the session's first event and 30
minutes after its last; otherwise it opens a session. Sessions never merge. Where an event fits several sessions, it
joins the one that began last, so that the choice depends only on which sessions there are and not on the order in
which they came to be.

A visit goes on over its site's midnight, although its visitor has another number from then on. In the first 30 minutes
of the new day a row also carries the visitor's number of the other day, and may join the sessions of both. A session
that was joined in this way is *carried over*: the new number may join it for as long as the session is remembered, so a
visit from 23:50 to 01:00 is one session, also when the old number is not known any more. Each row keeps the number of
its own day, so a person who comes back at 09:00 is still one visitor of that day. The session's id holds the number of
the visitor that opened it.

What is remembered is a function of the rows that ClickHouse holds of earlier blocks (docs/delivery.md, rule 11),
because a flusher that takes over rebuilds it from them. A session can be joined while two things hold: the last block
that touched it is at most MEMORY_MS older than the block at hand, by the times in their stream ids; and the session
is among the SESSIONS_MAX that were touched last, where whole blocks are forgotten at a time.

A session is packed into one integer of four fields, 44 bits each, because that takes 48 B where a tuple takes 230:

    | the second it began | first event, unix ms | last event, unix ms | last block that touched it, unix ms |
      START_SHIFT           FIRST_SHIFT            FINAL_SHIFT           TIME_MASK

The highest field comes first, so packed sessions sort by when they began. Most visitors have one session, which is
kept as the bare integer; a visitor with more has a tuple of them, at most SESSIONS_OF_ONE_MAX.

Not promised: sessions over a change of the number of shards, or over a Redis that was made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from schemas.row import SESSION_GAP_MS

GAP_MS = SESSION_GAP_MS
MEMORY_MS = GAP_MS + 5 * 60_000  # 5 minutes more for events that waited on their way
PRUNE_EVERY_MS = 60_000
# Of one shard. Each was measured to take 140 B, so this is 70 MB: 240 new visits a second for 35 minutes, or 20 million
# a day. A shard with more remembers visits for less than 35 minutes, so a long pause splits a visit in two.
SESSIONS_MAX = 500_000
# Of one visitor. People have one session, and two or three when events waited on their way. An event is compared with
# each of them, and a client that invents the times of its events could have one for every half hour of 30 days.
SESSIONS_OF_ONE_MAX = 16
HASH_MASK = 0xFFFF_FFFF
BITS = 44  # of a time in unix ms: enough until the year 2527
TIME_MASK = (1 << BITS) - 1
FINAL_SHIFT, FIRST_SHIFT, START_SHIFT = BITS, 2 * BITS, 3 * BITS

# As ClickHouse tells it: session id, first and last event, time of the last block that touched it; times in unix ms.
Session = tuple[int, int, int, int]


class Sessions:
    """Remembers the sessions that an event may still join, and assigns them."""

    def __init__(self, restored: Iterable[tuple[int, Session]] = (), *, sessions_max: int = SESSIONS_MAX) -> None:
        """Begins with sessions as ClickHouse has them: what each visitor has of a session is an item of its own.

        A session without a row of the visitor that opened it (an erasure took it, or an SDK owns the session) is left out.
        """
        self._open: dict[int, int | tuple[int, ...]] = {}
        self._sessions_max = sessions_max
        self._held = 0  # sessions that were opened, with those that were dropped or forgotten since the last pruning
        # The sessions that a visitor joined and did not open: who did, and the second it began.
        self._carried: dict[int, tuple[tuple[int, int], ...]] = {}
        # By the time of a block, the oldest first: how many sessions it was the last to touch.
        self._touched: dict[int, int] = {}
        # Sessions that were touched last by a block of this time, or by an earlier one, are forgotten.
        self._forgotten_ms = 0
        self._pruned_ms = 0
        counts: dict[int, int] = {}
        known = list(restored)
        joined: dict[int, list[tuple[int, Session]]] = {}  # by session: what visitors have of it that did not open it
        for visitor, session in known:
            if not _opened(visitor, session[0]):
                joined.setdefault(session[0], []).append((visitor, session))
        for visitor, session in known:
            session_id = session[0]
            if not _opened(visitor, session_id):
                continue
            parts = [session]
            for other, part in joined.get(session_id, ()):
                parts.append(part)
                self._carry(other, visitor, session_id >> 32)
            _, firsts, finals, blocks = zip(*parts, strict=True)
            self._add(visitor, _packed(session_id >> 32, min(firsts), max(finals), max(blocks)))
            counts[max(blocks)] = counts.get(max(blocks), 0) + 1
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
    ) -> list[int]:
        """Returns the session ids of rows that arrive in this order, and remembers the sessions.

        `befores` are the visitors on the other side of the site's midnight (0: none). `given` are session ids that an SDK owns
        (0: none): they are kept as they are and not remembered. `block_ms` is the time in the block's last id.

        A visitor without a session, or with one that the row fits, is handled here without a call, in half the time of
        `_join`, which does the same for all others: what one of them does to a session the other must do too.
        """
        touched, opened, carried = self._touched, self._open, self._carried
        touched.setdefault(block_ms, 0)
        known_of = opened.get
        oldest_ms = max(block_ms - MEMORY_MS, self._forgotten_ms + 1)
        sessions = []
        moved = held = 0
        for visitor, before, moment, own in zip(visitors, befores, ts, given, strict=True):
            if own:
                sessions.append(own)
                continue
            if before or visitor in carried:
                sessions.append(self._join(visitor, before, moment, block_ms))
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
                touched_ms = known & TIME_MASK
                final, first = known >> FINAL_SHIFT & TIME_MASK, known >> FIRST_SHIFT & TIME_MASK
                if touched_ms >= oldest_ms and first - GAP_MS <= moment <= final + GAP_MS:
                    if touched_ms != block_ms:
                        touched[touched_ms] -= 1
                        moved += 1
                    if moment > final:
                        final = moment
                    elif moment < first:
                        first = moment
                    start = known >> START_SHIFT
                    opened[visitor] = ((start << BITS | first) << BITS | final) << BITS | block_ms
                    sessions.append(start << 32 | visitor & HASH_MASK)
                    continue
            sessions.append(self._join(visitor, 0, moment, block_ms))
        touched[block_ms] += moved
        self._held += held
        self._forget()
        if block_ms - self._pruned_ms > PRUNE_EVERY_MS or self._held > 2 * self._sessions_max:
            self._prune(block_ms)
        return sessions

    def _of(self, visitor: int) -> tuple[int, ...]:
        known = self._open.get(visitor, ())
        return (known,) if isinstance(known, int) else known

    def _add(self, visitor: int, session: int) -> None:
        known = self._of(visitor)
        self._open[visitor] = (*known, session) if known else session
        self._held += 1
        if len(known) >= SESSIONS_OF_ONE_MAX:
            # Which session is dropped does not depend on when, because a dropped session is never touched again. It
            # still counts among those of its block: ClickHouse, which does not know that it was dropped, has it too.
            dropped = min(*known, session, key=_touched_then_began)
            self._open[visitor] = tuple(one for one in (*known, session) if one != dropped)

    def _join(self, visitor: int, before: int, moment: int, block_ms: int) -> int:
        fitting = [
            (opened, session)
            for opened, session in self._within_reach(visitor, before)
            if self._fits(session, moment, block_ms)
        ]
        self._touched[block_ms] += 1
        if not fitting:
            self._add(visitor, _packed(moment // 1000, moment, moment, block_ms))
            return session_id_of(visitor, moment)
        opened, old = max(fitting, key=_session_id)  # the one that began last
        self._touched[old & TIME_MASK] -= 1
        first, final = old >> FIRST_SHIFT & TIME_MASK, old >> FINAL_SHIFT & TIME_MASK
        new = _packed(old >> START_SHIFT, min(first, moment), max(final, moment), block_ms)
        known = self._of(opened)
        self._open[opened] = new if len(known) == 1 else (*(one for one in known if one is not old), new)
        if opened != visitor:
            self._carry(visitor, opened, old >> START_SHIFT)
        return _session_id((opened, old))

    def _within_reach(self, visitor: int, before: int) -> Iterator[tuple[int, int]]:
        """Yields the sessions that have a row of the visitor, or of the visitor before, each with who opened it."""
        for name in (visitor, before) if before and before != visitor else (visitor,):
            for session in self._of(name):
                yield name, session
            for opened, start in self._carried.get(name, ()):
                for session in self._of(opened):
                    if session >> START_SHIFT == start:
                        yield opened, session

    def _carry(self, visitor: int, opened: int, start: int) -> None:
        """Notes that a session has a row of a visitor that did not open it."""
        carried = self._carried.get(visitor, ())
        if (opened, start) not in carried:
            self._carried[visitor] = (*carried, (opened, start))

    def _fits(self, session: int, moment: int, block_ms: int) -> bool:
        first, final = session >> FIRST_SHIFT & TIME_MASK, session >> FINAL_SHIFT & TIME_MASK
        return first - GAP_MS <= moment <= final + GAP_MS and self._is_remembered(session, block_ms)

    def _is_remembered(self, session: int, block_ms: int) -> bool:
        touched_ms = session & TIME_MASK
        return block_ms - touched_ms <= MEMORY_MS and touched_ms > self._forgotten_ms

    def _forget(self) -> None:
        """Forgets the sessions of the oldest blocks until at most SESSIONS_MAX are left, except the last
        block's.

        Whole blocks are forgotten, because a flusher that takes over must come to the same state.
        """
        held = sum(self._touched.values()) if self._held > self._sessions_max else 0
        while held > self._sessions_max and len(self._touched) > 1:
            self._forgotten_ms = next(iter(self._touched))
            held -= self._touched.pop(self._forgotten_ms)

    def _prune(self, block_ms: int) -> None:
        self._pruned_ms = block_ms
        kept: dict[int, int | tuple[int, ...]] = {}
        for visitor, known in self._open.items():
            if isinstance(known, int):
                if self._is_remembered(known, block_ms):
                    kept[visitor] = known
            elif left := tuple(one for one in known if self._is_remembered(one, block_ms)):
                kept[visitor] = left if len(left) > 1 else left[0]
        self._open = kept
        carried: dict[int, tuple[tuple[int, int], ...]] = {}
        for visitor, joined in self._carried.items():
            if still := tuple(
                (opened, start)
                for opened, start in joined
                if any(session >> START_SHIFT == start for session in self._of(opened))
            ):
                carried[visitor] = still
        self._carried = carried
        self._touched = {at: count for at, count in self._touched.items() if block_ms - at <= MEMORY_MS}
        self._held = sum(self._touched.values())


def _opened(visitor: int, session_id: int) -> bool:
    """Tells whether the session's id is one that this visitor gives."""
    return (visitor ^ session_id) & HASH_MASK == 0


def _session_id(of: tuple[int, int]) -> int:
    """Returns the id of a packed session that is given behind the visitor that opened it."""
    opened, session = of
    return session >> START_SHIFT << 32 | opened & HASH_MASK


def _touched_then_began(session: int) -> tuple[int, int]:
    return session & TIME_MASK, session


def _packed(start_second: int, first: int, final: int, touched_ms: int) -> int:
    return start_second << START_SHIFT | first << FIRST_SHIFT | final << FINAL_SHIFT | touched_ms


def session_id_of(visitor: int, start_ms: int) -> int:
    """Returns the id of a session: the second it began, and below that 32 bits of the visitor.

    So ids sort by time, and take 2.3 bytes a row in ClickHouse instead of 6 (docs/facts.md#clickhouse-and-cost).
    """
    return (start_ms // 1000) << 32 | (visitor & HASH_MASK)
