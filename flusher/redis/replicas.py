"""Waits until all replicas have what a script wrote, before anybody acts on it (docs/delivery.md, rule 17).

Replication is a prefix of one server's writes. So a WAIT behind a write, on the same connection, covers every write before
it on that server, also those of other clients. From Redis 7.2 on WAITAOF is sent instead, which counts a replica once it has
fsynced.

With `redis_replicas` of 0 a script is sent as ever, and nothing behind it.

Not promised: anything of replicas beyond `count`. If there are more, one that lacks the tail may be promoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runtime.redis import Redis, RedisError
from schemas.durability import Facts
from schemas.replication import acknowledged, waiting

WAIT_MS = 2_500  # less than a client waits for an answer; a replica that fsyncs each second needs up to two


class TooFew(RedisError):
    """Says that fewer replicas than are needed have what was written. The write has happened."""


class Replicas:
    """Sends scripts to Redis, and waits for its replicas where there are some."""

    def __init__(self, redis: Redis, count: int = 0) -> None:
        self.count = count
        self._redis = redis
        self._wait = waiting(None, count, WAIT_MS)
        self._scripts: dict[str, Any] = {}

    def hear(self, facts: Iterable[Facts]) -> None:
        """Learns from what the servers say of themselves which command they all wait by."""
        self._wait = waiting(min(facts, key=lambda one: one.version, default=None), self.count, WAIT_MS)

    async def run(self, text: str, *, keys: list[str], args: list[Any]) -> Any:
        """Returns the script's answer, once all replicas have what was written up to then. Raises RedisError and OSError.

        It is sent by its text, because a connection of its own may not know it, and it is sent seldom.
        """
        if not self.count:
            if text not in self._scripts:
                self._scripts[text] = self._redis.register_script(text)
            return await self._scripts[text](keys=keys, args=args)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.eval(text, len(keys), *keys, *args)
            pipe.execute_command(*self._wait)
            said, answer = await pipe.execute()
        if acknowledged(answer) < self.count:
            raise TooFew(f"{acknowledged(answer)} of {self.count} replicas have what was written")
        return said
