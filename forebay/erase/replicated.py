"""Sends what a command writes to Redis, and waits until all replicas have it, where there are some (docs/delivery.md, rule 17).

A command that deletes rows, or says that something is done, does so only when no failover can take back what it rests on. How
many replicas there are is recorded in Redis (runtime/replicas.py), so that no command has to be told.

Not promised: that a write which was not confirmed did not happen. The commands that use it can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from runtime import redis
from runtime.replicas import TooFew, number_of
from schemas.durability import INFO, Facts
from schemas.redis.keys import REPLICAS_KEY
from schemas.redis.scripts import script
from schemas.replication import acknowledged, waiting

ASSURE, REIGN = script("assure"), script("reign")
WAIT_MS = 5_000  # less than these commands wait for an answer


class Replicated:
    """Writes to one Redis, and reads of it what no failover takes back. Everything raises redis.RedisError."""

    def __init__(self, client: redis.BlockingRedis) -> None:
        self._redis = client

    @cached_property
    def count(self) -> int:
        """Returns how many replicas have to have what is written."""
        said: Any = self._redis.get(REPLICAS_KEY)
        return number_of(said)

    def run(self, text: str, keys: list[str], *args: object) -> Any:
        """Returns the answer of a script once all replicas have what it wrote. Raises TooFew."""
        return self._waited(keys[0], lambda pipe: pipe.eval(text, len(keys), *keys, *map(str, args)))[0]

    def assured(self, key: str, ask: Callable[[Any], object]) -> list[Any]:
        """Returns the answers to commands about a key, which must be one that never expires, as all replicas have it.

        Raises TooFew, also where the server is an old primary, which none of its replicas hears any more. It may become a replica
        between the commands, and the write be led to its successor; so both sides of the write say on which server they ran.
        """
        if not self.count:
            return self._waited(key, ask)

        def ask_and_write(pipe: Any) -> None:
            ask(pipe)
            pipe.eval(REIGN, 0)
            pipe.eval(ASSURE, 1, key)
            pipe.eval(REIGN, 0)

        *said, asked, _, written = self._waited(key, ask_and_write)
        if asked != written:
            redis.blocking_doubt(self._redis)
            raise TooFew(0, self.count)
        return said

    def _waited(self, key: str, ask: Callable[[Any], object]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            ask(pipe)
            if not self.count:
                return pipe.execute()
            facts = Facts.of(redis.blocking_server_of(self._redis, key).execute_command(*INFO))  # type: ignore[no-untyped-call]  # the library's
            pipe.execute_command(*waiting(facts, self.count, WAIT_MS))  # type: ignore[no-untyped-call]  # the library's
            *said, answer = pipe.execute()
        if acknowledged(answer) < self.count:
            redis.blocking_doubt(self._redis)
            raise TooFew(acknowledged(answer), self.count)
        return said
