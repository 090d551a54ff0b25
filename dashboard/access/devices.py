"""Knows the devices on which a user has logged in before, by a number that each browser keeps in a signed cookie.

    the cookie                  NUMBER.SIGNATURE
    forebay:devices:USER_ID     hash: SHA-256 of NUMBER → the unix second of the last login

A browser gets its number with the first page that has a form. It also belongs to the token that a form carries (dashboard/access/forms.py),
and to the bucket of attempts of a device that is known (dashboard/access/throttle.py).

Not promised: that a device is a person, or that it stays known: whoever deletes the cookies has a new one.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from dashboard.access.signing import Signing, hash_of, redis_errors
from runtime import redis
from schemas.redis.keys import DEVICE_SECONDS, devices_key

PURPOSE = "device"
DEVICES_MAX = 50  # of one user; the one that was longest away is forgotten
_number = re.compile(r"[0-9A-Za-z_-]{22}").fullmatch


class Devices:
    """Knows devices. What asks Redis raises Away while it does not answer."""

    def __init__(self, client: redis.Redis, signing: Signing, *, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._signing = signing
        self._now = now

    def number(self, cookie: str) -> str:
        """Returns the number in a cookie; "" if it is not ours."""
        number = self._signing.unsigned(PURPOSE, cookie) or ""
        return number if _number(number) else ""

    def new(self) -> str:
        """Returns the number of a new device."""
        return secrets.token_urlsafe(16)

    def cookie(self, number: str) -> str:
        """Returns the cookie of a device."""
        return self._signing.signed(PURPOSE, number)

    async def knows(self, user_id: str, number: str) -> bool:
        """Tells whether a user has logged in on a device. It asks Redis whatever the number is."""
        async with redis_errors():
            found: Any = self._redis.hexists(devices_key(user_id), hash_of(number))
            return bool(await found) and number != ""

    async def learn(self, user_id: str, number: str) -> bool:
        """Notes a login on a device, and returns whether the device was unknown."""
        key, field = devices_key(user_id), hash_of(number)
        async with redis_errors():
            added: Any = await self._redis.hset(key, field, str(int(self._now())))
            await self._redis.expire(key, DEVICE_SECONDS)
            if added:
                await self._make_room(key)
        return bool(added)

    async def _make_room(self, key: str) -> None:
        found: Any = await self._redis.hgetall(key)
        if len(found) > DEVICES_MAX:
            oldest = sorted(found, key=lambda field: int(found[field]))[: len(found) - DEVICES_MAX]
            await self._redis.hdel(key, *oldest)
