"""Adds to what an agent gives away what an event does, and decides by the threshold: the last step of collecting.

The step `agent` has filled the columns with the reasons that follow from a request's head. This adds those of single events:

    automation, window   the tracker's field `auto`: what the page saw of the browser that it runs in
    referrer_spam        the host of the referrer is on the operator's list
    rate                 the visitor looked at more pages in a minute than a person can

A library (or another agent that is not a browser's) that reports a user or a revenue is a server, and no robot that reads pages: its
events lose the reasons that the agent gave, and never have the reason `rate`. Most commits have none of this, and cost a look at each column.

Not promised: that the reasons are the same when a batch is collected again. `rate` depends on what came before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from ingest.collect.events import Events
from ingest.collect.places import Places
from ingest.collect.rate import Rates
from ingest.collect.referrer_spam import ReferrerSpam
from ingest.dialects.event import PAGEVIEW
from schemas.bots import THRESHOLD, BotReason, word
from schemas.row import MINUTE_MS, SENT_BY_LIBRARY

# Plain numbers: an operation on two members of an IntFlag takes 0.5 us.
AUTOMATION, WINDOW = int(BotReason.AUTOMATION), int(BotReason.WINDOW)
REFERRER_SPAM, RATE = int(BotReason.REFERRER_SPAM), int(BotReason.RATE)
# What the agent of a server gives: that of a known library, or one that its programmer made up.
OF_A_SERVER = int(BotReason.LIBRARY) | int(BotReason.NOT_A_BROWSER)
# The tracker's `auto` (docs/events.md): navigator.webdriver, globals of automation, a window of impossible size.
OF_THE_PAGE = {auto: (AUTOMATION if auto & 3 else 0) | (WINDOW if auto & 4 else 0) for auto in range(1, 8)}

Added = dict[int, int]  # bits of reasons, by an event's place in the batch


class Suspicions:
    """Finds the reasons of single events, by the operator's list and by how many pages each visitor looks at."""

    def __init__(
        self, *, threshold: int = THRESHOLD, spam: ReferrerSpam | None = None, rates: Rates | None = None
    ) -> None:
        """Takes the score from which an event is a bot's."""
        self._spam = ReferrerSpam() if spam is None else spam
        self.rates = Rates() if rates is None else rates
        self._word = lru_cache(1 << len(BotReason))(lambda reasons: word(reasons, threshold))

    def judge(self, events: Events, _: Places) -> None:
        """Fills `bot_reasons` and `bot`."""
        added: Added = {}
        served = self._served(events) if any(events.row["bot_reasons"]) else set()
        self._see_page(events, added)
        self._see_referrer(events, added)
        self._see_rate(events, added, served)
        if added or served:
            self._write(events, added, served)

    def _served(self, events: Events) -> set[int]:
        """Returns which events a server sent: those of a library that report a purchase, or what a known person did.

        With a server key all those are which do not name another agent than the request's.
        """
        users, revenues, agents = events.said.user, events.said.revenue, events.said.user_agent
        return {
            at
            for at, reasons in enumerate(events.row["bot_reasons"])
            if reasons
            and not reasons & ~OF_A_SERVER
            and (users[at] or revenues[at] is not None or (events.have_key and not agents[at]))
        }

    def _see_page(self, events: Events, added: Added) -> None:
        said = events.said.auto
        if said.count(None) == len(events):
            return
        for at, auto in enumerate(said):
            if type(auto) is int and auto in OF_THE_PAGE:  # true would be 1
                _add(added, at, OF_THE_PAGE[auto])

    def _see_referrer(self, events: Events, added: Added) -> None:
        if not self._spam:
            return
        hosts = events.referrer_host
        spam = {host for host in set(hosts) if self._spam.is_spam(host)}
        if spam:
            for at, host in enumerate(hosts):
                if host in spam:
                    _add(added, at, REFERRER_SPAM)

    def _see_rate(self, events: Events, added: Added, served: Collection[int]) -> None:
        """Counts pageviews, and notices what too fast visitors send.

        Three kinds of events are not counted: those of anonymous visitors, because they are all one visitor of a site; those that
        servers send; and those that happened more than a minute ago, because a telephone that was offline sends what it kept at once.
        """
        row, count, hidden, rates = events.row, len(events), events.is_hidden, self.rates
        names, visitors, moments, received = row["name"], row["visitor_id"], row["ts"], row["received_at"]
        now = received[-1]
        counted: Sequence[int] = range(count)
        if served or moments is not received or True in hidden or names.count(PAGEVIEW) < count:
            counted = [
                at
                for at in counted
                if names[at] == PAGEVIEW and not hidden[at] and now - moments[at] < MINUTE_MS and at not in served
            ]
            over = rates.count([visitors[at] for at in counted], now)
        else:
            over = rates.count(visitors, now)
        if not rates.is_anybody_fast:
            return
        begins = {visitor: counted[at] for visitor, at in over.items()}
        for at, visitor in enumerate(visitors):
            if rates.is_fast(visitor) and at >= begins.get(visitor, 0) and not hidden[at] and at not in served:
                _add(added, at, RATE)

    def _write(self, events: Events, added: Added, served: Collection[int]) -> None:
        row = events.row
        columns = {name: list(row[name]) for name in ("bot_reasons", "bot", "bot_name", "bot_purpose", "url_flags")}
        reasons = columns["bot_reasons"]
        for at in served:
            columns["url_flags"][at] |= SENT_BY_LIBRARY
            reasons[at] &= ~OF_A_SERVER
            columns["bot_name"][at] = columns["bot_purpose"][at] = ""
        for at, bits in added.items():
            reasons[at] |= bits
        for at in (*served, *added):
            columns["bot"][at] = self._word(reasons[at])
        row.update(columns)


def _add(added: Added, at: int, bits: int) -> None:
    added[at] = added.get(at, 0) | bits
