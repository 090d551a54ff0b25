"""Keeps what a `session_id` promises: temporary tables, SET and USE last until the session was idle for its timeout.

Most clients name a session and never change anything in it, so a session gets a connection of its own only with the
first statement that may change it (`changes_session`). The sessions that have one are bounded in number and in what
their temporary tables hold. No session has a thread while nothing runs in it, and one query runs in it at a time.

Not promised: that a session outlives the process, or a query in it that had to be given up. The next statement in such
a session is answered with an error that says so.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from forebay.embedded.clickhouse.lanes import Lane
from forebay.embedded.clickhouse.sql import QueryFailed, Statement, failure

# Sessions without a connection, too: a name takes some hundred bytes.
NAMES_MAX = 10_000
# Statements that leave nothing in a session, unless they are about something temporary.
_STATELESS = frozenset(
    (
        *("ALTER", "CHECK", "CREATE", "DELETE", "DESC", "DESCRIBE", "DETACH", "DROP", "EXCHANGE", "EXISTS", "EXPLAIN"),
        *("GRANT", "INSERT", "KILL", "OPTIMIZE", "RENAME", "REVOKE", "SELECT", "SHOW", "SYSTEM", "TRUNCATE", "UNDROP"),
        *("UPDATE", "WITH"),
    )
)
_TEMPORARY = re.compile(rb"\bTEMP(ORARY)?\b", re.IGNORECASE)


class SessionName(NamedTuple):
    """Holds what a request says of its session; `seconds` is how long the session is kept without a query."""

    session_id: str
    seconds: int
    must_exist: bool
    is_last: bool


class Kept(Protocol):
    """Holds what a session left in a connection of the engine. `table_bytes` is the size of its temporary tables."""

    table_bytes: int
    fault: str

    def close(self) -> None:
        """Closes the connection with all that is in it. Blocks."""


def changes_session(statement: Statement) -> bool:
    """Tells whether something of a statement may last in its session.

    A wrong yes costs a connection; a wrong no would lose the session's state.
    """
    return statement.keyword not in _STATELESS or _TEMPORARY.search(statement.sql) is not None


class Session:
    """Holds one session. `kept` is its connection, once it needs one."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.is_keeping = False
        self.is_busy = False
        self.fault = ""
        self.timer: asyncio.TimerHandle | None = None


class Sessions:
    """Holds all sessions of one listener: at most `kept_max` with a connection, and `bytes_max` of temporary tables."""

    def __init__(self, *, kept_max: int, bytes_max: int) -> None:
        self._kept_max = kept_max
        self._bytes_max = bytes_max
        self._all: dict[str, Session] = {}
        self._closing_lane = Lane()

    @contextlib.asynccontextmanager
    async def held(self, name: SessionName) -> AsyncIterator[Session]:
        """Gives the session, new or not, for one query.

        Raises QueryFailed if a query runs in it (373), or if there is none (372).
        """
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
        """Counts a session that is about to get a connection. Raises QueryFailed if too many have one."""
        kept = sum(other.is_keeping for other in self._all.values())
        if kept >= self._kept_max:
            raise failure(202, f"Too many sessions: {kept} hold temporary tables or settings (sessions_max)")
        session.is_keeping = True

    def make_room(self, session: Session) -> None:
        """Raises QueryFailed if temporary tables hold all that they may; a session that has some may still drop them."""
        held = self._held_bytes()
        if held >= self._bytes_max and not (session.kept is not None and session.kept.table_bytes):
            raise failure(241, self._full(held))

    def fault_of(self, table_bytes: int, kept: Kept) -> str:
        """Returns why a session has to end if its temporary tables hold so much, or "" if it may go on. For any thread."""
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
            session.is_keeping = False  # because its connection could not be made
        if session.timer is not None:
            session.timer.cancel()
        seconds = 0 if name.is_last else name.seconds
        session.timer = asyncio.get_running_loop().call_later(seconds, self._end, name.session_id, session)

    def _end(self, session_id: str, session: Session) -> None:
        if not session.is_busy and self._all.get(session_id) is session:  # a query in it sets the timer anew at its end
            del self._all[session_id]
            self._give_back(session)

    def _give_back(self, session: Session) -> None:
        if session.kept is not None:
            self._closing_lane.finish(session.kept.close)
        session.kept, session.is_keeping = None, False

    async def close(self) -> None:
        """Ends all sessions. No query may run in one."""
        for session in self._all.values():
            if session.timer is not None:
                session.timer.cancel()
            self._give_back(session)
        self._all.clear()
        await asyncio.to_thread(self._closing_lane.close)


def ended(error: QueryFailed) -> str:
    """Returns why a session ends whose connection can't be brought back to its former state."""
    return f"what a query changed for itself could not be taken back ({error.text[:200]})"
