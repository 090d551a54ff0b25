"""Puts one ingest worker together, and runs what works behind its server (start.py says how it begins and ends).

Behind the server run, for as long as it lives: commits, the drain of what dead workers spooled, and looks at the
pressure on Redis, at whether it keeps what it answers, at clocks, salts, layout and sites, at limits that are shared,
and at whether an event would be made durable now.

A Redis that was emptied gets the layout and the salts back. Where Redis says another layout than the worker runs with,
the worker leaves, so that the tier starts one that knows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from ingest.agents.agent import Agents
from ingest.collect.collector import Collector
from ingest.collect.geolocation import Geolocation
from ingest.collect.keys import ServerKeys
from ingest.collect.limiter import SOON_SECONDS, Limiter
from ingest.collect.referrer_spam import ReferrerSpam
from ingest.collect.rejections import Rejections
from ingest.collect.sites import Sites
from ingest.collect.suspicion import Suspicions
from ingest.collect.visitor import Salts, Visitors
from ingest.commit.answers import Refused, Unclear
from ingest.commit.appender import Appender
from ingest.commit.durability import Durability
from ingest.commit.held import bytes_to_hold
from ingest.commit.pressure import Pressure
from ingest.commit.sheds import Sheds
from ingest.commit.spool import Spool
from ingest.commit.stream import RedisStream
from ingest.dialects.event import Limits
from ingest.dialects.table import table
from ingest.fates import Shed
from ingest.geography.newest import Newest
from ingest.metrics import Metrics
from runtime import zones
from runtime.client_ip import ClientAddresses
from runtime.clocks import Skews
from schemas.days import Calendar
from schemas.limits import limit_of
from schemas.redis.address import Address, Kind
from schemas.redis.keys import PRODUCER_KEPT_SECONDS
from schemas.settings import IngestSettings
from schemas.tracker_names import TrackerNames

log = logging.getLogger(__name__)
AGREE_SECONDS = 2  # so soon the others know the salts and the layout that a worker gives to a Redis just emptied
REWRITE_SECONDS = 60
TELL_SECONDS = 2
PLACES_SECONDS = 2  # a new country database counts after two looks
SITES_SECONDS = 2  # `forebay site add`, and the next event counts
KEYS_SECONDS = 1  # a revoked key is refused within two
SPAM_SECONDS = 2  # a stat of a file, in a thread
ADOPT_SECONDS = 0.5  # what a dead worker spooled waits so long to be drained by another; a look takes 30 us
HEALTH_SECONDS = 0.5
ROOM_BYTES = 1 << 20  # in the spool: a request of the largest body


class Worker:
    """Holds the parts of a worker, and runs what works behind its server."""

    def __init__(
        self, settings: IngestSettings, *, stream: RedisStream, durability: Durability, shards: int, shard_key: int
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.durability = durability
        self._layout = shards, shard_key
        self.is_misplaced = False  # Redis says another layout
        self.metrics = Metrics(CollectorRegistry(), Sheds(self._what_is_wrong))
        self.sites = Sites(
            named=settings.sites,
            privacy=settings.privacy_signals,
            calendar=Calendar(zones.load(settings.timezone)),
            limit=limit_of(settings.site_limit),
            client_limit=limit_of(settings.client_limit),
            source=stream,
            failed=partial(self.metrics.reload_failed, "sites"),
        )
        self.keys = ServerKeys(stream, failed=partial(self.metrics.reload_failed, "keys"))
        self.salts = Salts(source=stream, now_ms=now_ms, calendars=self.sites.calendars)
        self.sites.hold = self.salts.hold
        self.pressure = Pressure(
            memory=stream,
            memory_share_max=settings.memory_share_max,
            disk=settings.redis_data_dir,
            free_bytes_min=settings.redis_free_bytes_min,
        )
        self.spool = self._spool(settings)
        self.rejections = Rejections()
        self.limiter = Limiter(workers=settings.workers)
        self.spam = ReferrerSpam(
            settings.referrer_spam_file, failed=partial(self.metrics.reload_failed, "referrer_spam")
        )
        newest = Newest(database=settings.country_database, counts=self.metrics)
        self.geolocation = Geolocation(newest, header=settings.country_header)
        self.collector = self._collecting(settings, shards, shard_key)
        self.appender = Appender(
            stream=stream,
            counts=self.metrics,
            collect=self.collector.collect,
            shards=shards,
            commit_rows_max=settings.commit_rows_max,
            commit_bytes_max=settings.commit_bytes_max,
            queue_bytes_max=settings.queue_bytes_max,
            answer_seconds_max=settings.answer_seconds_max,
            gather_seconds=settings.commit_gather_ms / 1000,
            spool=self.spool,
            resend_bytes_max=bytes_to_hold(stream.replicas, settings.redis_ack, settings.resend_bytes_max),
            pressed=self._pressed,
            pressed_of=self._pressed_of if Address.parse(settings.redis_url).kind is Kind.CLUSTER else None,
        )

    def _collecting(self, settings: IngestSettings, shards: int, shard_key: int) -> Collector:
        limits = Limits(body_bytes_max=settings.body_bytes_max)
        return Collector(
            limits=limits,
            routes=table(limits, TrackerNames.of(settings.tracker_path).events),
            sites=self.sites,
            visitors=Visitors(salts=self.salts, shard_key=shard_key),
            addresses=ClientAddresses(settings.trusted_proxies),
            agents=Agents(settings.bot_threshold),
            geolocation=self.geolocation,
            counters=self.metrics,
            rejections=self.rejections,
            shards=shards,
            shard_key=shard_key,
            now_ms=now_ms,
            rows_max=settings.commit_rows_max,
            bytes_max=settings.commit_bytes_max,
            suspicions=Suspicions(threshold=settings.bot_threshold, spam=self.spam),
            keys=self.keys,
            limiter=self.limiter,
        )

    def _spool(self, settings: IngestSettings) -> Spool | None:
        if not settings.spool_dir:
            return None
        return Spool(
            Path(settings.spool_dir),
            bytes_max=settings.spool_bytes_max // settings.workers,
            free_bytes_min=settings.spool_free_bytes_min,
            counts=self.metrics,
        )

    def _pressed(self) -> Shed | None:
        if self.durability.is_shut:
            return Shed.REDIS
        return Shed.MEMORY if self.pressure.is_on else None

    def _pressed_of(self, shard: int) -> Shed | None:
        """Returns why nothing is to be appended to the server of one shard: a full server keeps no other from taking its own."""
        server = self.stream.server_of(shard)
        if self.durability.faults_of(server):
            return Shed.REDIS
        return Shed.MEMORY if self.pressure.is_on_at(server) else None

    def _what_is_wrong(self) -> str:
        wrong = [*map(str, self.durability.faults), self.pressure.why]
        if self.spool is not None:
            wrong.append(self.spool.shortage(ROOM_BYTES))
        return "; ".join(filter(None, wrong))

    async def prepare(self) -> None:
        """Reads the sites, the server keys and the salts of the sites' days. Raises answers.Unclear or Refused."""
        await self.sites.refresh()
        await self.keys.refresh()
        await self.salts.refresh()
        if not self.salts.is_ready:
            raise Refused("it has no salt of today, and keeps none")

    async def run(self, report: Callable[[bool], None], leave: Callable[[], None]) -> None:
        """Runs everything behind the server until cancelled. Asks to `leave` where it can't go on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.appender.run(), name="appender")
            tasks.create_task(self.pressure.run(), name="pressure")
            tasks.create_task(self._clocks().run(), name="clocks")
            tasks.create_task(self.durability.run(self._look, self.metrics), name="durability of Redis")
            tasks.create_task(_again(partial(self._agree, leave), AGREE_SECONDS), name="salts and layout")
            tasks.create_task(_again(self.sites.refresh, SITES_SECONDS), name="sites")
            tasks.create_task(_again(self.keys.refresh, KEYS_SECONDS), name="server keys")
            tasks.create_task(_again(self.geolocation.refresh, PLACES_SECONDS), name="country database")
            tasks.create_task(_again(self.spam.refresh, SPAM_SECONDS), name="list of referrer spam")
            tasks.create_task(_again(self._tell, TELL_SECONDS), name="what was rejected")
            tasks.create_task(_again(self._share, SOON_SECONDS), name="limits")
            tasks.create_task(_again(self._rewrite, REWRITE_SECONDS), name="rewrite of the AOF")
            tasks.create_task(self._watch(report), name="health")
            if self.spool is not None:
                tasks.create_task(self._adopt(self.spool), name="spool of the dead")

    def _clocks(self) -> Skews:
        return Skews({"Redis": self.stream.clocks_ms}, show=self.metrics.clock_skew, silence=(Unclear, Refused))

    async def _agree(self, leave: Callable[[], None]) -> None:
        """Leaves unless Redis says the layout that we run with, because rows must not go to shards by another reckoning.

        So it does where another number of replicas holds by now, by which its successor will hold commits.
        """
        found = await self.stream.layout(*self._layout)
        if found != self._layout and not self.is_misplaced:
            self.is_misplaced = True
            log.critical(
                "Redis says %d shards%s, this worker appends to %d: it leaves. What it appended since waits in its shards",
                found[0], "" if found[1] == self._layout[1] else " under another key", self._layout[0],
            )  # fmt: skip
            leave()
        replicas = await self.stream.recorded_replicas()
        if replicas != self.stream.replicas and not self.is_misplaced:
            self.is_misplaced = True
            log.critical(
                "Redis says that %d replicas are waited for, this worker waits for %d: it leaves",
                replicas,
                self.stream.replicas,
            )
            leave()
        await self.salts.refresh()

    async def _look(self) -> None:
        with contextlib.suppress(Unclear, Refused):  # what was last heard stays; appends say that Redis is unwell
            await self.stream.look()

    async def _tell(self) -> None:
        """Tells Redis what was rejected lately, for `forebay site list`."""
        taken = self.rejections.take()
        try:
            await self.stream.tell_rejected(taken)
        except (Unclear, Refused):
            self.rejections.give_back(taken)

    async def _share(self) -> None:
        """Tells Redis what was taken of limits that are shared, and hears what others took."""
        if tellings := self.limiter.due():
            number = self.collector.places.limit_number
            levels = await self.stream.take({number(one.bucket.key): one.said for one in tellings})
            self.limiter.heard(tellings, levels)

    async def _rewrite(self) -> None:
        """Has the salts that expired since yesterday leave the disk (I8).

        Local days begin on quarters of an hour, so salts expire at 23:00 or 23:15, and none in the minutes of a rewrite.
        """
        moment = datetime.now(UTC)
        if moment.hour == 23 and moment.minute >= 5:
            await self.stream.rewrite(f"{moment:%Y-%m-%d}")

    async def close(self) -> None:
        """Hands over what is counted and closes files and connections."""
        self.metrics.ready(False)
        self.metrics.flush()
        if self.spool is not None:
            self.spool.close()
        await self.stream.close()

    async def _watch(self, report: Callable[[bool], None]) -> None:
        was_ready: bool | None = None
        while True:
            self.metrics.flush()
            self._measure()
            if self.spool is not None:
                self.metrics.spool_lag(self.spool.lag_seconds())
            is_ready = (
                self.salts.is_ready
                and self.appender.is_ready
                and not self.durability.is_shut
                and await self._is_durable()
            )
            self.metrics.ready(is_ready)
            if is_ready != was_ready:
                report(is_ready)
                was_ready = is_ready
            await asyncio.sleep(HEALTH_SECONDS)

    def _measure(self) -> None:
        """Shows how near the walls are that pressure keeps away from."""
        self.metrics.redis_memory(self.stream.memory)
        for where, directory in (("redis", self.settings.redis_data_dir), ("spool", self.settings.spool_dir)):
            if directory:
                with contextlib.suppress(OSError):  # it is not there yet, or no longer
                    self.metrics.disk_free(where, shutil.disk_usage(directory).free)

    async def _is_durable(self) -> bool:
        if self.spool is not None and self.spool.has_room(ROOM_BYTES):
            return True
        try:
            shares = await self.stream.memory_shares()
            return not self.pressure.is_on and min(shares.values()) <= self.settings.memory_share_max
        except (Unclear, Refused):
            return False

    async def _adopt(self, spool: Spool) -> None:
        while True:
            for chain in spool.adopt():
                log.info("shard %d: bringing back what a dead worker spooled", chain.shard)
                if (age := chain.age_seconds()) > PRODUCER_KEPT_SECONDS:
                    log.critical(
                        "shard %d: a spool of %d days ago, whose producer %s Redis has forgotten: what of it was appended"
                        " unheard, or drained before, is stored twice", chain.shard, age / 86_400, chain.producer,
                    )  # fmt: skip
                await self.appender.drain_chain(chain)
                await chain.close()
                spool.leave(chain.folder)
            await asyncio.sleep(ADOPT_SECONDS)


async def _again(refresh: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(Unclear, Refused):  # what was known stays; appends say that Redis is unwell
            await refresh()


def now_ms() -> int:
    """Returns unix time in milliseconds."""
    return time.time_ns() // 1_000_000
