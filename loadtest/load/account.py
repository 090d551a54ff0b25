"""What became of each request: into the acknowledgement log by id, into the tallies by number.

Every event of a run ends in exactly one place: acknowledged, refused (rejected ones among
them), unclear, or unsent. The first three are in the log, so the log and the numbers agree
with each other whatever the server says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from loadtest.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.load.acklog import AckLog
    from loadtest.load.generate import Request

WAITED_S = 0.001  # a connection that became free later than this was waited for


class Flight(NamedTuple):
    """A request on its way, or waiting to be sent again. Ordered by when it is to be sent."""

    send_at: float
    due: float  # when it was first to be sent; latency counts from here
    attempt: int
    request: Request


class Account:
    """Times are `time.perf_counter` seconds."""

    def __init__(
        self, log: AckLog, *, warmup_s: int = 0, on_second: Callable[[Tally, Tally], None] | None = None
    ) -> None:
        """`on_second` gets what was settled in each second: of the requests measured, and of the warm-up's."""
        self.log = log
        self.seconds = 0  # that were closed
        self.warmup = Tally()  # requests due in the first `warmup_s` seconds
        self.measured = Tally()  # and all others
        self.last_outcome = 0.0
        self._warmup_s = warmup_s
        self._on_second = on_second
        self._second = Tally()  # what was settled since the last second's end, by the same two kinds
        self._second_warmup = Tally()

    def sent(self, flight: Flight, free_since: float) -> None:
        """`free_since`: when the connection it took had become free."""
        tally = self._tally(flight.request)
        if flight.attempt:
            tally.resent += 1
            return
        tally.sent += 1
        tally.lag.record(flight.send_at - max(flight.due, free_since))
        if free_since > flight.due + WAITED_S:
            tally.waited += 1

    def answered(self, flight: Flight, now: float) -> None:
        """An answer of whatever kind: the server's own time."""
        tally = self._tally(flight.request)
        tally.answered += 1
        tally.service.record(now - flight.send_at)

    def acknowledged(self, flight: Flight, body: bytes, now: float) -> None:
        """2xx: the server owes every event that the answer does not name as rejected."""
        self.last_outcome = now
        tally = self._tally(flight.request)
        tally.latency.record(now - flight.due)
        ids = flight.request.ids
        if body and len(ids) > 1:
            rejected = rejected_indexes(body)
            if rejected is None:
                tally.odd_answers += 1  # it said 2xx and named nobody: it owes them all
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
        """Sent at least once, and nobody knows; how long that took is a latency too."""
        self.last_outcome = now
        tally = self._tally(flight.request)
        tally.unclear[kind] += len(flight.request.ids)
        tally.latency.record(now - flight.due)
        self.log.unclear(flight.request.ids)

    def unsent(self, request: Request, due: float, now: float) -> None:
        """No connection in time: offered, never sent, so in no file of the log."""
        tally = self._tally(request)
        tally.unsent += len(request.ids)
        tally.latency.record(now - due)

    def close_second(self) -> None:
        """What was settled since the last call is a second's, whatever second it was due in."""
        self.measured.add(self._second)
        self.warmup.add(self._second_warmup)
        self.seconds += 1
        if self._on_second is not None:
            self._on_second(self._second, self._second_warmup)
        self._second, self._second_warmup = Tally(), Tally()

    def total(self) -> Tally:
        """The whole run, the warm-up too: what the log holds."""
        both = Tally()
        both.add(self.warmup)
        both.add(self.measured)
        return both

    def _tally(self, request: Request) -> Tally:
        return self._second if request.at >= self._warmup_s else self._second_warmup


def rejected_indexes(body: bytes) -> set[int] | None:
    """Which events of an array the answer names as rejected; None when it is no such answer."""
    try:
        return {item.index for item in msgspec.json.decode(body, type=_ArrayAnswer).rejected}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Rejected(msgspec.Struct):
    index: int


class _ArrayAnswer(msgspec.Struct):
    rejected: list[_Rejected]
