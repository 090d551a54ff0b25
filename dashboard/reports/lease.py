"""Holds the right to tell people about sites, so that of several dashboards one does it.

The lease is a key of Redis with an end. Its holder extends it at each look and before each message, and so has it for as long as it
lives; another dashboard takes it when the holder is gone, LEASE_MS later.

Not promised: that two never send at once. A holder that slept through the end of its lease may be in the middle of a message. What
was told is noted behind each message (reporter.py), so that this costs one message twice, and not a report.
"""

from __future__ import annotations

import secrets

from runtime import redis
from schemas.redis.keys import REPORTER_KEY
from schemas.redis.scripts import script

LEASE_MS = 60_000  # three times what an attempt to send takes at most
RENEW = script("renew_lease")


class Lease:
    """Takes, extends and gives back the lease. Every method raises RedisError or OSError while Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._name = secrets.token_hex(8)

    async def hold(self) -> bool:
        """Takes the lease, or extends it; returns whether it is ours now."""
        if await self._redis.set(REPORTER_KEY, self._name, nx=True, px=LEASE_MS):
            return True
        return bool(await self._redis.eval(RENEW, 1, REPORTER_KEY, self._name, LEASE_MS))

    async def give_back(self) -> None:
        """Ends the lease if it is ours, so that another dashboard need not wait."""
        await self._redis.eval(RENEW, 1, REPORTER_KEY, self._name, 1)
