"""Sends what a command writes to Redis, and waits until all replicas have it, where there are some (docs/delivery.md, rule 17).

A command that deletes rows, or says that something is done, does so only when no failover can take back what it rests on. How
many replicas there are is recorded in Redis (runtime/replicas.py), so that no command has to be told.

Not promised: that a write which was not confirmed did not happen. The commands that use it can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    @contextmanager
    def assuring(self, key: str) -> Iterator[None]:
        """Raises TooFew at its end unless all replicas have what the client read and wrote inside, of this key's server.

        So it does where that is an old primary, which none of its replicas hears any more. Such a server may become a replica
        at any moment, and the next command be led to its successor; so it is asked at both ends who answers. The key must be
        one that never expires.
        """
        if not self.count:
            yield
            return
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(key)
            pipe.eval(REIGN, 0)
            _, before = pipe.execute()
        yield

        def ask(pipe: Any) -> None:
            pipe.eval(ASSURE, 1, key)
            pipe.eval(REIGN, 0)

        _, after = self._waited(key, ask)
        if before != after:
            redis.blocking_doubt(self._redis)
            raise TooFew(0, self.count)

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
