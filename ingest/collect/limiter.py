"""Decides whether a site, or a client of one, sends more events than it may.

Each limit (schemas/limits.py) is a bucket of events. A request takes its events out of the buckets of its site and its client. As
long as a bucket holds anything, the whole request is let in, and the bucket may owe events afterwards. A request that finds a
bucket empty is refused and takes nothing. So a request is let in or refused as a whole, and over time no more comes in
than the rate of the limit.

A worker decides by buckets of its own, so it never waits for Redis. They fill at the worker's share, which is the rate divided by the
workers of this machine. Once the workers of a machine may together have taken half a burst, the bucket is shared through Redis: each
second, and after SOON_SECONDS where half of what was left may be gone, the worker tells Redis what it took, and hears
what is left for all (schemas/redis/limit.lua). A bucket that is full again is no longer shared. So Redis hears nothing of sites that
stay far below their limits.

While Redis does not answer, each worker goes on alone with its share. It does not know what the others took meanwhile. So when Redis
answers again, the worker first tells how much its own bucket holds, and the shared one holds no more than that afterwards.
Nothing that was taken is counted twice, and a client that kept to the limit is never refused.

A client is known by a hash of its site and address under the salt of the day (places.py), and a shared bucket by the same hash.
Neither holds an address, and the hashes in memory are forgotten when a salt ends (I8).

Not promised: that no more than a burst comes in at once. Half a burst, and what comes in SOON_SECONDS, may be in before the workers
hear of each other; the bucket owes it, and less is let in later. While Redis does not answer, each worker has a burst of its own,
and several machines have a share each as if they were alone. A worker shares at most SHARED_MAX buckets. Requests in whose batch our
own code failed are collected again, and count twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from math import ceil
from operator import attrgetter
from time import monotonic
from typing import Protocol

from ingest.collect.exchange import Exchange
from ingest.collect.sites import Site
from ingest.dialects.contract import Limited
from schemas.limits import Limit

BUCKETS_MAX = 32_768  # 290 bytes each
SHARED_MAX = 4_096  # of one worker: 200 bytes each in Redis
TOLD_MAX = 200  # in one turn: Redis needed 51 us for each on a busy machine
TAKEN_UNTOLD = 0.5  # of what is left, by all workers of a machine
TELL_SECONDS, SOON_SECONDS = 1.0, 0.1
WAIT_SECONDS_MAX = 3_600


class Placed(Protocol):
    """Describes where an event goes (places.py)."""

    @property
    def site(self) -> Site: ...
    @property
    def limited_as(self) -> int: ...


class Bucket:
    """Holds the events that may still come in. `key` is a site's name, or the number of a client of one."""

    __slots__ = (
        "at", "burst", "filling", "heard", "is_heard", "is_shared", "key", "level", "limit", "shared_below", "taken", "told_at"
    )  # fmt: skip

    def __init__(self, key: str | int, limit: Limit, now: float) -> None:
        self.key = key
        self.limit = limit
        self.burst = float(limit.burst)
        self.level = self.burst
        self.filling = 0.0  # events a second, at which this worker fills it
        self.shared_below = 0.0
        self.at = now
        self.taken = 0  # since it was last told
        self.is_shared = False
        self.is_heard = False  # what Redis said last is in `level`
        self.heard = 0.0  # what it said
        self.told_at = 0.0


class Telling:
    """Holds what Redis is told of a bucket: how many events were taken, and how many it holds `most` afterwards."""

    __slots__ = ("bucket", "most", "taken")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.taken = bucket.taken if bucket.is_heard else 0
        self.most = float(bucket.limit.burst) if bucket.is_heard else bucket.level

    @property
    def said(self) -> tuple[float, int, int, float]:
        """Returns what schemas/redis/limit.lua is told."""
        return (*self.bucket.limit, self.taken, self.most)


class Limiter:
    """Holds the buckets of one worker."""

    def __init__(self, *, workers: int = 1, now: Callable[[], float] = monotonic) -> None:
        """Takes how many `workers` share a limit while none of them hears of the others."""
        self._workers = workers
        self._untold = TAKEN_UNTOLD / workers
        self._now = now
        self._buckets: dict[str | int, Bucket] = {}
        self._shared: dict[str | int, Bucket] = {}

    def judge(self, owners: Sequence[Exchange], places: Sequence[Placed]) -> Iterable[Sequence[int]]:
        """Takes events from the buckets of their sites and clients. Returns which were refused: of a request all of a site.

        The request learns from `limited` when it may come again.
        """
        now = self._now()
        take = self.take
        refused: list[Sequence[int]] = []
        if owners[0].verdicts is None and len(set(owners)) == len(owners):
            for at, (owner, place) in enumerate(zip(owners, places, strict=True)):
                limited = take(place.site, place.limited_as, 1, now)
                if limited is not None:
                    owner.limited = limited
                    refused.append((at,))
            return refused
        wanted: dict[tuple[Exchange, str, int], list[int]] = {}
        for at, (owner, place) in enumerate(zip(owners, places, strict=True)):
            key = (owner, place.site.name, place.limited_as)
            there = wanted.get(key)
            if there is None:
                wanted[key] = [at]
            else:
                there.append(at)
        for (owner, _, client), ats in wanted.items():
            site = places[ats[0]].site
            limited = (
                take(site, client, len(ats), now)
                if owner.verdicts is None
                else self._once(owner, site, client, len(ats), now)
            )
            if limited is not None:
                owner.limited = limited
                refused.append(ats)
        return refused

    def _once(self, owner: Exchange, site: Site, client: int, events: int, now: float) -> Limited | None:
        """Does what `take` does for a piece of a large request: what was said to its first piece counts for all of them."""
        assert owner.verdicts is not None
        key = (site.name, client)
        if key not in owner.verdicts:
            owner.verdicts[key] = self.take(site, client, events, now)
        elif owner.verdicts[key] is None:
            self.take(site, client, events, now, is_let_in=True)
        return owner.verdicts[key]

    def take(self, site: Site, client: int, events: int, now: float, *, is_let_in: bool = False) -> Limited | None:
        """Takes events of a client, which is 0 if it has no limit, or says why none was taken.

        Those of a request that `is_let_in` are owed where nothing is left.
        """
        limit, client_limit = site.limit, site.client_limit
        own = whole = None
        if client_limit is not None and client:
            own = self._filled(client, client_limit, now)
            if own.level <= 0 and not is_let_in:
                return self._refused(own)
        if limit is not None:
            whole = self._filled(site.name, limit, now)
            if whole.level <= 0 and not is_let_in:
                return self._refused(whole)
            whole.level -= events
            whole.taken += events
            if whole.level < whole.shared_below and not whole.is_shared:
                self._share(whole)
        if own is not None:
            own.level -= events
            own.taken += events
            if own.level < own.shared_below and not own.is_shared:
                self._share(own)
        return None

    def due(self) -> list[Telling]:
        """Returns what Redis is to be told now, for `heard`. Call it each SOON_SECONDS."""
        if not self._shared:
            return []
        now = self._now()
        found = []
        for bucket in list(self._shared.values()):
            age = now - bucket.told_at
            if age < SOON_SECONDS or (age < TELL_SECONDS and bucket.is_heard and not self._is_low(bucket)):
                continue
            _fill(bucket, now)
            if bucket.level >= bucket.limit.burst and not bucket.taken:
                self._keep(bucket)
            else:
                found.append(bucket)
        found = nsmallest(TOLD_MAX, found, key=attrgetter("told_at"))
        tellings = [Telling(bucket) for bucket in found]
        for bucket in found:
            bucket.told_at = now
            bucket.taken = 0
            bucket.is_heard = False  # unless an answer comes
        return tellings

    def heard(self, tellings: Sequence[Telling], levels: Sequence[float | None]) -> None:
        """Takes over how many events each bucket holds; None where Redis did not say it."""
        now = self._now()
        for telling, level in zip(tellings, levels, strict=True):
            bucket = telling.bucket
            if level is None or self._buckets.get(bucket.key) is not bucket:
                continue
            bucket.level = level - bucket.taken  # and what was taken while it was told
            bucket.at = now
            bucket.heard, bucket.is_heard = level, True
            if level >= bucket.limit.burst and not bucket.taken:
                self._keep(bucket)

    def forget_clients(self) -> None:
        """Forgets all clients: a salt ended, and what was hashed under it must not stay here (I8)."""
        for buckets in (self._buckets, self._shared):
            for key in [key for key in buckets if isinstance(key, int)]:
                del buckets[key]

    def _filled(self, key: str | int, limit: Limit, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None or bucket.limit is not limit:
            bucket = self._made(key, limit, now)
        if bucket.at != now:
            _fill(bucket, now)
        return bucket

    def _made(self, key: str | int, limit: Limit, now: float) -> Bucket:
        """Returns a new bucket, or the one that was there with another limit."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._buckets = dict(self._shared)  # from others little was taken, unless too many are shared
            bucket = self._buckets[key] = Bucket(key, limit, now)
        rate, bucket.burst = limit
        bucket.limit = limit
        bucket.level = min(bucket.level, bucket.burst)
        bucket.filling = rate / self._workers
        bucket.shared_below = bucket.burst * (1 - self._untold)
        return bucket

    def _share(self, bucket: Bucket) -> None:
        """Has Redis hear of a bucket, which is full there unless others took of it."""
        if len(self._shared) < SHARED_MAX:
            bucket.is_shared = bucket.is_heard = True
            bucket.heard = bucket.limit.burst
            bucket.taken = ceil(bucket.limit.burst - bucket.level)
            bucket.told_at = -TELL_SECONDS
            self._shared[bucket.key] = bucket

    def _keep(self, bucket: Bucket) -> None:
        """Shares a bucket no longer: it is full, and a key that is not there means the same."""
        bucket.is_shared = bucket.is_heard = False
        self._shared.pop(bucket.key, None)

    def _refused(self, bucket: Bucket) -> Limited:
        rate, burst = bucket.limit
        if not bucket.is_shared:  # there was no room
            self._share(bucket)
        filling = rate if bucket.is_heard else rate / self._workers
        seconds = min(WAIT_SECONDS_MAX, max(1, ceil(-bucket.level / filling)))
        return Limited(burst, 0, seconds)

    def _is_low(self, bucket: Bucket) -> bool:
        """Tells whether so much was taken of what Redis said that, if others took as much, half of it is gone."""
        return bucket.taken > max(0.0, bucket.heard) * self._untold


def _fill(bucket: Bucket, now: float) -> None:
    level = bucket.level + (now - bucket.at) * bucket.filling
    if level > bucket.burst:
        level = bucket.burst
    bucket.level, bucket.at = level, now
