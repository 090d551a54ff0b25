"""States what a visit is and what its numbers mean: docs/visits.md as plain Python, for tests to compare Forebay with.

It is slow and simple on purpose: lists are looked through from end to end, and nothing is kept from one question to the
next. It imports nothing of Forebay. Times are unix ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE = 60_000
GAP = 30 * MINUTE
REMEMBERED = 35 * MINUTE
BOUNCE_ENGAGED_MS = 10_000
SILENT = ("engagement", "vitals", "identify", "alias", "group")  # no acts: nobody did something there


class Event(NamedTuple):
    """Holds one event of a site, as it arrives. `client` is who sent it: an address and a browser."""

    client: str
    ts: int
    received: int
    name: str = "pageview"
    hostname: str = "a.example"
    path: str = "/"
    query: str = ""
    referrer: str = ""
    source: str = ""
    utm_medium: str = ""
    engaged_ms: int = 0
    scroll_pct: int = 0
    bot: str = ""
    id: str = ""


@dataclass
class Session:
    """Holds the events that belong together. Its id is the second it began, and the visitor that opened it."""

    id: int
    last_block: int = 0
    visitors: list[int] = field(default_factory=list)  # of each event
    events: list[Event] = field(default_factory=list)


class Block(NamedTuple):
    """Holds events that are stored together, in the order in which they arrived. `at` is when the last of them did."""

    at: int
    events: Sequence[Event]


def midnight_before(moment: int, zone: ZoneInfo) -> int:
    """Returns when the local day began that holds this moment."""
    local = datetime.fromtimestamp(moment / 1000, zone)
    return int(datetime.combine(local.date(), time(), zone).timestamp() * 1000)


def days_of(event: Event, zone: ZoneInfo) -> tuple[int, int | None]:
    """Returns the local day under whose salt the client is hashed, and the other one around midnight, each by its beginning.

    It is the day of receipt. In the first 30 minutes of a day Forebay still has the salt of the day before, and takes
    that one for an event that happened before midnight.
    """
    today = midnight_before(event.received, zone)
    if event.received - today >= GAP:
        return today, None
    yesterday = midnight_before(today - 1, zone)
    return (yesterday, today) if event.ts < today else (today, yesterday)


def sessions_of(blocks: Iterable[Block], zone: ZoneInfo, number: Callable[[str, int], int]) -> list[Session]:
    """Returns the sessions of one site. `number` gives the visitor of a client on a local day."""
    sessions: list[Session] = []
    seen: set[str] = set()
    for block in blocks:
        for event in block.events:
            # An event that comes again with the same id is not stored again.
            if event.id and event.id in seen:
                continue
            seen.add(event.id)
            day, other_day = days_of(event, zone)
            visitor = number(event.client, day)
            other = None if other_day is None else number(event.client, other_day)
            # It joins a session with an event of the same visitor (around midnight, of either day's) that lies at most
            # 30 minutes before or after it, and that was touched by a block of the last 35 minutes. Of several it
            # joins the one that began last.
            fitting = [
                session
                for session in sessions
                if (visitor in session.visitors or other in session.visitors)
                and min(one.ts for one in session.events) - GAP
                <= event.ts
                <= max(one.ts for one in session.events) + GAP
                and block.at - session.last_block <= REMEMBERED
            ]
            if fitting:
                session = max(fitting, key=lambda one: one.id)
            else:
                session = Session(event.ts // 1000 << 32 | visitor & 0xFFFFFFFF)
                sessions.append(session)
            session.last_block = block.at
            session.visitors.append(visitor)
            session.events.append(event)
    return sessions


class Visit(NamedTuple):
    """Holds the numbers of one session, in the order of the columns that the test asks for."""

    id: int
    visitor: int
    bot: str
    is_visit: bool
    started_at: int
    ended_at: int
    seconds: int
    events: int
    pageviews: int
    custom_events: int
    engaged_ms: int
    is_bounce: bool
    entry_hostname: str
    entry_path: str
    exit_hostname: str
    exit_path: str
    source: str
    referrer: str
    query: str
    utm_medium: str
    first_visitor: int
    last_visitor: int
    first_active_at: int
    last_active_at: int


def visit_of(session: Session) -> Visit:
    """Returns the numbers of a session."""
    events = session.events
    started, ended = min(one.ts for one in events), max(one.ts for one in events)
    pageviews = [one for one in events if one.name == "pageview"]
    custom = [one for one in events if one.name not in ("pageview", *SILENT)]
    engaged = sum(one.engaged_ms for one in events)
    # The visitor of a visit is that of its first event: over midnight, the one of the day it began.
    _, visitor = min((one.ts, visitor) for one, visitor in zip(events, session.visitors, strict=True))
    # The entry is the first pageview, the exit the last. Of several at the same moment, paths in the order of their
    # bytes decide; and if those are equal too, each further value by itself does.
    entry = min(((one.ts, one.path) for one in pageviews), default=(0, ""))
    leave = max(((one.ts, one.path) for one in pageviews), default=(0, ""))
    # Where a visit came from is what its first pageview says, or its first event if it has no pageview.
    first = min((one.ts, one.path) for one in pageviews or events)
    firsts = [one for one in pageviews or events if (one.ts, one.path) == first]
    # Who it counts as a visitor: of its events that make somebody one, the first and the last say it.
    seen = [(one.ts, who) for one, who in zip(events, session.visitors, strict=True) if is_seen(one)]
    return Visit(
        id=session.id,
        visitor=visitor,
        # A bot's: when any of the events is.
        bot=max(one.bot for one in events),
        # A session of nothing but engagement and vitals is no visit: somebody looked at an old tab again. Its time
        # counts for its page, and for no visit.
        is_visit=bool(pageviews or custom),
        started_at=started,
        ended_at=ended,
        # The duration goes from the first event to the last, whatever they are, in seconds of the clock.
        seconds=ended // 1000 - started // 1000,
        events=len(events),
        pageviews=len(pageviews),
        custom_events=len(custom),
        engaged_ms=engaged,
        # One page was seen, nothing was done, and it was looked at for less than ten seconds in all.
        is_bounce=len(pageviews) == 1 and not custom and engaged < BOUNCE_ENGAGED_MS,
        entry_hostname=min((one.hostname for one in pageviews if (one.ts, one.path) == entry), default=""),
        entry_path=entry[1],
        exit_hostname=max((one.hostname for one in pageviews if (one.ts, one.path) == leave), default=""),
        exit_path=leave[1],
        source=min(one.source for one in firsts),
        referrer=min(one.referrer for one in firsts),
        query=min(one.query for one in firsts),
        utm_medium=min(one.utm_medium for one in firsts),
        first_visitor=min(seen, default=(0, 0))[1],
        last_visitor=max(seen, default=(0, 0))[1],
        first_active_at=min(seen, default=(0, 0))[0],
        last_active_at=max(seen, default=(0, 0))[0],
    )


def is_seen(event: Event) -> bool:
    """Tells whether an event makes its client a visitor: a person did something."""
    return not event.bot and event.name not in SILENT


class Page(NamedTuple):
    """Holds the numbers of one page in one session: time on page is the sum, scroll depth the maximum."""

    session: int
    hostname: str
    path: str
    pageviews: int
    engaged_ms: int
    scroll_pct: int


def pages_of(session: Session) -> list[Page]:
    """Returns the pages of a session of people, also of one that is no visit."""
    if any(one.bot for one in session.events):
        return []
    pages = []
    for hostname, path in sorted({(one.hostname, one.path) for one in session.events}):
        here = [one for one in session.events if (one.hostname, one.path) == (hostname, path)]
        views, engaged = sum(one.name == "pageview" for one in here), sum(one.engaged_ms for one in here)
        pages.append(Page(session.id, hostname, path, views, engaged, max(one.scroll_pct for one in here)))
    return pages


def visitors_of_days(sessions: Iterable[Session], zone: ZoneInfo) -> dict[str, int]:
    """Returns how many visitors a site had on each local day: people who did something on it."""
    days: dict[str, set[int]] = {}
    for session in sessions:
        for event, visitor in zip(session.events, session.visitors, strict=True):
            if is_seen(event):
                day = datetime.fromtimestamp(event.ts / 1000, zone).date()
                days.setdefault(str(day), set()).add(visitor)
    return {day: len(visitors) for day, visitors in days.items()}
