"""Accounts for each request: by id in the acknowledgement log, by number in the tallies.

Every event of a run ends in exactly one place: acknowledged, refused (rejected events among them), unclear, or unsent.
The first three are in the log, so the log and the numbers agree with each other whatever the server says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.load.acklog import AckLog
    from loadtest.load.generate import Request

WAITED_S = 0.001  # a request has waited if its connection became free later than this after it was due


class Flight(NamedTuple):
    """Holds a request that is on its way, or waits to be sent again. Flights are ordered by when they are to be sent."""

    send_at: float
    due: float  # when it was first to be sent; latency counts from here
    attempt: int
    request: Request


class Account:
    """Counts outcomes, and logs the ids. Times are `time.perf_counter` seconds."""

    def __init__(
        self, log: AckLog, *, warmup_s: int = 0, on_second: Callable[[Tally, Tally], None] | None = None
    ) -> None:
        """Takes `on_second`, which gets what was settled in each second: of measured requests, and of the warm-up's."""
        self.log = log
        self.seconds = 0  # how many were closed
        self.warmup = Tally()  # of requests due in the first `warmup_s` seconds
        self.measured = Tally()  # of all other requests
        self.last_outcome = 0.0
        self._warmup_s = warmup_s
        self._on_second = on_second
        self._second = Tally()  # what was settled since the last second's end, of the same two kinds
        self._second_warmup = Tally()

    def sent(self, flight: Flight, free_since: float) -> None:
        """Counts a request that is sent. `free_since` is when the connection that it took had become free."""
        tally = self._tally(flight.request)
        if flight.attempt:
            tally.resent += 1
            return
        tally.sent += 1
        tally.lag.record(flight.send_at - max(flight.due, free_since))
        if free_since > flight.due + WAITED_S:
            tally.waited += 1

    def answered(self, flight: Flight, now: float) -> None:
        """Counts an answer of any status, and records the server's own time."""
        tally = self._tally(flight.request)
        tally.answered += 1
        tally.service.record(now - flight.send_at)

    def acknowledged(self, flight: Flight, body: bytes, now: float) -> None:
        """Counts a 2xx answer: the server owes every event that the answer does not name as rejected."""
        self.last_outcome = now
        tally = self._tally(flight.request)
        tally.latency.record(now - flight.due)
        ids = flight.request.ids
        if body and len(ids) > 1:
            rejected = rejected_indexes(body)
            if rejected is None:
                tally.odd_answers += 1  # a 2xx that names no event as rejected: the server owes them all
            elif rejected:
                self.log.refused([name for at, name in enumerate(ids) if at in rejected])
                ids = [name for at, name in enumerate(ids) if at not in rejected]
                tally.rejected += len(flight.request.ids) - len(ids)
        tally.acknowledged += len(ids)
        self.log.acknowledged(ids)

    def refused(self, flight: Flight, status: int, now: float) -> None:
        self.last_outcome = now
        self._tally(flight.request).refused[str(status)] += len(flight.request.ids)
        self.log.refused(flight.request.ids)

    def unclear(self, flight: Flight, kind: str, now: float) -> None:
        """Counts a request that was sent at least once and never answered; how long it was waited for is a latency too."""
        self.last_outcome = now
        tally = self._tally(flight.request)
        tally.unclear[kind] += len(flight.request.ids)
        tally.latency.record(now - flight.due)
        self.log.unclear(flight.request.ids)

    def unsent(self, request: Request, due: float, now: float) -> None:
        """Counts a request that found no connection in time. It was never sent, so its ids are in no file of the log."""
        tally = self._tally(request)
        tally.unsent += len(request.ids)
        tally.latency.record(now - due)

    def close_second(self) -> None:
        """Ends a second: what was settled since the last call belongs to it, whenever it was due."""
        self.measured.add(self._second)
        self.warmup.add(self._second_warmup)
        self.seconds += 1
        if self._on_second is not None:
            self._on_second(self._second, self._second_warmup)
        self._second, self._second_warmup = Tally(), Tally()

    def total(self) -> Tally:
        """Returns the tally of the whole run with its warm-up: what the log holds."""
        both = Tally()
        both.add(self.warmup)
        both.add(self.measured)
        return both

    def _tally(self, request: Request) -> Tally:
        return self._second if request.at >= self._warmup_s else self._second_warmup


def rejected_indexes(body: bytes) -> set[int] | None:
    """Returns which events of an array an answer names as rejected, or None if it is no such answer."""
    try:
        return {item.index for item in msgspec.json.decode(body, type=_ArrayAnswer).rejected}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Rejected(msgspec.Struct):
    index: int


class _ArrayAnswer(msgspec.Struct):
    rejected: list[_Rejected]
