"""Keeps who is logged in: begins sessions, finds the one of a cookie, lists and ends them.

    the cookie                   USER_ID.SECRET.SIGNATURE
    forebay:sessions:USER_ID     hash: SHA-256 of SECRET → {"user", "stamp", "made", "seen", "device", "agent"}

A session ends 30 days after it began, after a week in which nobody used it, when it is ended, and when its user has another password or is
gone. Whatever ends it is looked up for each request, so it holds at once, on all dashboards.

Not promised: that `seen` is exact. It is written every five minutes.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from dashboard.access.signing import Signing, hash_of, redis_errors
from dashboard.access.users import Found, Users
from runtime import redis
from schemas.redis.keys import SESSION_SECONDS, sessions_key
from schemas.redis.scripts import script
from schemas.users import ID_CHARS

REPLACE = script("replace_field")
PURPOSE = "session"
UNUSED_SECONDS = 7 * 86_400
SEEN_SECONDS = 300
SESSIONS_MAX = 50  # of one user; the oldest ends when another begins
_cookie = re.compile(rf"([0-9A-Za-z]{{{ID_CHARS}}})\.([0-9A-Za-z_-]{{43}})").fullmatch


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is kept of a session: the user's name and stamp, when it began and was last used (unix s), and on what.

    `device` is the hash of the device's number; `agent` says which browser it is, for people.
    """

    user: str
    stamp: str
    made: int
    seen: int
    device: str = ""
    agent: str = ""


class Open(NamedTuple):
    """Holds a session that is open: its field in Redis, its record, and its user."""

    id: str
    record: Session
    user: Found


class Ended(Exception):
    """Says why a cookie opens nothing: `forged` if its signature is not ours, else `ended`."""


class Sessions:
    """Keeps sessions. Every method raises Away while Redis does not answer."""

    def __init__(
        self, client: redis.Redis, users: Users, signing: Signing, *, now: Callable[[], float] = time.time
    ) -> None:
        self._redis = client
        self._users = users
        self._signing = signing
        self._now = now

    async def begin(self, user: Found, *, device: str, agent: str) -> str:
        """Begins a session, and returns the cookie's text. `device` is the hash of the device's number."""
        secret = secrets.token_urlsafe(32)
        now = int(self._now())
        made = Session(user=user.name, stamp=user.record.stamp, made=now, seen=now, device=device, agent=agent)
        key = sessions_key(user.record.id)
        async with redis_errors():
            await self._make_room(key, user)
            await self._set(key, hash_of(secret), made)
            await self._redis.expire(key, SESSION_SECONDS)
        return self._signing.signed(PURPOSE, f"{user.record.id}.{secret}")

    async def find(self, cookie: str) -> Open:
        """Returns the session that a cookie opens. Raises Ended."""
        text = self._signing.unsigned(PURPOSE, cookie)
        parts = _cookie(text) if text is not None else None
        if parts is None:
            raise Ended("forged")
        key, field = sessions_key(parts[1]), hash_of(parts[2])
        async with redis_errors():
            value: Any = await self._redis.hget(key, field)
        record = _decoded(value) if value is not None else None
        user = await self._users.get(record.user) if record is not None else None
        if record is None or user is None or user.record.id != parts[1] or not self._is_open(record, user):
            raise Ended("ended")
        if self._now() - record.seen >= SEEN_SECONDS:
            later = msgspec.json.encode(replace(record, seen=int(self._now())))
            async with redis_errors():  # only in the place of what was read: a session that has ended stays so
                await self._redis.eval(REPLACE, 1, key, field, value, later)
        return Open(field, record, user)

    async def of(self, user: Found) -> list[tuple[str, Session]]:
        """Returns the open sessions of a user with their fields, the last used one first."""
        async with redis_errors():
            found: Any = await self._redis.hgetall(sessions_key(user.record.id))
        decoded = [(field.decode(), _decoded(value)) for field, value in found.items()]
        is_open = [(field, one) for field, one in decoded if one is not None and self._is_open(one, user)]
        return sorted(is_open, key=lambda one: -one[1].seen)

    async def end(self, user_id: str, *fields: str) -> None:
        """Ends sessions of a user."""
        if fields:
            async with redis_errors():
                await self._redis.hdel(sessions_key(user_id), *fields)

    async def end_others(self, user_id: str, kept: str) -> int:
        """Ends all sessions of a user but one, and returns how many these were."""
        async with redis_errors():
            found: Any = await self._redis.hkeys(sessions_key(user_id))
        others = [field.decode() for field in found if field.decode() != kept]
        await self.end(user_id, *others)
        return len(others)

    async def _make_room(self, key: str, user: Found) -> None:
        """Removes the sessions that have ended, and the oldest if there are too many."""
        found: Any = await self._redis.hgetall(key)
        records = {field: _decoded(value) for field, value in found.items()}
        left = {field: one for field, one in records.items() if one is not None and self._is_open(one, user)}
        oldest = sorted(left, key=lambda field: left[field].seen)
        gone = [field for field in records if field not in left] + oldest[: max(0, len(left) + 1 - SESSIONS_MAX)]
        if gone:
            await self._redis.hdel(key, *gone)

    async def _set(self, key: str, field: str, session: Session) -> None:
        setting: Any = self._redis.hset(key, field, msgspec.json.encode(session))
        await setting

    def _is_open(self, session: Session, user: Found) -> bool:
        now = self._now()
        is_young = now - session.made < SESSION_SECONDS and now - session.seen < UNUSED_SECONDS
        return is_young and session.stamp == user.record.stamp and session.user == user.name


def _decoded(value: bytes) -> Session | None:
    try:
        return msgspec.json.decode(value, type=Session)
    except (ValueError, RecursionError):
        return None
