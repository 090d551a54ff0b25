"""Says what befalls the pages of a delivery run: each cause with its share of the events, and how its pages end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tests.sdks.relay import Fault, Way

EVENTS_A_PAGE = 5  # a pageview and four calls
FOR_EVER = (Fault(Way.LOSE),) * 1_000


class End(Enum):
    """Names how a page ends."""

    ANSWERED = "answered"  # its visitor leaves when all of its events are answered
    CLOSED = "closed"  # its tab is closed as soon as its last event is made
    KILLED = "killed"  # the process that draws it is killed as soon as its last event is made
    OFFLINE = (
        "offline"  # it is closed while no request gets through; its visitor comes back later, and opens another page
    )


@dataclass(frozen=True)
class Cause:
    """Describes what befalls a page. Every second page has `faults_of_others`, if there are any."""

    name: str
    percent: int  # of the events; 0 is beside the mix
    end: End
    faults: tuple[Fault, ...] = ()
    faults_of_others: tuple[Fault, ...] = ()
    keeps_queue: bool = False
    is_deliverable: bool = True  # by a browser, with what the page has switched on

    def faults_at(self, number: int) -> tuple[Fault, ...]:
        return self.faults_of_others if number % 2 and self.faults_of_others else self.faults


AWAY = (Fault(Way.REFUSE, 503),)
CAUSES: Sequence[Cause] = (
    Cause("plain", 70, End.ANSWERED),
    Cause("failed requests", 10, End.ANSWERED, (Fault(Way.LOSE),) * 2),
    Cause("503 for a while", 5, End.ANSWERED, AWAY * 3),
    Cause("connection cut after the body", 5, End.ANSWERED, (Fault(Way.CUT),)),
    Cause("tab closed", 5, End.CLOSED, faults_of_others=AWAY),
    Cause("renderer killed", 5, End.KILLED, faults_of_others=AWAY),
    Cause("closed offline, queue kept", 0, End.OFFLINE, FOR_EVER, keeps_queue=True),
    Cause("closed offline", 0, End.OFFLINE, FOR_EVER, is_deliverable=False),
)
BESIDE = 50  # events in each row beside the mix, of 1 000 in it


def pages_of(cause: Cause, events: int) -> int:
    """Returns how many pages of this cause make so many events in all; one at least."""
    share = events * cause.percent // 100 if cause.percent else events * BESIDE // 1_000
    return max(1, share // EVENTS_A_PAGE)
