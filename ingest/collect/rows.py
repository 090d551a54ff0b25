"""Makes the row of an event that has every right to be one: what the client said, and what the server knows.

The values stand in the order of the table's columns (schemas/row.py). Properties and web vitals that the table does not
hold are left out and counted.

Not promised: that the event was judged. `ingest/collect/collector.py` does that first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from ingest.collect.agent import LIBRARY, Agent
from ingest.collect.client_ip import Client
from ingest.collect.sites import Site
from ingest.collect.visitor import Visitor
from ingest.dialects.cors import Pairs
from ingest.dialects.event import VITALS, Event, Limits, flatten, identity
from ingest.fates import Reason
from schemas.row import SENT_BY_LIBRARY, Row

UINT16_MAX, UINT32_MAX = 65_535, 4_294_967_295
PERCENT_MAX = 100
VITAL_MAX = 1e9  # 11 days in milliseconds; what the table holds, Float32, ends at 1e38
NO_PROPS: dict[str, str] = {}  # one object: an entry's column of them is recognised at once
NO_VITALS: dict[str, float] = {}


class Spoken(Protocol):
    """Describes what a row takes from the dialect in which its event came."""

    name: str
    limits: Limits


class Place(msgspec.Struct, frozen=True, gc=False):
    """Holds where a client's events of one site go."""

    site: Site
    visitor: Visitor
    shard: int
    is_anonymous: bool


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Holds what the server knows of who sent a request.

    It follows from the request's head, its peer and the settings, and from nothing that ends: the fast lane remembers
    it with the head (ingest/http/heads.py). So a salt, a visitor or a site has no place here.
    """

    client: Client
    user_agent: bytes
    agent: Agent
    country: str
    is_signalled: bool  # it sent Sec-GPC or DNT
    cors: Pairs


class Arrival(NamedTuple):
    """Holds one request's moment in unix ms, its sender, and the places of its events by the name of their site."""

    received_ms: int
    sender: Sender
    places: dict[str, Place | Reason]


class Said(NamedTuple):
    """Holds what was found of an event while it was judged. `flags` are those of row.url_flags."""

    moment_ms: int
    revenue_e4: int
    page: str
    referrer: str
    flags: int
    dialect: Spoken


class RowMaker:
    """Makes rows, and counts the properties that they can't hold."""

    def __init__(self, dropped: Callable[[int], None]) -> None:
        self._dropped = dropped

    def row(self, event: Event, arrival: Arrival, place: Place, said: Said) -> Row:
        width, height = event.screen or (0, 0)
        props = NO_PROPS
        if event.props:
            assert isinstance(event.props, dict)  # an array is empty (ingest/dialects/event.py)
            props, dropped = flatten(event.props, said.dialect.limits)
            if dropped:
                self._dropped(dropped)
        received_ms, sender, _ = arrival
        agent = sender.agent
        bot, flags = agent.bot, said.flags
        if bot == LIBRARY and (event.user or event.revenue is not None):
            # a shop's server that reports a purchase, or an event of a person it knows, is no robot that reads pages
            bot, flags = "", flags | SENT_BY_LIBRARY
        # 0.5 of the time of Row(name=...): a batch of 50 has no 0.3 us an event to give away
        return Row._make(
            (
                place.site.name,
                event.name or "pageview",
                said.moment_ms,
                received_ms,
                identity(event.id) if event.id else "",
                place.visitor.now,
                place.visitor.before,
                0,
                "" if place.is_anonymous else event.user or "",
                said.page,
                said.referrer,
                flags,
                event.title or "",
                event.language or "",
                within(width, UINT16_MAX),
                within(height, UINT16_MAX),
                said.revenue_e4,
                "" if event.revenue is None else event.revenue.currency.upper(),
                0 if event.engaged_ms is None else within(event.engaged_ms, UINT32_MAX),
                0 if event.scroll_pct is None else within(event.scroll_pct, PERCENT_MAX),
                props,
                NO_VITALS if not event.vitals else self._vitals(event.vitals),
                said.dialect.name,
                bot,
                sender.country,
                agent.browser,
                agent.os,
                agent.device,
            )
        )

    def _vitals(self, said: dict[str, float | None] | list[object]) -> dict[str, float]:
        assert isinstance(said, dict)  # as for props
        measured = {name: value for name, value in said.items() if value is not None}
        kept = {name: value for name, value in measured.items() if name in VITALS and 0 <= value < VITAL_MAX}
        if len(kept) < len(measured):
            self._dropped(len(measured) - len(kept))
        return kept


def within(value: float, most: int) -> int:
    """Returns a whole number from 0 to `most`: ClickHouse lets larger ones wrap around in silence."""
    return 0 if not value > 0 else most if value >= most else int(value)
