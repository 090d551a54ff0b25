"""Agrees with the other processes on the salts in Redis.

Every worker looks every two seconds, with one pipeline, which salts there are and what is left of their time. A salt that it
knows is recognised by its SHA-1, so it is received once, in a way that leaves no copy (salt_wire.py). Only what is missing
or would stay too long or too short is written, because a write is fsynced. The time is Redis's own.

An ingest of release 0.1.0 keeps a salt for 47 hours, and up to 01:00 UTC makes that of yesterday again from its memory.
So the expiry of what is there is corrected, and yesterday's salt of UTC is looked at even if nobody here needs it.

Not promised: that two processes which know different sites agree on an expiry. Each sets its own, and what one of them
still needs it puts back two seconds later.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ingest.commit.salt_wire import SaltWire
from runtime.redis import Redis, ResponseError
from runtime.secret import made, wipe
from schemas.redis.keys import SALT_BEHIND_SECONDS, salt_key
from schemas.redis.scripts import script

log = logging.getLogger(__name__)
LOOK = script("look_at_salt")
SALT_BYTES = 32
DAY_SECONDS = 86_400
SLACK_MS = 1_000  # by which an expiry may be off: TIME and PTTL are answered one after the other
MISSING, ENDLESS = -2, -1  # what PTTL says of a key that does not exist, and of one that never expires


class Agreement:
    """Reads and makes salts in one Redis."""

    def __init__(self, redis: Redis, wire: SaltWire) -> None:
        self._redis = redis
        self._wire = wire
        self._said = ""  # why Redis kept no salt when it was last asked to

    async def on(self, until: Mapping[int, int], known: Mapping[int, bytearray]) -> dict[int, bytearray]:
        """Returns the salts of local days by their starts, as SaltSource in ingest/collect/visitor.py says.

        Raises redis.RedisError and OSError.
        """
        yesterday = (int(time.time()) // DAY_SECONDS - 1) * DAY_SECONDS
        ends = {yesterday: yesterday + DAY_SECONDS + SALT_BEHIND_SECONDS, **until}
        there = await self._look([*ends])
        corrections = self._redis.pipeline(transaction=False)
        found: dict[int, bytearray] = {}
        wanted: list[int] = []
        for start, end in ends.items():
            digest, left_ms, now_ms = there[start]
            is_over = end * 1_000 <= now_ms
            if left_ms != MISSING and (left_ms == ENDLESS or abs(now_ms + left_ms - end * 1_000) > SLACK_MS):
                corrections.expireat(salt_key(start), end)  # what is over is deleted by it
            if start in until and not is_over:
                if digest and digest == _digest(known.get(start)):
                    found[start] = known[start]
                else:
                    wanted.append(start)
        errors: list[Exception] = []
        if len(corrections):
            said: list[Any] = await corrections.execute(raise_on_error=False)
            errors += [one for one in said if isinstance(one, Exception)]
        for start in wanted:
            try:
                if there[start][0]:
                    salt = await self._wire.salt(salt_key(start))
                else:
                    salt = await self._given(start, known.get(start), ends[start])
            except ResponseError as error:
                errors.append(error)
            else:
                found |= {} if salt is None else {start: salt}
        self._hear(errors)
        return found

    async def _given(self, start: int, known: bytearray | None, end: int) -> bytearray | None:
        """Returns the salt of a day that had none: the known one, a new one, or that of a process that was faster."""
        # A copy, because the known one may end, and be zeros, while it is sent.
        salt = made(SALT_BYTES) if known is None else bytearray(known)
        try:
            return await self._wire.agreed(salt_key(start), salt, end)
        finally:
            wipe(salt)

    async def _look(self, starts: list[int]) -> dict[int, tuple[str, int, int]]:
        """Returns the SHA-1 of each salt, the milliseconds that are left of its time, and the time of its server in unix ms."""
        looks = self._redis.pipeline(transaction=False)
        for start in starts:
            looks.eval(LOOK, 1, salt_key(start))
        said: list[Any] = await looks.execute()
        return {
            start: (digest.decode(), left_ms, seconds * 1_000 + micros // 1_000)
            for start, (digest, left_ms, seconds, micros) in zip(starts, said, strict=True)
        }

    def _hear(self, errors: Sequence[Exception]) -> None:
        """Logs once that Redis refuses to keep a salt, as when it is full. Raises any other error than a refusal."""
        for error in errors:
            if not isinstance(error, ResponseError):
                raise error
        said = str(errors[0]) if errors else ""
        if said and said != self._said:
            log.warning("Redis keeps no new salt, so events of some sites may be refused: %s", said)
        self._said = said


def _digest(salt: bytearray | None) -> str:
    """Returns what look_at_salt.lua says of this salt."""
    return "" if salt is None else hashlib.sha1(salt, usedforsecurity=False).hexdigest()
