"""Slows down those who guess passwords, however many addresses they have, without locking the owner out.

An attempt takes one from each of its buckets, or from none if one is empty. A bucket fills again with time, so waiting always helps:

    address    of an address, an IPv6 /64 or a name of this machine                 10 at once, then one a minute
    user       of a name, from wherever                                             30 at once, then one a minute
    all        of everybody                                                        100 at once, then ten a minute
    link       of a public link's password, from wherever                           30 at once, then one a minute
    device     of a user on a device that is known, in the place of all the others  10 at once, then one a minute

Somebody at this machine itself has the bucket of an address alone. A bucket is in Redis under a keyed hash of whose it is, so
several dashboards count together, and nobody reads addresses there.

Not promised: that somebody with a new device gets in while others guess the same user's password. Both wait for the same bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dashboard.access.signing import Signing, redis_errors
from runtime import redis
from schemas.redis.keys import attempts_key
from schemas.redis.scripts import script

ATTEMPT = script("attempt")


class Bucket(NamedTuple):
    """Holds whose attempts are counted together. `kind` is one of LIMITS."""

    kind: str
    whose: str


class Limit(NamedTuple):
    """Holds how many attempts come in a second, and how many there are at once."""

    rate: float
    burst: int


LIMITS = {
    "address": Limit(1 / 60, 10),
    "user": Limit(1 / 60, 30),
    "all": Limit(10 / 60, 100),
    "link": Limit(1 / 60, 30),
    "device": Limit(1 / 60, 10),
}


class Throttled(Exception):
    """Says that there were too many attempts: which bucket is empty, and in how many seconds it is not."""

    def __init__(self, kind: str, seconds: int) -> None:
        super().__init__(f"Too many attempts. Try again in {_shown(seconds)}.")
        self.kind = kind
        self.seconds = seconds


class Throttle:
    """Counts attempts. Every method raises Away while Redis does not answer."""

    def __init__(self, client: redis.Redis, signing: Signing) -> None:
        self._redis = client
        self._signing = signing

    async def take(self, buckets: Sequence[Bucket]) -> None:
        """Takes an attempt from all buckets. Raises Throttled if one of them is empty; then none has lost anything."""
        at, seconds = await self._move(buckets, 1)
        if at:
            raise Throttled(buckets[at - 1].kind, max(1, seconds))

    async def put_back(self, buckets: Sequence[Bucket]) -> None:
        """Puts an attempt back into all buckets, because it was none: the password was right."""
        await self._move(buckets, -1)

    async def _move(self, buckets: Sequence[Bucket], count: int) -> tuple[int, int]:
        keys = [attempts_key(self._signing.signature("attempts", f"{one.kind}\0{one.whose}")) for one in buckets]
        limits = [f"{number:.6f}" for one in buckets for number in LIMITS[one.kind]]
        async with redis_errors():
            said: Any = await self._redis.eval(ATTEMPT, len(keys), *keys, str(count), *limits)
        return int(said[0]), int(said[1])


def _shown(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{-(-seconds // 60)} minutes"
