"""Names a visitor for one day: by a keyed hash of site, address and user agent under that day's salt.

How it works (docs/data-model.md; I8). Each UTC day has a random salt. Tomorrow's is fetched from
23:00 on, so that no process reaches midnight without one. In the first 30 minutes of a day a row
also carries the visitor under yesterday's salt, and the flusher keeps that one if its session is
still open. So a salt is needed for 25.5 hours, is dropped after 26, and is gone long before the 48
that I8 allows. Afterwards it is impossible, for us too, to tell whether two hashes of different
days were one person.

Clients are distinguished by site, address and user agent, joined by NUL, which the first two cannot
contain, so that two clients never come to the same bytes. An address is hashed as `client_ip`
says (of IPv6: its /64). Of an anonymised client only the site is hashed, so all of them are one
visitor a day. A client whose SDK numbers it is known by that number, permanently, under the
installation's key.

Not promised: that one person is one visitor. Two browsers are two; an office behind one address
with equal browsers is one.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Protocol

log = logging.getLogger(__name__)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BEFORE_MS = 30 * 60_000  # a session's gap: an older one can't still be open
KEPT_MS = HOUR_MS  # of a new day, yesterday's salt: BEFORE_MS, and room for a slow clock
NEXT_FROM_MS = 23 * HOUR_MS
VISITOR_BYTES = 8
NO_PAIR = (blake2b(), None)


class SaltSource(Protocol):
    """Lets the processes of an installation agree on salts."""

    async def salts(self, days: Sequence[str], known: Mapping[str, bytes]) -> dict[str, bytes]:
        """Returns the salts of these days (YYYY-MM-DD), makes those that are missing, and gives every caller the same.

        Each has 16 to 64 random bytes and expires 48 hours after it was made. Raises if the
        source can't be reached.
        """
        ...


class SaltMissing(Exception):
    """Says that there is no salt for this moment: the process is not ready to take events."""


class Salts:
    """Holds the salts that are needed around now."""

    def __init__(self, *, source: SaltSource, now_ms: Callable[[], int]) -> None:
        self._source = source
        self._now_ms = now_ms
        self._by_day: dict[str, bytes] = {}
        self._pair: tuple[blake2b, blake2b | None] = NO_PAIR
        self._pair_from = self._pair_upto = 0  # unix ms between which the pair is right
        self.ended: list[Callable[[], None]] = []  # called when a salt is dropped, or is another one

    def __repr__(self) -> str:
        return f"<Salts of {', '.join(sorted(self._by_day)) or 'no day'}>"  # never the salts

    @property
    def days(self) -> list[str]:
        """Returns the days whose salts are in memory."""
        return sorted(self._by_day)

    @property
    def is_ready(self) -> bool:
        return _day(self._now_ms()) in self._by_day

    async def refresh(self) -> None:
        """Drops the salts that are over, then agrees with the source on the others. Call it every few seconds.

        A source that was emptied gets our salts back; if another process was faster, its salts count
        from now on. Raises what the source raises, and even then the old salts were dropped.
        """
        days = wanted(self._now_ms())
        self._drop(days)
        found = await self._source.salts(days, self._by_day)
        for day in days:
            salt, ours = found.get(day), self._by_day.get(day)
            if salt and salt != ours:
                if ours:
                    log.critical("another salt for %s: Redis was emptied; today's visitors count anew", day)
                self._by_day[day] = salt
                self._forget()
        self._drop(wanted(self._now_ms()))

    def at(self, moment_ms: int) -> tuple[blake2b, blake2b | None]:
        """Returns a hash keyed with today's salt, and in the first 30 minutes one with yesterday's. Raises SaltMissing.

        They are kept because copying a keyed hash takes 0.7 of the time of keying one.
        """
        if not self._pair_from <= moment_ms < self._pair_upto:
            self._choose(moment_ms)
        return self._pair

    def _choose(self, moment_ms: int) -> None:
        salt = self._by_day.get(_day(moment_ms))
        if salt is None:
            raise SaltMissing(_day(moment_ms))
        midnight = moment_ms - moment_ms % DAY_MS
        if moment_ms - midnight < BEFORE_MS:
            before = self._by_day.get(_day(midnight - 1))
            self._pair_from, self._pair_upto = midnight, midnight + BEFORE_MS
        else:
            before = None
            self._pair_from, self._pair_upto = midnight + BEFORE_MS, midnight + DAY_MS
        self._pair = (keyed(salt), keyed(before) if before else None)

    def _drop(self, days: Sequence[str]) -> None:
        over = set(self._by_day) - set(days)
        for day in over:
            del self._by_day[day]
        if over:
            self._forget()

    def _forget(self) -> None:
        """Forgets what was made with the salts, here and wherever it was remembered."""
        self._pair, self._pair_from, self._pair_upto = NO_PAIR, 0, 0
        for forget in self.ended:
            forget()


class Visitors:
    """Hashes clients."""

    def __init__(self, *, salts: Salts, shard_key: int) -> None:
        self.salts = salts
        self._owned = keyed(shard_key.to_bytes(VISITOR_BYTES, "big"))

    def of(self, client: bytes, moment_ms: int) -> tuple[int, int]:
        """Returns the visitor that this client is at that moment, and who it was under yesterday's salt, or 0.

        Raises SaltMissing.
        """
        today, before = self.salts.at(moment_ms)
        return hashed(client, today), hashed(client, before) if before is not None else 0

    def owned(self, client: bytes) -> int:
        """Returns the visitor that a client is which its SDK numbers."""
        return hashed(client, self._owned)


def traits_of(address: str, user_agent: bytes) -> bytes:
    """Returns by what a client is distinguished from others of its site, as `client_of` takes it."""
    return f"\0{address}\0".encode() + user_agent


def client_of(site: str, traits: bytes) -> bytes:
    """Returns the bytes by which a client is distinguished from all others."""
    return site.encode() + traits


def anonymous_client(site: str) -> bytes:
    """Returns the bytes that all clients of a site share which asked not to be distinguished."""
    return f"{site}\0".encode()


def owned_client(site: str, visitor: str) -> bytes:
    """Returns the bytes of a client that its SDK numbers. They can't be another client's, because no address is "id"."""
    return f"{site}\0id\0{visitor}".encode()


def keyed(salt: bytes) -> blake2b:
    return blake2b(digest_size=VISITOR_BYTES, key=salt)


def hashed(client: bytes, salted: blake2b) -> int:
    """Returns 64 bits, which are never 0, because 0 stands for no visitor."""
    digest = salted.copy()
    digest.update(client)
    return int.from_bytes(digest.digest(), "big") or 1


def wanted(moment_ms: int) -> list[str]:
    """Returns the days whose salts a process holds at this moment."""
    into = moment_ms % DAY_MS
    days = [_day(moment_ms)]
    if into < KEPT_MS:
        days.append(_day(moment_ms - DAY_MS))
    if into >= NEXT_FROM_MS:
        days.append(_day(moment_ms + DAY_MS))
    return days


def _day(moment_ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=moment_ms // DAY_MS)).strftime("%Y-%m-%d")


def shard_of(client: bytes, key: int, shards: int) -> int:
    """Returns the shard of a client under the installation's key, which never changes.

    It is CRC-32, seeded with that key: a client stays on its shard over midnight, although its visitor changes. The value is
    reduced before it is kept, so log2(shards) bits of it survive (I8).
    """
    return zlib.crc32(client, key) % shards if shards > 1 else 0
