"""Reads and writes the keys of Redis that all workers share, and asks every server for its memory and its clock.

The number of shards and the shard key, the salts, the sites and keys of API clients, and the counts of what was rejected.

Not promised: that a read is the newest. For as long as an old primary answers instead of its successor, sites may be known as
they were, and a salt may be made there that is lost with it: then visitors of that time are counted twice, and no event is.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ingest.commit.answers import translated
from ingest.commit.durability import Durability
from ingest.commit.salt_wire import SaltWire
from ingest.commit.salts import Agreement
from runtime.redis import Redis, RedisError, servers
from schemas.redis.keys import (
    KEYS_KEY,
    REJECTED_KEPT_SECONDS,
    REWRITTEN_KEPT_SECONDS,
    SHARD_KEY_KEY,
    SHARDS_KEY,
    SITES_KEY,
    rejected_key,
    rewritten_key,
)
from schemas.redis.scripts import script
from schemas.rejected import Noted

log = logging.getLogger(__name__)
REJECTED = script("rejected")


class Common:
    """Holds a client of Redis for the few commands that are no appends."""

    def __init__(self, redis: Redis, durability: Durability | None, wire: SaltWire) -> None:
        # Used, and the limit, in bytes, as each server said last; 0 is no limit.
        self.memory: dict[str, tuple[int, int]] = {}
        self._redis = redis
        self._durability = durability
        self._salts = Agreement(redis, wire)
        self._begun: dict[str, set[str]] = {}  # by day: the servers that have begun to rewrite their AOF

    def lost(self, commits: int) -> None:
        """Counts commits that Redis had acknowledged, and lost."""
        if self._durability is not None:
            self._durability.losses += 1
            self._durability.lost_commits += commits

    async def layout(self, shards: int, shard_key: int | None = None) -> tuple[int, int]:
        """Returns the installation's number of shards and its shard key.

        What Redis does not have is set to what the caller says, so that a Redis that was emptied learns it again.
        """
        async with translated():
            if shard_key is not None and not await self._redis.exists(SHARD_KEY_KEY):
                self.lost(0)  # nobody knows how many
                log.critical(
                    "Redis was emptied: events that it had acknowledged, and that were not stored yet, are lost"
                )
            count = await self._agreed(SHARDS_KEY, shards)
            key = await self._agreed(SHARD_KEY_KEY, secrets.randbits(32) if shard_key is None else shard_key)
        return int(count), int(key)

    async def salts(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        """Returns the salts of local days by their starts, as SaltSource in ingest/collect/visitor.py says.

        Raises Unclear or Refused.
        """
        async with translated():
            return await self._salts.on(until, known)

    async def _agreed(self, key: str, value: int) -> Any:
        """Returns the value of a key, after setting it if it has none. It reads first, because a full Redis can be read."""
        found = await self._redis.get(key)
        if found is None:
            await self._redis.set(key, value, nx=True)
            found = await self._redis.get(key)
        return found

    async def rewrite(self, day: str) -> None:
        """Makes Redis rewrite its AOF once on a UTC day, whichever worker asks, so that expired salts leave the disk (I8).

        Of several servers all do, replicas too, because a salt may have been on any of them. A rewrite that one does not begin, because it refuses or one is running that began earlier, is to be asked for
        again. Raises Unclear or Refused.
        """
        async with translated():
            if await self._redis.set(rewritten_key(day), 1, nx=True, ex=REWRITTEN_KEPT_SECONDS):
                # Remembered, so that a server that is away for hours does not make the others rewrite again.
                begun = self._begun.setdefault(day, set())
                self._begun = {day: begun}
                try:
                    for server, one in (await servers(self._redis, with_replicas=True)).items():
                        if server not in begun:
                            await one.bgrewriteaof()
                            begun.add(server)
                except (RedisError, OSError):
                    await self._redis.delete(rewritten_key(day))
                    raise

    async def sites(self) -> dict[str, bytes]:
        """Returns the JSON of every registered site by its name."""
        async with translated():
            found: Any = await self._redis.hgetall(SITES_KEY)
        return {name.decode(): value for name, value in found.items()}

    async def keys(self) -> dict[str, bytes]:
        """Returns the JSON of every key of an API client by its ID."""
        async with translated():
            found: Any = await self._redis.hgetall(KEYS_KEY)
        return {key_id.decode(): value for key_id, value in found.items()}

    async def tell_rejected(self, counts: Mapping[Noted, int]) -> None:
        """Adds to the counts of what was rejected in these ten minutes, which are kept for two hours."""
        words = [word for (reason, site), events in counts.items() for word in (f"{reason} {site}", events)]
        if words:
            async with translated():
                await self._redis.eval(REJECTED, 1, rejected_key(time.time()), REJECTED_KEPT_SECONDS, *words)

    async def memory_shares(self) -> dict[str, float]:
        """Returns the share of maxmemory that is in use on each server by its address; 0 if it has no limit.

        A server that does not answer is left out. Raises Unclear or Refused if none answers.
        """
        found: dict[str, tuple[int, int]] = {}
        async with translated():
            clients, faults = await servers(self._redis), []
            for server, one in clients.items():
                try:
                    memory = await one.info("memory")
                except (RedisError, OSError) as error:
                    faults.append(error)
                else:
                    found[server] = int(memory["used_memory"]), int(memory.get("maxmemory") or 0)
            if len(faults) == len(clients):
                raise faults[0]
        self.memory = found
        return {server: used / most if most else 0.0 for server, (used, most) in found.items()}

    async def clocks_ms(self) -> dict[str, int]:
        """Returns the time by each server's clock, in unix ms, by its address. Raises Unclear or Refused."""
        found = {}
        async with translated():
            for server, one in (await servers(self._redis)).items():
                seconds, micros = await one.time()
                found[server] = int(seconds) * 1000 + int(micros) // 1000
        return found
