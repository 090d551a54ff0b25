"""Counts the fates of events that are not taken, for the metrics and for `forebay site list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ingest.collect.events import Events, Others
from ingest.collect.geolocation import Geolocation
from ingest.collect.rejections import Rejections
from ingest.collect.sites import Sites
from ingest.fates import Reason, Shed
from schemas.site_keys import name_or_key


class Counters(Protocol):
    """Counts the fates of events. A site of "" is one that we don't know."""

    def rejected(self, site: str, reason: Reason, events: int = 1) -> None: ...
    def shed(self, reason: Shed, events: int) -> None: ...
    def unsupported(self, dialect: str, name: str) -> None: ...
    def properties_dropped(self, properties: int) -> None: ...
    def country_unknown(self, source: str, events: int) -> None: ...


class Tally:
    """Counts each rejected event twice: for the metrics by its site, and for `forebay site list` by the site that it names."""

    def __init__(self, counters: Counters, rejections: Rejections, sites: Sites, geolocation: Geolocation) -> None:
        self._counters = counters
        self._rejections = rejections
        self._sites = sites
        self._geolocation = geolocation

    def judged(self, groups: Sequence[Events], others: Others) -> None:
        """Counts what was not taken of these events and of what stood among them, and what was not taken of each."""
        for events in groups:
            if events.properties_dropped:
                self._counters.properties_dropped(events.properties_dropped)
            if len(events) and (unknown := events.row["country"].count("")):
                self._counters.country_unknown(self._geolocation.source, unknown)
            for rejection in events.rejections:
                self._reject(rejection.site, rejection.reason)
        for exchange, items in others.items():
            for item in items.values():
                if isinstance(item, Reason):
                    self._reject("", item)
                elif exchange.dialect is not None:
                    self._counters.unsupported(exchange.dialect.name, item.name)

    def refused(self, reason: Reason, events: int, site: str = "") -> None:
        """Counts the events of a request that is refused as a whole."""
        self._reject(site, reason, events)

    def shed(self, reason: Shed, events: int) -> None:
        self._counters.shed(reason, events)

    def _reject(self, name: str, reason: Reason, events: int = 1) -> None:
        """Counts events under the site that we know, and notes them under the one that they name."""
        site = self._sites.resolve(name)
        self._counters.rejected(site.name if site else "", reason, events)
        self._rejections.note(site.name if site else name_or_key(name), reason.value, events)
