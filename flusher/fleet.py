"""Decides which shards this flusher serves: it takes its fair share of them and hands over what is too much.

Each shard is served by one task. When a lease is lost the task ends, and the shard may be taken again. A stopped shard
gives its lease back and is tried again later, perhaps by a flusher that can read it.

When it is told to stop, the flusher drains the shards that it holds. The last flusher alive also takes and drains the
shards that nobody serves, because nobody else would store the entries that wait there: a shard whose lease a replay has
just taken away, or one whose holder was killed and whose lease has not run out yet.

Not promised: that a shard which needs a person is drained.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from flusher.metrics import Metrics
from flusher.redis.lease import Foreign, LayoutChanged, Lease, LeaseLost, Unclear
from flusher.shards.shard import ShardStopped
from schemas.names import EntryId

log = logging.getLogger(__name__)
STOPPED_SECONDS = 10.0
PAGE = "docs/operations.md#shard-stopped"
DRAIN_LOOK_SECONDS = 0.25  # between two looks of a leaving flusher at a lease that it waits for


class Grants(Protocol):
    """Grants leases: redis.lease.Leases. Its methods raise lease.Unclear; `enrol` LayoutChanged and `take` Foreign too.

    `renew` raises only LeaseLost, once no time of the lease is left.
    """

    ttl_ms: int

    async def enrol(self, shards: int) -> int: ...
    async def take(self, shard: int) -> Lease | None: ...
    async def renew(self, lease: Lease) -> None: ...
    async def release(self, lease: Lease) -> None: ...
    async def ends(self, shards: int) -> dict[int, EntryId]: ...
    async def unserved(self, upto: Mapping[int, EntryId]) -> list[int]: ...
    async def leave(self) -> None: ...


class Serves(Protocol):
    """Serves a shard until everything is stored after `handing_over` is set. Raises LeaseLost or ShardStopped."""

    async def serve(self, handing_over: asyncio.Event) -> None: ...


class Fleet:
    """Serves this flusher's share of `shards`."""

    def __init__(
        self,
        *,
        leases: Grants,
        shards: int,
        serve: Callable[[Lease], Serves],
        metrics: Metrics,
        stopped_seconds: float = STOPPED_SECONDS,
    ) -> None:
        self._leases = leases
        self._shards = shards
        self._serve = serve
        self._metrics = metrics
        self._stopped_seconds = stopped_seconds
        self._handing_over: dict[int, asyncio.Event] = {}
        self._holding: dict[int, asyncio.Task[None]] = {}
        self._stopped_until: dict[int, float] = {}
        self.is_connected = False
        self.is_misplaced = False  # Redis has another number of shards, which only a new process can serve

    @property
    def stopped(self) -> list[int]:
        """Returns the shards that wait for a person, with those that are being tried again."""
        return sorted(self._stopped_until)

    def serves(self, shard: int) -> bool:
        """Tells whether this flusher serves a shard, and does not hand it over."""
        handing_over = self._handing_over.get(shard)
        return handing_over is not None and not handing_over.is_set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serves shards until `stopping` is set, then drains those it holds and gives the leases back."""
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                try:
                    await self._balance(group)
                    self.is_connected = True
                except Unclear as error:
                    self.is_connected = False
                    log.warning("Redis is unwell: %s", error)
                except LayoutChanged as error:
                    self.is_connected, self.is_misplaced = False, True
                    log.critical("%s: this flusher drains what it holds and leaves", error)
                    stopping.set()
                await _pause(stopping, self._leases.ttl_ms / 5000)
            for handing_over in self._handing_over.values():
                handing_over.set()
            if not self.is_misplaced:
                try:
                    await self._drain_unserved(group)
                except Unclear as error:
                    log.warning("the shards that nobody serves keep their entries in Redis: %s", error)
        try:
            await self._leases.leave()
        except Unclear as error:
            log.warning("Redis was not told that this flusher leaves: %s", error)

    async def _balance(self, group: asyncio.TaskGroup) -> None:
        share = await self._leases.enrol(self._shards)
        serving = [shard for shard, event in self._handing_over.items() if not event.is_set()]
        for shard in serving[share:]:
            log.info("shard %d is handed over: the fair share is %d", shard, share)
            self._handing_over[shard].set()
        now = asyncio.get_running_loop().time()
        for shard in self.stopped:
            if shard in self._handing_over and self._stopped_until[shard] <= now:
                self._is_well(shard)
        for shard in range(self._shards):
            if len(serving) >= share:
                return
            if shard in self._handing_over or self._stopped_until.get(shard, 0) > now:
                continue
            try:
                lease = await self._leases.take(shard)
            except Foreign as error:
                self._stop(shard, error)
                continue
            if lease is not None:
                if shard in self._stopped_until:
                    self._stopped_until[shard] = now + self._stopped_seconds  # on trial
                serving.append(shard)
                self._begin(lease, group)
            else:
                self._is_well(shard)  # another flusher can read it

    def _begin(self, lease: Lease, group: asyncio.TaskGroup) -> asyncio.Event:
        """Starts to serve the shard of a new lease. Returns the event that hands it over."""
        shard = lease.shard
        log.info("shard %d: lease taken, generation %d", shard, lease.generation)
        self._metrics.generation.labels(str(shard)).set(lease.generation)
        self._handing_over[shard] = asyncio.Event()
        self._holding[shard] = group.create_task(self._hold(lease), name=f"shard {shard}")
        return self._handing_over[shard]

    async def _drain_unserved(self, group: asyncio.TaskGroup) -> None:
        """Drains the shards that nobody serves, until everything that was in the streams at the beginning is stored.

        Returns early once another flusher lives, and does not wait for stopped shards. Raises Unclear.
        """
        upto = await self._leases.ends(self._shards)
        while True:
            unserved = await self._leases.unserved(upto)
            waiting = [shard for shard in unserved if shard not in self._stopped_until]
            if not waiting and not self._holding:
                return
            for shard in waiting:
                if shard not in self._holding and (lease := await self._leases.take(shard)):
                    self._begin(lease, group).set()
            if self._holding:
                await asyncio.wait(
                    self._holding.values(), timeout=DRAIN_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            else:
                await asyncio.sleep(DRAIN_LOOK_SECONDS)

    def _is_well(self, shard: int) -> None:
        if self._stopped_until.pop(shard, None) is not None:
            self._metrics.stopped.labels(str(shard)).set(0)

    def _stop(self, shard: int, why: BaseException) -> None:
        log.critical("shard %d is STOPPED and needs a person (%s): %s", shard, PAGE, why)
        self._metrics.stopped.labels(str(shard)).set(1)
        self._stopped_until[shard] = asyncio.get_running_loop().time() + self._stopped_seconds

    async def _hold(self, lease: Lease) -> None:
        """Serves one shard from the taking of its lease to its release."""
        shard = lease.shard
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep(lease), name=f"lease {shard}")
                await self._serve(lease).serve(self._handing_over[shard])
                keeper.cancel()
        except* LeaseLost as lost:
            log.warning("shard %d: lease lost: %s", shard, lost.exceptions[0])
        except* ShardStopped as stopped:
            self._stop(shard, stopped.exceptions[0])
        else:
            self._is_well(shard)
        finally:
            del self._handing_over[shard]
            try:
                await self._leases.release(lease)
            except Unclear as error:
                log.warning("shard %d: its lease is left to run out: %s", shard, error)
            finally:
                if self._holding.get(shard) is asyncio.current_task():  # and not the task of a later lease
                    del self._holding[shard]

    async def _keep(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._leases.ttl_ms / 3000)
            await self._leases.renew(lease)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
