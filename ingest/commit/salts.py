"""Agrees with the other processes on the salts in Redis, with one pipeline for all of them.

All salts are read with what is left of their time, and only what is missing or would stay too long or too short is
written: a write is fsynced, and every worker agrees every two seconds. The time is Redis's own.

An ingest of release 0.1.0 keeps a salt for 47 hours, and up to 01:00 UTC makes that of yesterday again from its memory.
So the expiry of what is there is corrected, and yesterday's salt of UTC is looked at even if nobody here needs it.

Not promised: that two processes which know different sites agree on an expiry. Each sets its own, and what one of them
still needs it puts back two seconds later.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from runtime.redis import Redis, ResponseError, Routed
from schemas.redis.keys import SALT_BEHIND_SECONDS, salt_key

log = logging.getLogger(__name__)
SALT_BYTES = 32
DAY_SECONDS = 86_400
SLACK_MS = 1_000  # by which an expiry may be off: TIME and PTTL are answered one after the other
MISSING, ENDLESS = -2, -1  # what PTTL says of a key that does not exist, and of one that never expires


class Agreement:
    """Reads and makes salts in one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._is_one = not isinstance(redis, Routed)
        self._said = ""  # why Redis kept no salt when it was last asked to

    async def on(self, until: Mapping[int, int], known: Mapping[int, bytes]) -> dict[int, bytes]:
        """Returns the salts of local days by their starts, as SaltSource in ingest/collect/visitor.py says.

        Raises redis.RedisError and OSError.
        """
        yesterday = (int(time.time()) // DAY_SECONDS - 1) * DAY_SECONDS
        ends = {yesterday: yesterday + DAY_SECONDS + SALT_BEHIND_SECONDS, **until}
        there = await self._read([*ends])
        writes = self._redis.pipeline(transaction=False)
        found: dict[int, bytes] = {}
        made: list[int] = []
        for start, end in ends.items():
            salt, left_ms, now_ms = there[start]
            is_over = end * 1_000 <= now_ms
            if left_ms != MISSING and (left_ms == ENDLESS or abs(now_ms + left_ms - end * 1_000) > SLACK_MS):
                writes.expireat(salt_key(start), end)  # what is over is deleted by it
            if salt is not None and not is_over:
                found[start] = salt
            elif start in until and not is_over:
                made.append(start)
        corrected = len(writes)
        for start in made:
            salt = known.get(start) or secrets.token_bytes(SALT_BYTES)
            writes.set(salt_key(start), salt, nx=True, exat=ends[start])
            writes.get(salt_key(start))  # another process may have been faster
        if len(writes):
            said: list[Any] = await writes.execute(raise_on_error=False)
            self._hear(next((one for one in said if isinstance(one, Exception)), None))
            gotten = zip(made, said[corrected + 1 :: 2], strict=True)
            found |= {start: salt for start, salt in gotten if isinstance(salt, bytes)}
        return {start: salt for start, salt in found.items() if start in until}

    async def _read(self, starts: list[int]) -> dict[int, tuple[bytes | None, int, int]]:
        """Returns each salt with the milliseconds that are left of its time, and the time of its server in unix ms.

        Where salts are on several servers, the time is asked for behind each.
        """
        reads = self._redis.pipeline(transaction=False)
        for start in starts:
            reads.get(salt_key(start))
            reads.pttl(salt_key(start))
            if not self._is_one or start == starts[-1]:
                reads.time()
        said = await reads.execute()
        if self._is_one:
            *pairs, now = said
            said = [part for pair in zip(pairs[::2], pairs[1::2], strict=True) for part in (*pair, now)]
        threes = zip(said[::3], said[1::3], said[2::3], strict=True)
        return {
            start: (salt, left_ms, seconds * 1_000 + micros // 1_000)
            for start, (salt, left_ms, (seconds, micros)) in zip(starts, threes, strict=True)
        }

    def _hear(self, error: Exception | None) -> None:
        """Logs once that Redis refuses to keep a salt, as when it is full. Raises any other error than a refusal."""
        if error is not None and not isinstance(error, ResponseError):
            raise error
        said = "" if error is None else str(error)
        if said and said != self._said:
            log.warning("Redis keeps no new salt, so events of some sites may be refused: %s", said)
        self._said = said
