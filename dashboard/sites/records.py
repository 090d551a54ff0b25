"""Knows the sites, with their zones, goals, funnels, segments and annotations, as Redis has them.

Each request calls `read` first, which reads the records again if they are a second old. So an installation that nobody looks at costs
nothing. While Redis can't be read, the records stay as they were. So does a single record that can't be read, because old goals are
better than none.

The sites are the same as ingest's (ingest/collect/sites.py): those that are registered, those of the setting `sites`, and, if that
has a `*`, any name that a site can have. Only registered sites have goals and funnels.

Not promised: that a site has events.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from dashboard.catalogue.contract import Away
from runtime import redis, zones
from schemas.host import is_site_name, site_name
from schemas.redis.keys import NOTES_KEY, SITES_KEY
from schemas.site import RegisteredSite, SiteNotes

ANY = "*"
READ_SECONDS = 1.0  # between two looks
NOBODY = RegisteredSite()
NO_NOTES = SiteNotes()

T = TypeVar("T", RegisteredSite, SiteNotes)
logger = logging.getLogger(__name__)


class SiteView(msgspec.Struct, frozen=True, kw_only=True):
    """Holds all that is known of a site. `zone` is the name of the time zone in force now."""

    name: str
    zone: str
    is_registered: bool
    record: RegisteredSite
    notes: SiteNotes


class Sites:
    """Finds sites, and says what each of them has."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        named: Sequence[str],
        timezone: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Takes the settings `sites` (as `named`) and `timezone`, the zone of sites without one of their own."""
        self._redis = client
        self._takes_any = ANY in named
        self._named = frozenset(site_name(name) for name in named if name != ANY)
        self._timezone = timezone
        self._now = now
        self._raw: tuple[Mapping[str, bytes], Mapping[str, bytes]] = ({}, {})
        self._records: Mapping[str, RegisteredSite] = {}
        self._notes: Mapping[str, SiteNotes] = {}
        self._reading = asyncio.Lock()
        self._looked_at = 0.0
        self._is_away = False
        self.read_at = 0.0  # unix s of the last look that succeeded; 0 before the first

    async def read(self) -> None:
        """Reads the records if the last look was a second ago. Raises Away if Redis was never read, and can't be now."""
        async with self._reading:
            if not 0 <= self._now() - self._looked_at < READ_SECONDS:
                await self._read_quietly()
        if not self.read_at:
            raise Away("Redis does not answer, so the sites are not known; try again.")

    async def _read_quietly(self) -> None:
        now = self._now()
        try:
            await self.refresh()
            if self._is_away:
                logger.info("the sites are read again")
            self._is_away = False
        except (redis.RedisError, OSError) as error:
            if not self._is_away:
                logger.warning("the sites can't be read, so they stay as they were: %s", error)
            self._is_away = True
        self._looked_at = now  # not before: whoever asked may leave meanwhile, and then nobody has looked

    async def refresh(self) -> None:
        """Reads the records. Raises redis.RedisError or OSError; then everything stays as it was."""
        records, notes = [_by_name(await self._redis.hgetall(key)) for key in (SITES_KEY, NOTES_KEY)]
        before, notes_before = self._raw
        if records != before:
            self._records = _read(records, before, self._records, RegisteredSite.decode)
        if notes != notes_before:
            self._notes = _read(notes, notes_before, self._notes, SiteNotes.decode)
        self._raw = (records, notes)
        self.read_at = self._now()

    def get(self, name: str) -> SiteView | None:
        """Returns the site of this name; None if there is none. `name` may have capitals, `www.` and a final dot."""
        normal = site_name(name)
        record = self._records.get(normal)
        is_taken_unregistered = normal in self._named or (self._takes_any and is_site_name(normal))
        if record is None and not is_taken_unregistered:
            return None
        return SiteView(
            name=normal,
            zone=self._zone(record or NOBODY, is_taken_unregistered),
            is_registered=record is not None,
            record=record or NOBODY,
            notes=self._notes.get(normal, NO_NOTES),
        )

    def names(self) -> list[str]:
        """Returns the names of all sites that are registered or named in the settings, in order."""
        return sorted({*self._records, *self._named})

    @property
    def takes_any(self) -> bool:
        """Tells whether events of sites that nobody named are accepted, so that there may be more than `names` says."""
        return self._takes_any

    def zone_of(self, name: str) -> str:
        """Returns the name of the zone in which a site's days are counted; of an unknown site that of the settings."""
        site = self.get(name)
        return self._timezone if site is None else site.zone

    def _zone(self, record: RegisteredSite, is_taken_unregistered: bool) -> str:
        zone = record.zone_at(int(self._now()), is_taken_unregistered=is_taken_unregistered)
        return zone if zone is not None and zone in zones.names() else self._timezone


def _by_name(found: Mapping[Any, Any]) -> dict[str, bytes]:
    return {site_name(name.decode("utf-8", "replace")): value for name, value in found.items()}


def _read(
    found: Mapping[str, bytes], before: Mapping[str, bytes], was: Mapping[str, T], decode: Callable[[bytes], T]
) -> dict[str, T]:
    """Returns the decoded values. One that can't be read stays as it was, and is logged once."""
    read: dict[str, T] = {}
    for name, value in found.items():
        if name in was and before.get(name) == value:
            read[name] = was[name]
            continue
        try:
            read[name] = decode(value)
        except (ValueError, RecursionError):
            if before.get(name) != value:
                logger.warning("site %s: its entry in Redis can't be read, so it stays as it was", name)
            if name in was:
                read[name] = was[name]
    return read
