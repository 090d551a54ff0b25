"""Waits until all replicas have what a script wrote, before anybody acts on it (docs/delivery.md, rule 17).

Replication is a prefix of one server's writes. So a WAIT behind a write, on the same connection, covers every write before
it on that server, also those of other clients. From Redis 7.2 on WAITAOF is sent instead, which counts a replica once it has
fsynced.

With `redis_replicas` of 0 a script is sent as ever, and nothing behind it.

Not promised: anything of replicas beyond `count`. If there are more, one that lacks the tail may be promoted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from runtime.nodes.steps import is_doubtful, is_old
from runtime.redis import Pipeline, Redis, RedisError, doubt
from runtime.replicas import TooFew, difference, recorded
from schemas.durability import Facts
from schemas.redis.scripts import script
from schemas.replication import Finding, acknowledged, waiting

log = logging.getLogger(__name__)
ASSURE, REIGN = script("assure"), script("reign")

WAIT_MS = 2_500  # less than a client waits for an answer; a replica that fsyncs each second needs up to two


class Replicas:
    """Sends scripts to Redis, and waits for its replicas where there are some."""

    def __init__(self, redis: Redis, own: int = 0, *, count: int | None = None) -> None:
        """Takes the setting of this process, and the number that holds for all, if that is known."""
        self.own = own
        self.count = own if count is None else count
        self._redis = redis
        self._oldest: Facts | None = None  # of the server with the oldest version
        self._wait = waiting(None, self.count, WAIT_MS)
        self._scripts: dict[str, Any] = {}

    def hear(self, facts: Iterable[Facts]) -> None:
        """Learns from what the servers say of themselves which command they all wait by."""
        self._oldest = min(facts, key=lambda one: one.version, default=None)
        self._wait = waiting(self._oldest, self.count, WAIT_MS)

    async def follow(self) -> None:
        """Goes by the number that another process may have recorded meanwhile. Raises RedisError and OSError."""
        count = await recorded(self._redis, self.own, self.count)
        if count != self.count:
            log.warning("redis_replicas: %d are waited for from now on, and not %d", count, self.count)
            self.count = count
            self._wait = waiting(self._oldest, count, WAIT_MS)

    def findings(self) -> list[Finding]:
        """Returns that this process is set to another number than the one that holds, if it is."""
        return (
            []
            if self.count == self.own
            else [Finding("redis_replicas", *difference(self.own, self.count, "this flusher"))]
        )

    async def run(self, text: str, *, keys: list[str], args: list[Any]) -> Any:
        """Returns the script's answer, once all replicas have what was written up to then. Raises RedisError and OSError.

        It is sent by its text, because a connection of its own may not know it, and it is sent seldom.
        """
        if not self.count:
            if text not in self._scripts:
                self._scripts[text] = self._redis.register_script(text)
            return await self._scripts[text](keys=keys, args=args)
        [said] = await self._waited(lambda pipe: pipe.eval(text, len(keys), *keys, *args))
        return said

    async def seen(self, key: str, ask: Callable[[Pipeline], object]) -> list[Any]:
        """Returns the answers to commands that read of the server of a key, which none of its replicas has succeeded.

        The server may become a replica behind the read, and the write be led to its successor; so both say where they ran.
        The key must be one that never expires. Raises as `run` does.
        """
        if not self.count:
            async with self._redis.pipeline(transaction=False) as pipe:
                ask(pipe)
                found: list[Any] = await pipe.execute()
            return found

        def assured(pipe: Pipeline) -> None:
            ask(pipe)
            pipe.eval(REIGN, 0)
            pipe.eval(ASSURE, 1, key)
            pipe.eval(REIGN, 0)

        *said, read, _, written = await self._waited(assured)
        if read != written:
            await doubt(self._redis)
            raise TooFew(0, self.count)
        return said

    async def _waited(self, ask: Callable[[Pipeline], object]) -> list[Any]:
        """Returns the answers to commands, once all replicas have what the server wrote up to the last of them."""
        async with self._redis.pipeline(transaction=False) as pipe:
            ask(pipe)
            pipe.execute_command(*self._wait)
            try:
                *said, answer = await pipe.execute()
            except RedisError as error:
                if is_old(error) or is_doubtful(error):
                    await doubt(self._redis)
                raise
        if acknowledged(answer) < self.count:
            await doubt(self._redis)  # the server may be an old primary, and this connection have been open for long
            raise TooFew(acknowledged(answer), self.count)
        return said
