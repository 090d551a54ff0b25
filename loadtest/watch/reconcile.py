"""Reconciles the acknowledgement log with ClickHouse, id by id: lost, duplicated, foreign.

The log says what the server owes. Ids are streamed back as they are stored, unsorted and ungrouped, so that ClickHouse
holds one block at a time, and are struck off in memory here (some 200 bytes an id). What is left of the acknowledged is
lost; what comes twice is duplicated; unclear and refused ids may be there or not; any other id is foreign. `compare` is
pure; the classes wait and ask.

Two clocks meet: rows are looked for from the run's start by this machine's clock, less a margin. The rollups of whole
sites, for all time, must add up to the raw rows.

Not promised: a verdict about ids that ClickHouse has emptied (after 8 days), nor that a duplicate does not arrive after
the last look. A site that others write to at the same time has foreign rows, and its rollups agree only when nobody
writes.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from loadtest.load import acklog
from schemas.sql import LONGEST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

CLOCK_MARGIN_S = 5.0  # by which the server's clock may be behind ours
POLL_S = 0.1
SETTLE_S = 1.0  # ids are compared once there was no new row for so long
STALL_S = 30.0  # what is missing after no new row for so long is lost: a lease and a retry take less
SAMPLE = 10

OURS = """site IN {sites:Array(String)} AND received_at >= fromUnixTimestamp64Milli({since_ms:Int64})"""
COUNT_SQL = f"SELECT count() FROM forebay.events WHERE {OURS}"
IDS_SQL = f"SELECT event_id FROM forebay.events WHERE {OURS}"
# No projection holds `late`, which is always 0, so ClickHouse has to count the rows themselves, not a rollup of them.
ROLLUPS_SQL = """
SELECT
    (SELECT count() FROM forebay.events WHERE site IN {sites:Array(String)} AND late = 0),
    (SELECT sum(events) FROM forebay.daily WHERE site IN {sites:Array(String)}),
    (SELECT sum(events) FROM forebay.sessions WHERE site IN {sites:Array(String)}),
    (SELECT countIf(name = 'pageview') FROM forebay.events WHERE site IN {sites:Array(String)} AND late = 0),
    (SELECT sum(pageviews) FROM forebay.sessions WHERE site IN {sites:Array(String)})
"""
ROLLUPS = ("events", "daily_events", "sessions_events", "pageviews", "sessions_pageviews")


class VerifyError(Exception):
    """Reports that ClickHouse could not be asked, so nothing is known."""


class Fate(Enum):
    ACKNOWLEDGED = "acknowledged"
    UNCLEAR = "unclear"
    REFUSED = "refused"


@dataclass(slots=True)
class Verdict:
    """Counts events, and names the first few ids of each fault."""

    sent: dict[str, int]  # by fate, from the log
    stored: dict[str, int]  # of these
    lost: int = 0
    duplicated: int = 0
    foreign: int = 0
    lost_sample: list[str] = field(default_factory=list)
    duplicated_sample: list[str] = field(default_factory=list)
    rollups: dict[str, int] = field(default_factory=dict)
    stored_after_s: float | None = None  # from the run's end until all acknowledged were visible; None: never seen

    @property
    def rollups_agree(self) -> bool:
        return rollups_agree(self.rollups)

    @property
    def is_exact(self) -> bool:
        return not self.lost and not self.duplicated and self.rollups_agree


def _why(error: BaseException) -> str:
    """Returns the system's own message of a network error, which the libraries wrap in four lines."""
    root = error
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    return root.strerror if isinstance(root, OSError) and root.strerror else str(error)


def compare(stored: Iterable[str], owed: dict[str, Fate]) -> Verdict:
    """Removes the stored ids from `owed`, which it uses up, and returns what it found. An empty id is foreign."""
    sent = Counter(fate.value for fate in owed.values())
    left = cast("dict[str, Fate | None]", owed)  # None: struck off. A second dictionary would double the memory
    found: Counter[str] = Counter()
    twice: list[str] = []
    foreign = 0
    for name in stored:
        if name not in left:
            foreign += 1
        elif (fate := left[name]) is None:
            twice.append(name)
        else:
            found[fate.value] += 1
            left[name] = None
    lost = [name for name, fate in left.items() if fate is Fate.ACKNOWLEDGED]
    return Verdict(
        sent={fate.value: sent[fate.value] for fate in Fate},
        stored={fate.value: found[fate.value] for fate in Fate},
        lost=len(lost),
        duplicated=len(set(twice)),
        foreign=foreign,
        lost_sample=lost[:SAMPLE],
        duplicated_sample=list(dict.fromkeys(twice))[:SAMPLE],
    )


def rollups_agree(found: dict[str, int]) -> bool:
    """Tells whether the sums of raw rows and rollups agree; True if none were asked for."""
    return not found or (
        found["events"] == found["daily_events"] == found["sessions_events"]
        and found["pageviews"] == found["sessions_pageviews"]
    )


def parameters(sites: tuple[str, ...], since_s: float) -> dict[str, Any]:
    """Returns the parameters of `OURS` for a run that began at this unix time."""
    return {"sites": list(sites), "since_ms": int((since_s - CLOCK_MARGIN_S) * 1000)}


def owed_by(*logs: Path) -> dict[str, Fate]:
    """Returns every id in the three files of each log, with its fate."""
    owed: dict[str, Fate] = {}
    for log in logs:
        for path, fate in zip(acklog.paths(log), Fate, strict=True):
            owed.update(dict.fromkeys(acklog.read(path), fate))
    return owed


class ClickHouse:
    """Asks one ClickHouse over HTTP, and connects when it is first asked. It blocks, so it is not for an event loop.

    Raises VerifyError if ClickHouse can't be asked, and connects again after that.
    """

    def __init__(self, url: str, *, user: str = "default", password: str = "", timeout_s: float = 300.0) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._timeout_s = timeout_s
        self._client: Client | None = None

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._translated():
            return [tuple(row) for row in self._connected().query(sql, parameters=parameters).result_rows]

    def column(self, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[Any]:
        """Yields the first column, with one block of it in memory at a time."""
        with self._translated(), self._connected().query_column_block_stream(sql, parameters=parameters) as blocks:
            for columns in blocks:
                yield from columns[0]

    def run(self, sql: str) -> None:
        with self._translated():
            self._connected().command(sql)

    def close(self) -> None:
        if self._client is not None:
            with suppress(ClickHouseError, HTTPError):
                self._client.close()
            self._client = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (ClickHouseError, HTTPError) as error:
            self._client = None
            raise VerifyError(f"ClickHouse at {self._url}: {_why(error)}") from error

    def _connected(self) -> Client:
        if self._client is None:
            parts = urlsplit(self._url)
            self._client = clickhouse_connect.get_client(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or (8443 if parts.scheme == "https" else 8123),
                secure=parts.scheme == "https",
                username=parts.username or self._user,
                password=parts.password or self._password,
                autogenerate_session_id=False,  # a session refuses a second query while one streams
                send_receive_timeout=self._timeout_s,
            )
            for (allowed,) in self._client.query(LONGEST_SECONDS).result_rows:  # all ids of a run may take long
                self._client.set_client_setting("max_execution_time", allowed)
        return self._client


class Verifier:
    """Asks one ClickHouse about one run. It blocks, so it is not for an event loop."""

    def __init__(
        self,
        url: str,
        *,
        sites: tuple[str, ...],
        since_s: float,
        user: str = "default",
        password: str = "",
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Takes the run's start (`since_s`) as unix time."""
        self._store = ClickHouse(url, user=user, password=password)
        self._parameters = parameters(sites, since_s)
        self._is_stopped = is_stopped

    def verify(
        self,
        *logs: Path,
        ended_s: float,
        timeout_s: float,
        before: int = 0,
        stored_after_s: float | None = None,
    ) -> Verdict:
        """Waits until nothing is missing or nothing more comes, and returns the verdict.

        `ended_s` is the unix time of the last outcome. `before` is how many rows there were before the first event was
        sent; they are not counted as foreign. `stored_after_s` is given if all rows were seen already. A ClickHouse
        that is down is asked again until the time is up; then VerifyError is raised.
        """
        deadline = time.monotonic() + timeout_s
        acknowledged = before + sum(len(acklog.read(log)) for log in logs)
        count, grown_at = -1, time.monotonic()
        while True:
            now = time.monotonic()
            is_over = now >= deadline or self._is_stopped()
            try:
                found = int(self._ask(COUNT_SQL)[0])
                if found != count:
                    count, grown_at = found, now
                if stored_after_s is None and count >= acknowledged:
                    stored_after_s = max(0.0, time.time() - ended_s)
                is_settled = now - grown_at >= (SETTLE_S if stored_after_s is not None else STALL_S)
                if is_over or is_settled:
                    verdict = compare(self._store.column(IDS_SQL, self._parameters), owed_by(*logs))
                    if not verdict.lost or is_over or now - grown_at >= STALL_S:
                        verdict.foreign = max(0, verdict.foreign - before)
                        verdict.stored_after_s = stored_after_s
                        verdict.rollups = self._rollups(deadline)
                        return verdict
            except VerifyError:
                if is_over:
                    raise
                grown_at = now  # the time that ClickHouse is down does not count as a stall
            time.sleep(POLL_S)

    def _rollups(self, deadline: float) -> dict[str, int]:
        """Returns both sides of every sum.

        They are asked for again for a while if they differ, because others may be inserting.
        """
        while True:
            found = dict(zip(ROLLUPS, map(int, self._ask(ROLLUPS_SQL)), strict=True))
            if rollups_agree(found) or time.monotonic() + SETTLE_S >= deadline or self._is_stopped():
                return found
            time.sleep(SETTLE_S)

    def _ask(self, sql: str) -> tuple[Any, ...]:
        return self._store.rows(sql, self._parameters)[0]

    def close(self) -> None:
        self._store.close()
