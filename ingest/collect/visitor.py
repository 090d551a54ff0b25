"""Names a visitor for one local day of a site: by a keyed hash of site, address and user agent under that day's salt.

How it works (docs/data-model.md; I8). Each second with which a local day begins has a random salt of its own, shared by
all sites whose day begins with it: about 36 a day if there are sites all over the world. A salt is fetched an hour ahead,
so that no process reaches a midnight without one. In the first 30 minutes of its local day a row also carries the visitor
under the salt of the day before, so that the flusher can let a visit go on over midnight. So a salt is needed until half an
hour after its day, and is dropped just before that. Afterwards it is impossible, for us too, to tell whether two hashes of
different days were one person, unless a visit over midnight has rows of both.

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
from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol

from runtime.secret import wipe
from schemas.days import UTC_DAYS, Calendar
from schemas.redis.keys import SALT_AHEAD_SECONDS, SALT_BEHIND_SECONDS, salt_name

log = logging.getLogger(__name__)
VISITOR_BYTES = 8
# A salt leaves memory so long before it must: the tick comes once a second, and a moment late when the loop is busy.
EARLY_SECONDS = 2


class SaltSource(Protocol):
    """Lets the processes of an installation agree on salts."""

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        """Returns the salts of the local days that begin with these unix seconds, and gives every caller the same.

        `until` says of each start when its salt has to be gone. One that is missing is set to the `known` one, or made:
        16 to 64 random bytes, which whoever asked overwrites when they are no longer needed. Left out are those that are over by the source's clock, and those that it can't keep now.
        Raises if the source can't be reached.
        """
        ...


class SaltMissing(Exception):
    """Says that there is no salt for this local day: events of its sites can't be taken."""


class Salted(NamedTuple):
    """Holds what clients are hashed with between two moments (unix ms): under the local day's salt, and the one before."""

    today: blake2b
    before: blake2b | None
    from_ms: int
    upto_ms: int


class Salts:
    """Holds the salts that are needed around now, in the calendars of all sites."""

    def __init__(
        self, *, source: SaltSource, now_ms: Callable[[], int], calendars: Collection[Calendar] = (UTC_DAYS,)
    ) -> None:
        self._source = source
        self._now_ms = now_ms
        self._calendars = frozenset(calendars)
        self._by_start: dict[int, bytearray] = {}
        self._salted: dict[Calendar, Salted] = {}
        # The starts of the days whose salts are needed now, and when each salt has to be gone.
        self._until: dict[int, int] = {}
        self._today: frozenset[int] = frozenset()  # the starts of the days that are under way
        self._from_ms = self._upto_ms = 0  # between which these two are right
        self.ended: list[Callable[[], None]] = []  # called when a salt is dropped, or is another one

    def __repr__(self) -> str:
        return f"<Salts of {', '.join(self.days) or 'no day'}>"  # never the salts

    @property
    def days(self) -> list[str]:
        """Returns the names of the salts that are in memory."""
        return [salt_name(start) for start in sorted(self._by_start)]

    @property
    def is_ready(self) -> bool:
        """Says whether events of some sites can be taken: one zone whose salt is missing must not stop all others."""
        self.tick()
        return any(start in self._by_start for start in self._today)

    async def hold(self, calendars: Collection[Calendar]) -> None:
        """Gets the salts of other calendars, which are used from now on instead of those before.

        Raises what the source raises; then the salts of the calendars before stay in use.
        """
        before, after = self._calendars, frozenset(calendars)
        self._use(before | after)  # both, while events of the sites as they were still come
        held = before
        try:
            await self.refresh()
            held = after
        finally:
            self._use(held)

    async def refresh(self) -> None:
        """Drops the salts that are over, then agrees with the source on the others. Call it every few seconds.

        A source that was emptied gets our salts back; if another process was faster, its salts count
        from now on. Raises what the source raises, and even then the old salts were dropped.
        """
        self.tick()
        wanted = dict(self._until)
        found = await self._source.salts(wanted, self._by_start)
        for start in wanted:
            salt, ours = found.get(start), self._by_start.get(start)
            if not salt or salt is ours or not any(salt):  # all zeros: it was ours, and was dropped while this waited
                continue
            if salt == ours:  # another call received it meanwhile, as when a site of another zone is added
                wipe(salt)
            else:
                if ours:
                    log.critical(
                        "another salt for %s: Redis was emptied; visitors of that day count anew", salt_name(start)
                    )
                    wipe(ours)
                self._by_start[start] = salt
                self._forget()
        self._drop()
        self.tick()

    def tick(self) -> None:
        """Drops the salts that are over. Call it each second: it needs no source."""
        now_ms = self._now_ms()
        if not self._from_ms <= now_ms < self._upto_ms:
            self._look(now_ms)
            self._drop()

    def at(self, calendar: Calendar, moment_ms: int) -> Salted:
        """Returns what clients of a site with this calendar are hashed with at a moment. Raises SaltMissing.

        It is kept because copying a keyed hash takes 0.7 of the time of keying one.
        """
        salted = self._salted.get(calendar)
        if salted is not None:
            _, _, from_ms, upto_ms = salted
            if from_ms <= moment_ms < upto_ms:
                return salted
        salted = self._salted[calendar] = self._keyed(calendar, moment_ms)
        return salted

    def _keyed(self, calendar: Calendar, moment_ms: int) -> Salted:
        moment = moment_ms // 1_000
        start, end = calendar.day(moment)
        salt = self._by_start.get(start)
        if salt is None:
            raise SaltMissing(salt_name(start))
        alone_from = min(start + SALT_BEHIND_SECONDS, end)
        if moment >= alone_from:
            return Salted(keyed(salt), None, alone_from * 1_000, end * 1_000)
        before = self._by_start.get(calendar.day(start - 1).start)
        return Salted(keyed(salt), keyed(before) if before else None, start * 1_000, alone_from * 1_000)

    def _look(self, now_ms: int) -> None:
        """Finds which salts are needed now, and up to when that stays so."""
        now = now_ms // 1_000
        self._until, today, changes = {}, set(), []
        for calendar in self._calendars:
            start, end = calendar.day(now)
            today.add(start)
            self._need(start, end)
            changes += [start + SALT_BEHIND_SECONDS - EARLY_SECONDS, end - SALT_AHEAD_SECONDS, end]
            if now < start + SALT_BEHIND_SECONDS - EARLY_SECONDS:
                self._need(*calendar.day(start - 1))
            if now >= end - SALT_AHEAD_SECONDS:
                self._need(*calendar.day(end))
        self._today = frozenset(today)
        self._from_ms = now_ms  # an earlier moment is one of a clock that was set back
        self._upto_ms = min((one for one in changes if one > now), default=0) * 1_000

    def _need(self, start: int, end: int) -> None:
        """Notes a salt. Two zones may begin a day together and not end it together: then the later end counts."""
        self._until[start] = max(self._until.get(start, 0), end + SALT_BEHIND_SECONDS)

    def _use(self, calendars: frozenset[Calendar]) -> None:
        """Takes these calendars in place of those before."""
        if calendars != self._calendars:
            self._calendars = calendars
            self._from_ms = self._upto_ms = 0
            self.tick()
            self._forget()

    def _drop(self) -> None:
        over = self._by_start.keys() - self._until.keys()
        for start in over:
            wipe(self._by_start.pop(start))
        if over:
            self._forget()

    def _forget(self) -> None:
        """Forgets what was made with the salts, here and wherever it was remembered."""
        self._salted.clear()
        for forget in self.ended:
            forget()


class Visitors:
    """Hashes clients, each into the number of its visitor."""

    def __init__(self, *, salts: Salts, shard_key: int) -> None:
        self.salts = salts
        self._owned = keyed(shard_key.to_bytes(VISITOR_BYTES, "big"))

    def of(self, client: bytes, salted: Salted) -> tuple[int, int]:
        """Returns the visitor that this client is, and who it was under the salt of the day before, or 0."""
        today, before, _, _ = salted
        return hashed(client, today), hashed(client, before) if before is not None else 0

    def owned(self, client: bytes) -> int:
        """Returns the visitor that a client is which its SDK numbers."""
        return hashed(client, self._owned)


def traits_of(address: str, user_agent: bytes) -> bytes:
    """Returns by what a client is distinguished from others of its site, as `client_of` takes it."""
    return f"\0{address}\0".encode() + user_agent


def user_agent_in(traits: bytes) -> bytes:
    """Returns the user agent that is part of traits."""
    return traits.split(b"\0", 2)[2]


def client_of(site: str, traits: bytes) -> bytes:
    """Returns the bytes by which a client is distinguished from all others."""
    return site.encode() + traits


def anonymous_client(site: str) -> bytes:
    """Returns the bytes that all clients of a site share which asked not to be distinguished."""
    return f"{site}\0".encode()


def owned_client(site: str, visitor: str) -> bytes:
    """Returns the bytes of a client that its SDK numbers. They can't be another client's, because no address is "id"."""
    return f"{site}\0id\0{visitor}".encode()


def limited_client(site: str, address: str) -> bytes:
    """Returns the bytes of a client whose events are counted for a limit: all its browsers are one. No address is "limit"."""
    return f"{site}\0limit\0{address}".encode()


def owned_session(site: str, session: str) -> bytes:
    """Returns the bytes of a session that an SDK numbers."""
    return f"{site}\0session\0{session}".encode("utf-8", "surrogatepass")


def keyed(salt: bytes | bytearray) -> blake2b:
    """Returns a hash under a salt. It holds the salt, and CPython overwrites it when the hash goes."""
    return blake2b(digest_size=VISITOR_BYTES, key=salt)


def hashed(client: bytes, salted: blake2b) -> int:
    """Returns 64 bits, which are never 0, because 0 stands for no visitor."""
    digest = salted.copy()
    digest.update(client)
    return int.from_bytes(digest.digest(), "big") or 1


def shard_of(client: bytes, key: int, shards: int) -> int:
    """Returns the shard of a client under the installation's key, which never changes.

    It is CRC-32, seeded with that key: a client stays on its shard over midnight, although its visitor changes. The value is
    reduced before it is kept, so log2(shards) bits of it survive (I8).
    """
    return zlib.crc32(client, key) % shards if shards > 1 else 0
