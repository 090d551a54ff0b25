"""Keeps what a `session_id` promises: temporary tables, SET and USE last until the session has been idle for its time.

Most clients name a session and never change anything in it, so a session gets a connection of its own only with the
first statement that may change it (`changes_session`). Sessions that have one are bounded in number and in what
their temporary tables hold; none of them has a thread while nothing runs in it, and one query runs in it at a time.

Not promised: that a session outlives the process, or a query in it that had to be given up. Its next statement is
told so once it asks; nothing of it is forgotten silently.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from forebay.embedded.clickhouse.lanes import Lane
from forebay.embedded.clickhouse.sql import QueryFailed, Statement, failure

# Names alone: some hundred bytes each.
NAMES_MAX = 10_000
# Of these nothing stays in a session, unless they speak of something temporary.
_STATELESS = frozenset(
    (
        *("ALTER", "CHECK", "CREATE", "DELETE", "DESC", "DESCRIBE", "DETACH", "DROP", "EXCHANGE", "EXISTS", "EXPLAIN"),
        *("GRANT", "INSERT", "KILL", "OPTIMIZE", "RENAME", "REVOKE", "SELECT", "SHOW", "SYSTEM", "TRUNCATE", "UNDROP"),
        *("UPDATE", "WITH"),
    )
)
_TEMPORARY = re.compile(rb"\bTEMP(ORARY)?\b", re.IGNORECASE)


class SessionName(NamedTuple):
    """What a request says of its session; `seconds` is how long it is kept without a query."""

    session_id: str
    seconds: int
    must_exist: bool
    is_last: bool


class Kept(Protocol):
    """A connection of the engine with what a session left in it. `table_bytes` is what its temporary tables hold."""

    table_bytes: int
    fault: str

    def close(self) -> None:
        """Gives it back with all that is in it; blocks."""


def changes_session(statement: Statement) -> bool:
    """Whether something of it may last in a session. A wrong yes costs a connection, a wrong no would lose a state."""
    return statement.keyword not in _STATELESS or _TEMPORARY.search(statement.sql) is not None


class Session:
    """One session. `kept` is its connection, when it needs one."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.is_keeping = False
        self.is_busy = False
        self.fault = ""
        self.timer: asyncio.TimerHandle | None = None


class Sessions:
    """All sessions of one listener: at most `kept_max` with a connection, and `bytes_max` of temporary tables."""

    def __init__(self, *, kept_max: int, bytes_max: int) -> None:
        self._kept_max = kept_max
        self._bytes_max = bytes_max
        self._all: dict[str, Session] = {}
        self._closing_lane = Lane()

    @contextlib.asynccontextmanager
    async def held(self, name: SessionName) -> AsyncIterator[Session]:
        """The session, new or not, for one query. Raises QueryFailed: it runs another (373), or there is none (372)."""
        session = self._all.get(name.session_id)
        if session is None:
            session = self._new(name)
        if session.is_busy:
            raise failure(373, f"Session {name.session_id} is locked by a concurrent client")
        if session.fault:
            raise failure(372, f"Session {name.session_id} has ended: {session.fault}")
        session.is_busy = True
        try:
            yield session
        finally:
            session.is_busy = False
            self._after(name, session)

    def keep(self, session: Session) -> None:
        """Counts a session that is about to get a connection. Raises QueryFailed when there are too many."""
        kept = sum(other.is_keeping for other in self._all.values())
        if kept >= self._kept_max:
            raise failure(202, f"Too many sessions: {kept} hold temporary tables or settings (sessions_max)")
        session.is_keeping = True

    def make_room(self, session: Session) -> None:
        """Raises QueryFailed when temporary tables already hold all that they may; this session may still drop its own."""
        held = self._held_bytes()
        if held >= self._bytes_max and not (session.kept is not None and session.kept.table_bytes):
            raise failure(241, self._full(held))

    def fault_of(self, table_bytes: int, kept: Kept) -> str:
        """Why a session has to end, when its temporary tables hold so much; "" where it need not. From any thread."""
        held = self._held_bytes() - kept.table_bytes + table_bytes
        return self._full(held) if held > self._bytes_max else ""

    def _held_bytes(self) -> int:
        return sum(session.kept.table_bytes for session in list(self._all.values()) if session.kept is not None)

    def _full(self, held: int) -> str:
        return (
            f"temporary tables of all sessions hold {held >> 20} MiB and may hold {self._bytes_max >> 20} MiB"
            " (session_bytes_max)"
        )

    def _new(self, name: SessionName) -> Session:
        if name.must_exist:
            raise failure(372, f"Session {name.session_id} not found")
        if len(self._all) >= NAMES_MAX:
            raise failure(202, f"Too many sessions: {NAMES_MAX} were used within their session_timeout")
        session = self._all[name.session_id] = Session()
        return session

    def _after(self, name: SessionName, session: Session) -> None:
        if session.kept is not None and session.kept.fault:
            session.fault = session.kept.fault
            self._give_back(session)
        if session.kept is None and not session.fault:
            session.is_keeping = False  # its connection was not made
        if session.timer is not None:
            session.timer.cancel()
        seconds = 0 if name.is_last else name.seconds
        session.timer = asyncio.get_running_loop().call_later(seconds, self._end, name.session_id, session)

    def _end(self, session_id: str, session: Session) -> None:
        if not session.is_busy and self._all.get(session_id) is session:  # its own timer comes after its query
            del self._all[session_id]
            self._give_back(session)

    def _give_back(self, session: Session) -> None:
        if session.kept is not None:
            self._closing_lane.finish(session.kept.close)
        session.kept, session.is_keeping = None, False

    async def close(self) -> None:
        """Ends all of them; no query runs in any."""
        for session in self._all.values():
            if session.timer is not None:
                session.timer.cancel()
            self._give_back(session)
        self._all.clear()
        await asyncio.to_thread(self._closing_lane.close)


def ended(error: QueryFailed) -> str:
    """Why a session ends, when its connection can't be brought back to where it was."""
    return f"what a query changed for itself could not be taken back ({error.text[:200]})"
