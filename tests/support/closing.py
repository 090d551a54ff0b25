"""Closes days of sites as the flusher does, and at once: the visits of every second day, so that each question reads copies and rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from flusher.closing.closing import Closing, Due, Zones, batches
from flusher.delivery.table import Table

ZONES = {
    "hand.example": "Asia/Kathmandu",
    "shop.example": "Europe/Berlin",
    "la.example": "America/Los_Angeles",
    "auckland.example": "Pacific/Auckland",
}


def closing(
    url: str, zones: Mapping[str, str] = ZONES, others: str = "UTC", now: Callable[[], float] = time.time
) -> Closing:
    """Returns what copies days of the ClickHouse at this URL."""

    async def known() -> Zones:
        return Zones(zones, others)

    table = Table.connect(url, user="default", password="", timeout_seconds=120)
    return Closing(lambda: table, zones=known, is_mine=lambda: True, now=now)


def close_days(
    url: str,
    wanted: Callable[[Due], bool] = lambda one: one.day % 2 == 0,
    zones: Mapping[str, str] = ZONES,
    now: Callable[[], float] = time.time,
) -> int:
    """Copies the wanted days that have no true copy. Returns how many are noted."""

    async def closed() -> int:
        works = closing(url, zones, now=now)
        due = [one for one in await works.due() if wanted(one)]
        return sum([await works.close(batch) for batch in batches(due)])

    return asyncio.run(closed())


def sweep_twice(url: str) -> int:
    """Sweeps as often as it takes until copies that do not count are gone. Returns how many were deleted."""

    async def swept() -> int:
        works = closing(url)
        return sum([await works.sweep(before=4e9) for _ in range(2)])

    return asyncio.run(swept())
