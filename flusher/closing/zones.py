"""Reads the time zones of the sites, as the dashboard knows them (dashboard/sites/records.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flusher.closing.closing import Zones
from flusher.delivery.table import Unclear
from runtime import redis, zones
from schemas.host import is_site_name, site_name
from schemas.redis.keys import SITES_KEY
from schemas.site import RegisteredSite

ANY = "*"


class SiteZones:
    """Reads the zones of registered sites. Takes the settings `sites` (as `named`) and `timezone`, the zone of all other sites."""

    def __init__(
        self, client: redis.Redis, *, named: Sequence[str], timezone: str, now: Callable[[], float] = time.time
    ) -> None:
        self._redis = client
        self._takes_any = ANY in named
        self._named = frozenset(site_name(name) for name in named if name != ANY)
        self._timezone = timezone
        self._now = now

    async def __call__(self) -> Zones:
        """Returns the zones in force now. A record that can't be read has the zone of the settings. Raises Unclear."""
        try:
            records: Mapping[Any, Any] = await self._redis.hgetall(SITES_KEY)
        except (redis.RedisError, OSError) as error:
            raise Unclear(f"the sites can't be read: {error}") from error
        found = {}
        for name, value in records.items():
            site = site_name(name.decode("utf-8", "replace"))
            try:
                record = RegisteredSite.decode(value)
            except (ValueError, RecursionError):
                continue
            is_taken = site in self._named or (self._takes_any and is_site_name(site))
            zone = record.zone_at(int(self._now()), is_taken_unregistered=is_taken)
            if zone is not None and zone in zones.names():
                found[site] = zone
        return Zones(found, self._timezone)
