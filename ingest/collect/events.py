"""Holds the events of a commit as columns: what their clients said, and what collecting makes of it.

A step (steps.py) fills whole columns, or rejects single events. Rejected events leave all columns at once, before the
next step, so every column has one value for each event that is still there, in the same order.

Not promised: that a column is a list. Steps make new ones, and change none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, NamedTuple

import msgspec

from ingest.collect.exchange import Exchange, Sender
from ingest.collect.places import Place
from ingest.collect.url import Location
from ingest.dialects.contract import Dialect, Unsupported
from ingest.dialects.event import Event, Revenue
from ingest.fates import Reason
from schemas.row import COLUMNS

FIELDS = Event.__struct_fields__
Others = dict[Exchange, dict[int, Reason | Unsupported]]  # the items that did not become events, by their position


class Said:
    """Holds a column for each field of `Event`, under its name. None stands for what a client did not say."""

    name: Sequence[str | None]
    url: Sequence[str | None]
    site: Sequence[str | None]
    referrer: Sequence[str | None]
    title: Sequence[str | None]
    language: Sequence[str | None]
    screen: Sequence[tuple[float, float] | None]
    props: Sequence[dict[str, Any] | list[Any] | None]
    revenue: Sequence[Revenue | None]
    engaged_ms: Sequence[float | None]
    scroll_pct: Sequence[float | None]
    vitals: Sequence[dict[str, float | None] | list[Any] | None]
    id: Sequence[str | None]
    ts: Sequence[float | str | None]
    sent_at: Sequence[float | str | None]
    user: Sequence[str | None]
    visitor: Sequence[str | None]
    session: Sequence[str | None]
    ip: Sequence[str | None]
    user_agent: Sequence[str | None]
    auto: Sequence[Any]

    def __init__(self, events: Iterable[Event]) -> None:
        self.__dict__.update(zip(FIELDS, zip(*map(msgspec.structs.astuple, events), strict=True), strict=True))


class Rejection(NamedTuple):
    """Holds an event that was rejected: whose it is, its position in its request, and the site that it named."""

    owner: Exchange
    position: int
    reason: Reason
    site: str


class Events:
    """Holds the events of one dialect in a commit, and the columns of their rows under the names of the table's columns.

    All of them came with a server key (`have_key`), or none did.
    """

    def __init__(
        self, dialect: Dialect, events: Sequence[Event], owner: Sequence[Exchange], position: Sequence[int]
    ) -> None:
        """Takes at least one event, and for each the request that brought it and its position there."""
        self.have_key = owner[0].key is not None
        # Of events with a server key: who each of them says that its sender is (named_senders.py).
        self.sender: Sequence[Sender] = [one.asked.sender for one in owner if one.asked.sender] if self.have_key else ()
        self.dialect = dialect
        self.said = Said(events)
        self.owner = owner
        self.position = position
        self.location: Sequence[Location | None] = ()  # None where the URL makes no sense, or there is none
        self.place: Sequence[Place] = ()
        self.is_hidden: Sequence[bool] = ()  # whether its visitor is anonymous
        self.referrer_host: Sequence[str] = ()  # "" where it has none
        self.row: dict[str, Sequence[Any]] = {}
        self.rejections: list[Rejection] = []
        self.properties_dropped = 0
        self._faults: dict[int, Reason] = {}

    def __len__(self) -> int:
        return len(self.owner)

    def reject(self, events: Iterable[int], reason: Reason) -> None:
        """Rejects the events at these places, unless this step has rejected them already."""
        for at in events:
            self._faults.setdefault(at, reason)

    def leave(self) -> None:
        """Takes the events that the last step rejected out of all columns."""
        if not self._faults:
            return
        faults, self._faults = self._faults, {}
        for at, reason in sorted(faults.items()):
            location = self.location[at]
            named = self.said.site[at] or (location.host if location else "")
            self.rejections.append(Rejection(self.owner[at], self.position[at], reason, named))
        stays = [at not in faults for at in range(len(self))]
        for columns in (self.said.__dict__, self.row):
            for name, column in columns.items():
                columns[name] = list(compress(column, stays))
        self.owner = list(compress(self.owner, stays))
        self.position = list(compress(self.position, stays))
        self.location = list(compress(self.location, stays))
        self.place = list(compress(self.place, stays))
        self.sender = list(compress(self.sender, stays))
        self.is_hidden = list(compress(self.is_hidden, stays))
        self.referrer_host = list(compress(self.referrer_host, stays))

    def columns(self) -> list[Sequence[Any]]:
        """Returns the columns of the rows, in the order of the table."""
        return [self.row[name] for name in COLUMNS]


def grouped(taken: Sequence[Exchange], part: slice | None = None) -> tuple[list[Events], Others]:
    """Returns the events of decoded requests, those of each dialect together, and what else is in the requests.

    `part` leaves out all items of a request but these.
    """
    groups: dict[int, tuple[Dialect, list[Event], list[Exchange], list[int]]] = {}
    others: Others = {}
    first = 0 if part is None else part.start
    for exchange in taken:
        decoded, dialect = exchange.decoded, exchange.dialect
        if decoded is None or dialect is None:
            continue
        # Requests with a server key are a group of their own, because their events go through one step more.
        group_id = id(dialect) if exchange.key is None else -id(dialect)
        group = groups.get(group_id)
        if group is None:
            group = groups[group_id] = (dialect, [], [], [])
        _, events, owners, positions = group
        items = decoded.items if part is None else decoded.items[part]
        for at, item in enumerate(items, first):
            if isinstance(item, Event):
                events.append(item)
                owners.append(exchange)
                positions.append(at)
            else:
                others.setdefault(exchange, {})[at] = item
    return [Events(*group) for group in groups.values() if group[1]], others
