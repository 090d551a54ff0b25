"""Sessions: tests which events join, and that a successor that restores them from rows goes on exactly as its
predecessor.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flusher.blocks import sessions as sessions_module
from flusher.blocks.sessions import (
    GAP_MS,
    MEMORY_MS,
    PRUNE_EVERY_MS,
    SESSIONS_MAX,
    START_SHIFT,
    Session,
    Sessions,
    session_id_of,
)

MINUTE = 60_000
NOON = 1_790_078_400_000  # 2026-09-22 12:00:00 UTC
ANN, BOB = 0xA11CE_0000_0001, 0xB0B_0000_0002

Rows = list[tuple[int, int, int]]  # visitor, session, ts
Block = tuple[int, Rows]


def assign(
    sessions: Sessions, ts: list[int], block_ms: int, *, visitor: int = ANN, before: int = 0, given: int = 0
) -> list[int]:
    """Returns the session ids of events of one visitor in one block."""
    rows = len(ts)
    return sessions.assign([visitor] * rows, [before] * rows, [given] * rows, ts, block_ms)


def restored(blocks: Iterable[Block], sessions_max: int = SESSIONS_MAX) -> Sessions:
    """Returns the state that a successor builds: first and last event of each session, and the last block that touched
    it.
    """
    seen: dict[tuple[int, int], Session] = {}
    for block_ms, rows in blocks:
        for visitor, session, ts in rows:
            _, first, final, _ = seen.get((visitor, session), (session, ts, ts, 0))
            seen[visitor, session] = (session, min(first, ts), max(final, ts), block_ms)
    return Sessions(((visitor, session) for (visitor, _), session in seen.items()), sessions_max=sessions_max)


def test_a_session_is_named_by_its_first_event_and_its_visitor() -> None:
    """A session id is the second of its first event above 32 bits of the visitor, so ids sort by time."""
    assert session_id_of(ANN, NOON + 999) == (NOON // 1000) << 32 | 0x0000_0001
    assert assign(Sessions(), [NOON + 999], NOON) == [session_id_of(ANN, NOON)]
    assert session_id_of(ANN, NOON) < session_id_of(BOB, NOON + 1000)


@pytest.mark.parametrize(
    ("moment", "joins"), [(GAP_MS, True), (-GAP_MS, True), (GAP_MS + 1, False), (-GAP_MS - 1, False), (0, True)]
)
def test_an_event_joins_within_thirty_minutes_on_either_side(moment: int, joins: bool) -> None:
    """An event that is exactly 30 minutes away joins, and one a millisecond further opens a session."""
    sessions = Sessions()
    (first,) = assign(sessions, [NOON], NOON)
    assert (assign(sessions, [NOON + moment], NOON + 1) == [first]) is joins


def test_a_session_reaches_thirty_minutes_beyond_any_of_its_events() -> None:
    """A visit of an hour with an event every 30 minutes is one session, whatever the order of arrival."""
    sessions = Sessions()
    ids = assign(sessions, [NOON, NOON + GAP_MS, NOON + 2 * GAP_MS, NOON - GAP_MS, NOON - 2 * GAP_MS, NOON], NOON)
    assert ids == [session_id_of(ANN, NOON)] * 6


def test_an_earlier_event_does_not_rename_the_session() -> None:
    """The start in the id is the first event seen, not the earliest."""
    sessions = Sessions()
    (first,) = assign(sessions, [NOON], NOON)
    assert assign(sessions, [NOON - 20 * MINUTE, NOON - 45 * MINUTE], NOON) == [first, first]


def test_visitors_do_not_share_sessions() -> None:
    """Events of two visitors at the same moment are two sessions."""
    sessions = Sessions()
    ids = sessions.assign([ANN, BOB, ANN], [0, 0, 0], [0, 0, 0], [NOON] * 3, NOON)
    assert ids == [session_id_of(ANN, NOON), session_id_of(BOB, NOON), session_id_of(ANN, NOON)]


def test_sessions_never_merge_and_the_one_that_began_last_is_taken() -> None:
    """An event between two sessions joins the later one, and the earlier one stays for events that fit only it."""
    sessions = Sessions()
    early, late = assign(sessions, [NOON, NOON + 50 * MINUTE], NOON)
    assert early < late
    assert assign(sessions, [NOON + 25 * MINUTE], NOON + 1) == [late]
    assert assign(sessions, [NOON - 10 * MINUTE], NOON + 2) == [early]
    assert assign(sessions, [NOON + 20 * MINUTE], NOON + 3) == [late]


def test_the_session_that_began_last_is_taken_even_when_it_opened_first() -> None:
    """The session that began last is chosen, not the one that was opened or touched last."""
    sessions = Sessions()
    late, early = assign(sessions, [NOON + 50 * MINUTE, NOON], NOON)
    assert assign(sessions, [NOON + 25 * MINUTE], NOON + 1) == [late]
    assert early < late


SEVERAL = [
    (visitor, (session_id_of(visitor, NOON + at * MINUTE), NOON + at * MINUTE, NOON + at * MINUTE, NOON))
    for visitor in (ANN, BOB)
    for at in (-40, 0, 35, 70)
]


@given(st.permutations(SEVERAL), st.lists(st.integers(-80, 110), min_size=1, max_size=6))
def test_the_order_of_restored_state_does_not_matter(order: list[tuple[int, Session]], minutes: list[int]) -> None:
    """The same events join the same sessions, in whatever order ClickHouse returns the sessions."""
    ts = [NOON + minute * MINUTE for minute in minutes]
    assert assign(Sessions(order), ts, NOON + 1) == assign(Sessions(SEVERAL), ts, NOON + 1)


YESTERDAY, TODAY = ANN, BOB
MIDNIGHT = NOON + 12 * 60 * MINUTE


def test_a_visit_over_midnight_stays_one() -> None:
    """What today's visitor does within 30 minutes joins the open session of the visitor that it was yesterday."""
    sessions = Sessions()
    (session,) = assign(sessions, [MIDNIGHT - MINUTE], MIDNIGHT - MINUTE, visitor=YESTERDAY)
    at = MIDNIGHT + MINUTE
    assert assign(sessions, [at], at, visitor=TODAY, before=YESTERDAY) == [session]


def test_a_visit_over_midnight_stays_one_inside_a_single_block() -> None:
    """Both sides of midnight may come in one block: where blocks are cut does not decide."""
    ts = [MIDNIGHT - MINUTE, MIDNIGHT + MINUTE, MIDNIGHT + 2 * MINUTE]
    ids = Sessions().assign([YESTERDAY, TODAY, TODAY], [0, YESTERDAY, YESTERDAY], [0, 0, 0], ts, MIDNIGHT)
    assert ids == [session_id_of(YESTERDAY, MIDNIGHT - MINUTE)] * 3


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_visit_over_midnight_goes_on_when_nobody_knows_yesterdays_visitor_any_more(is_restored: bool) -> None:
    """A session that was carried over goes on without `before`, also for a flusher that has just taken over."""
    sessions = Sessions()
    done: list[Block] = []
    for minutes, visitor, before in ((-10, YESTERDAY, 0), (10, TODAY, YESTERDAY), (35, TODAY, 0), (60, TODAY, 0)):
        at = MIDNIGHT + minutes * MINUTE
        if is_restored:
            sessions = restored(done)
        (session,) = assign(sessions, [at], at, visitor=visitor, before=before)
        assert session == session_id_of(YESTERDAY, MIDNIGHT - 10 * MINUTE), minutes
        done.append((at, [(visitor, session, at)]))


def test_what_was_carried_over_is_forgotten_with_its_session() -> None:
    """Nothing of a session over midnight is left once it can't be joined any more."""
    sessions = Sessions()
    assign(sessions, [MIDNIGHT - MINUTE], MIDNIGHT - MINUTE, visitor=YESTERDAY)
    assign(sessions, [MIDNIGHT + MINUTE], MIDNIGHT + MINUTE, visitor=TODAY, before=YESTERDAY)
    assert sessions._carried
    late = MIDNIGHT + MINUTE + MEMORY_MS + 1
    assert assign(sessions, [late], late, visitor=TODAY) == [session_id_of(TODAY, late)]
    assign(sessions, [late + 2 * MINUTE], late + 2 * MINUTE, visitor=77)
    assert not sessions._carried


@pytest.mark.parametrize("ended", [MIDNIGHT - GAP_MS, None])
def test_without_an_open_session_of_yesterday_a_new_one_begins(ended: int | None) -> None:
    """Without a session of yesterday's visitor in the last 30 minutes, today's visitor opens one."""
    sessions = Sessions()
    if ended is not None:
        assign(sessions, [ended], ended, visitor=YESTERDAY)
    at = MIDNIGHT + MINUTE
    assert assign(sessions, [at], at, visitor=TODAY, before=YESTERDAY) == [session_id_of(TODAY, at)]


def test_rows_without_a_visitor_of_yesterday_are_left_alone_beside_those_with_one() -> None:
    """Only rows that carry a visitor of yesterday join its sessions."""
    sessions = Sessions()
    (session,) = assign(sessions, [MIDNIGHT], MIDNIGHT, visitor=YESTERDAY)
    ids = sessions.assign([88, TODAY, 77], [0, YESTERDAY, 0], [0, 0, 0], [MIDNIGHT] * 3, MIDNIGHT)
    assert ids == [session_id_of(88, MIDNIGHT), session, session_id_of(77, MIDNIGHT)]


@pytest.mark.parametrize("before", [0, BOB])
def test_a_session_that_an_sdk_owns_is_kept_and_not_joined(before: int) -> None:
    """The SDK's session id stays as it is, opens no session, and takes no other event in."""
    sessions = Sessions()
    assert assign(sessions, [NOON], NOON, before=before, given=4711) == [4711]
    assert len(sessions) == 0
    assert assign(sessions, [NOON], NOON, before=before) == [session_id_of(ANN, NOON)]


def test_nothing_that_came_in_is_changed() -> None:
    """The entry's columns are never written to, because a block may be formed from them again."""
    visitors, befores, given_ids, ts = [TODAY, TODAY], [YESTERDAY, 0], [0, 5], [MIDNIGHT, MIDNIGHT]
    sessions = Sessions()
    assign(sessions, [MIDNIGHT], MIDNIGHT, visitor=YESTERDAY)
    assert sessions.assign(visitors, befores, given_ids, ts, MIDNIGHT)[1] == 5
    assert (visitors, befores, given_ids, ts) == ([TODAY, TODAY], [YESTERDAY, 0], [0, 5], [MIDNIGHT, MIDNIGHT])


@pytest.mark.parametrize(("later", "joins"), [(MEMORY_MS, True), (MEMORY_MS + 1, False)])
def test_a_session_is_remembered_for_thirty_five_minutes_of_blocks(later: int, joins: bool) -> None:
    """The time between blocks counts: an event whose own time fits still comes too late after 35 minutes."""
    sessions = Sessions()
    (first,) = assign(sessions, [NOON], NOON)
    assert (assign(sessions, [NOON + 5_000], NOON + later) == [first]) is joins


def test_every_block_that_touches_a_session_renews_its_memory() -> None:
    """A session of an hour is remembered from the last block that touched it, not from its first."""
    sessions = Sessions()
    ids = [assign(sessions, [NOON], NOON + block * MEMORY_MS)[0] for block in range(4)]
    assert len(set(ids)) == 1


def test_what_can_not_be_joined_any_more_is_forgotten() -> None:
    """Only the visitors of the last 35 minutes stay in memory."""
    sessions = Sessions()
    for visitor in range(1, 101):
        assign(sessions, [NOON], NOON, visitor=visitor)
    assert len(sessions) == 100
    assign(sessions, [NOON + MEMORY_MS], NOON + MEMORY_MS, visitor=ANN)
    assert len(sessions) == 101
    assign(sessions, [NOON], NOON + MEMORY_MS + PRUNE_EVERY_MS + 1, visitor=BOB)
    assert len(sessions) == 2


# A history: for each block how long after the last it came, and its events: who, under which
# older name, and when by the client's clock, in minutes around the block.
EVENT = st.tuples(st.integers(1, 2), st.integers(0, 2), st.integers(-60, 60))
HISTORY = st.lists(st.tuples(st.integers(1, 50), st.lists(EVENT, min_size=1, max_size=3)), min_size=2, max_size=7)
History = list[tuple[int, list[tuple[int, int, int]]]]


def columns(events: list[tuple[int, int, int]], block_ms: int) -> tuple[list[int], list[int], list[int], list[int]]:
    visitors = [visitor for visitor, _, _ in events]
    befores = [before if before != visitor else 0 for visitor, before, _ in events]
    return visitors, befores, [0] * len(events), [block_ms + minutes * MINUTE for _, _, minutes in events]


def reopens(done: list[Block], rows: Rows, block_ms: int) -> bool:
    """Tells whether a row got an id that was given out longer ago than is remembered: such an id names two sessions."""
    for _, session, _ in rows:
        touched = [at for at, old in done if any(id_ == session for _, id_, _ in old)]
        if touched and block_ms - max(touched) > MEMORY_MS:
            return True
    return False


@settings(max_examples=400)
@given(HISTORY)
def test_a_successor_goes_on_as_its_predecessor_would(history: History) -> None:
    """Before every block, state rebuilt from the rows of all earlier ones assigns what the uninterrupted state does."""
    now = NOON
    lasting = Sessions()
    done: list[Block] = []
    for minutes, events in history:
        now += minutes * MINUTE
        arrived = columns(events, now)
        ids = lasting.assign(*arrived, now)
        rows = list(zip(arrived[0], ids, arrived[3], strict=True))
        assume(not reopens(done, rows, now))
        assert restored(done).assign(*arrived, now) == ids
        done.append((now, rows))


# A visitor has more sessions than one may have: the dropped one counts among those of its block, also for a successor.
DROPPED: History = [(1, [(1, 0, 0)]), (36, [(1, 0, 0), (2, 0, -2)]), (29, [(2, 0, 0), (2, 0, 31)]), (1, [(1, 0, 0)])]


@settings(max_examples=200)
@example(DROPPED, 3, 2)
@given(HISTORY, st.integers(1, 4), st.integers(1, 2))
def test_a_successor_forgets_what_its_predecessor_forgot(history: History, sessions_max: int, of_one: int) -> None:
    """Beyond the limit a successor forgets the same sessions: by whole blocks, and of each visitor the oldest ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions_module, "SESSIONS_OF_ONE_MAX", of_one)
        _forgets_alike(history, sessions_max)


def _forgets_alike(history: History, sessions_max: int) -> None:
    now = NOON
    lasting = Sessions(sessions_max=sessions_max)
    done: list[Block] = []
    for minutes, events in history:
        now += minutes * MINUTE
        arrived = columns(events, now)
        known = {
            one >> START_SHIFT << 32 | visitor
            for visitor in (1, 2)
            for one in lasting._of(visitor)
            if lasting._is_remembered(one, now)
        }
        ids = lasting.assign(*arrived, now)
        rows = list(zip(arrived[0], ids, arrived[3], strict=True))
        # an id that was given out before its session was forgotten names two
        given_out = {id_ for _, old in done for _, id_, _ in old}
        assume(all(id_ in known for _, id_, _ in rows if id_ in given_out))
        assert restored(done, sessions_max).assign(*arrived, now) == ids
        done.append((now, rows))


def test_no_more_sessions_are_remembered_than_the_limit() -> None:
    """With ten times as many visitors, memory stays bounded: the latest blocks are known and the first ones are not."""
    sessions = Sessions(sessions_max=1_000)
    for block in range(100):
        visitors = list(range(block * 100, block * 100 + 100))
        at = NOON + block * 1_000
        sessions.assign(visitors, [0] * 100, [0] * 100, [at] * 100, at)
        assert len(sessions) <= 2_100
    at = NOON + 100_000
    for visitor, joins in ((9_950, True), (9_100, True), (8_950, False), (5, False)):
        assert (assign(sessions, [at], at, visitor=visitor)[0] >> 32 < at // 1_000) is joins


@settings(max_examples=200)
@given(HISTORY)
def test_forgetting_is_invisible(history: History) -> None:
    """A state that is pruned after every block assigns what a state assigns that is never pruned."""
    now = NOON
    lasting, pruned = Sessions(), Sessions()
    lasting._pruned_ms = 2**62  # never again
    done: list[Block] = []
    for minutes, events in history:
        now += minutes * MINUTE
        pruned._pruned_ms = 0
        arrived = columns(events, now)
        ids = lasting.assign(*arrived, now)
        rows = list(zip(arrived[0], ids, arrived[3], strict=True))
        assume(not reopens(done, rows, now))
        assert pruned.assign(*arrived, now) == ids
        done.append((now, rows))
    assert len(pruned) <= len(lasting)
