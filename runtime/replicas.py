"""Agrees with all other processes on how many replicas of Redis are waited for (docs/delivery.md, rule 17).

A flusher that waits for none stores what an ingest that waits for one sends again after a failover: twice. So the number is
recorded in Redis, and the greatest that any process was set to holds for all of them. A process that is set to less goes by
the record all the same, and says by name how to make the two the same.

Not promised: that a process hears at once of a number that another one raised. It looks every few seconds.
"""

from __future__ import annotations

from typing import Any

from runtime.redis import OutOfMemoryError, Redis, RedisError, doubt
from schemas.redis.keys import REPLICAS_KEY
from schemas.redis.scripts import script

SAY = script("say_replicas")


class TooFew(RedisError):
    """Says that fewer replicas than are needed have what was written. The write has happened."""

    def __init__(self, there: int, wanted: int) -> None:
        super().__init__(f"{there} of {wanted} replicas have what was written")


async def agreed(redis: Redis, own: int) -> int:
    """Returns the number that holds, after recording this process's own if it is greater. Raises RedisError and OSError."""
    said: Any
    try:
        said = await redis.eval(SAY, 1, REPLICAS_KEY, str(own))
    except OutOfMemoryError:  # a full Redis must still be trimmed
        said = await redis.get(REPLICAS_KEY)
        return max(own, number_of(said))
    return int(said)


async def recorded(redis: Redis, own: int, known: int) -> int:
    """Returns the number that holds now for a process that is set to `own`, and that has gone by `known` so far.

    A lower one is believed only of a server that was looked for anew: an old primary may not know that the number was raised.
    A record that is gone went with a primary, and is made again. Raises RedisError and OSError.
    """
    said: Any = await redis.get(REPLICAS_KEY)
    if max(own, number_of(said)) < known:
        await doubt(redis)
        said = await redis.get(REPLICAS_KEY)
    return await agreed(redis, own) if said is None and own else max(own, number_of(said))


def number_of(said: bytes | None) -> int:
    """Returns the number that is recorded; 0 where there is none, or something else."""
    return int(said) if said is not None and said.isdigit() else 0


def difference(own: int, holds: int, tier: str) -> tuple[str, tuple[str, ...]]:
    """Returns in words that a process goes by another number than it is set to, and the lines that mend it."""
    return (
        f"it is {own} for {tier}, and another process was set to {holds}: {holds} are waited for",
        (
            f"set FOREBAY_REDIS_REPLICAS={holds} for ingest and every flusher",
            f"or, for fewer: redis-cli SET {REPLICAS_KEY} {own}, then restart ingest, then the flushers, with that number",
        ),
    )
