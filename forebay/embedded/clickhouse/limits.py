"""Limits what a question on the embedded engine's public port may use, and words the errors of those that exceed it.

Storing must go on whatever is asked, so all questions together have a bounded share: so many at once, each for a time,
with a part of the memory, on few threads. They take turns: one of those that run computes while the others pause, and
all of them pause while something is stored, so that senders who wait for an acknowledgement find a free core.

Time, rows and threads are defaults that a question may change by ClickHouse's ordinary settings. The constraints of the
engine's profile (guard.py) hold time and memory within what no statement may exceed, however it is written: 0, which
means no limit, is refused.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from forebay.embedded.clickhouse.sql import QueryFailed
from schemas.settings import UpSettings

# All questions together have half of the engine's memory; the other half is for INSERTs, merges and caches.
QUESTIONS_SHARE = 2
# The lower number goes first. The later of two questions has it, so that a short one does not wait for a long one.
STORING_PRIORITY = 1
QUESTION_PRIORITY_FIRST = 1 << 62
# How long a question pauses before each block of rows, while one with a lower number runs. The engine's default is a
# second: an answer that its client reads slowly would then keep a scan of 150 blocks from ever ending.
PAUSE_MS = 100
# The part of the memory that temporary tables may hold, also while nothing runs.
SESSIONS_SHARE = 16
# An answer that is built whole before it is sent (engine.py) costs 5.5 times its size.
WHOLE_ANSWER_COST = 6
WHOLE_ANSWER_BYTES_MAX = 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Holds the limits of questions.

    `queries` run at once, `waiting` more may wait for their turn, for `wait_seconds`. The others are of one question:
    `bytes` is its memory. `sessions` may hold temporary tables or settings, and all their tables `session_bytes`.
    """

    queries: int
    waiting: int
    wait_seconds: int
    seconds: int
    seconds_max: int
    bytes: int
    rows: int
    threads: int
    sessions: int
    session_bytes: int

    def settings(self, *, is_read: bool, turn: int) -> dict[str, str]:
        """Returns ClickHouse's settings for a statement that sets nothing of its own; `turn` counts the statements.

        A statement that writes (INSERT, ALTER ...) may take as long as a question may ask for, because half of it would
        be worse than all.
        """
        settings = {
            "max_execution_time": str(self.seconds if is_read else self.seconds_max),
            "max_memory_usage": str(self.bytes),
            "max_threads": str(self.threads),
            "priority": str(QUESTION_PRIORITY_FIRST - turn),
            "low_priority_query_wait_time_ms": str(PAUSE_MS),
        }
        return settings | ({"max_result_rows": str(self.rows)} if is_read else {})

    @property
    def whole_answer_bytes(self) -> int:
        """Returns how large an answer may be that is built whole before it is sent."""
        return min(WHOLE_ANSWER_BYTES_MAX, self.bytes // WHOLE_ANSWER_COST)

    def explained(self, error: QueryFailed) -> QueryFailed:
        """Returns the engine's error; if one of our limits caused it, with a sentence that says what to do."""
        hint = {
            202: (
                f"Here {self.queries} questions run at once (queries_max), {self.waiting} more wait"
                f" (queries_waiting_max), for {self.wait_seconds} s (query_wait_seconds)."
            ),
            159: (
                f"A question may take {self.seconds} s here (query_seconds); SETTINGS max_execution_time = N allows"
                f" one more, up to {self.seconds_max} (query_seconds_max)."
            ),
            241: (
                f"A question may use {self.bytes >> 20} MiB here (query_bytes_max), so that storing has room; a"
                " shorter period, fewer columns or groups need less."
            ),
            396: (
                f"An answer may have {self.rows} rows (query_rows_max); SETTINGS max_result_rows = N allows one more."
                f" In a format that cannot be streamed it may have {self.whole_answer_bytes >> 20} MiB: TabSeparated,"
                " CSV, JSONEachRow and Native can."
            ),
            452: (
                f"Here max_execution_time is between 1 and {self.seconds_max} (query_seconds_max), max_memory_usage"
                f" between 1 and {self.bytes} (query_bytes_max)."
            ),
        }.get(error.code)
        return error if hint is None else QueryFailed(error.code, f"{error.text} {hint}")


def question_bytes(memory_bytes: int, queries: int) -> int:
    """Returns the memory of one question if no setting names it: an equal part of what all questions have together."""
    return memory_bytes // QUESTIONS_SHARE // queries


def session_bytes(memory_bytes: int) -> int:
    """Returns how much the temporary tables of all sessions may hold if no setting names it."""
    return memory_bytes // SESSIONS_SHARE


def limits_of(settings: UpSettings, memory_bytes: int) -> Limits:
    """Returns the limits that follow from the settings and the engine's memory."""
    return Limits(
        queries=settings.queries_max,
        waiting=settings.queries_waiting_max,
        wait_seconds=settings.query_wait_seconds,
        seconds=min(settings.query_seconds, settings.query_seconds_max),
        seconds_max=settings.query_seconds_max,
        bytes=settings.query_bytes_max or question_bytes(memory_bytes, settings.queries_max),
        rows=settings.query_rows_max,
        threads=settings.query_threads_max or max(1, len(os.sched_getaffinity(0)) - 1),
        sessions=settings.sessions_max,
        session_bytes=settings.session_bytes_max or session_bytes(memory_bytes),
    )


def default_memory_bytes() -> int:
    """Returns half of the memory of this machine or container, and at least 1 GiB, which two blocks at once need."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text("ascii").strip()).isdigit():
        total = min(total, int(text))
    return max(total // 2, 1 << 30)
