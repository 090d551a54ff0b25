"""Finds users in Redis, says whether there is one at all, and gives one another password.

Nothing is remembered here: another grant, another password and the removal of a user hold for the next request.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, NamedTuple

from msgspec.structs import replace

from dashboard.access.signing import redis_errors
from runtime import redis
from schemas.redis.keys import USERS_KEY, sessions_key
from schemas.redis.scripts import script
from schemas.users import User, is_user_name, new_id, user_name

REPLACE = script("replace_field")
_log = logging.getLogger("dashboard.access")


class Found(NamedTuple):
    """Holds a user: the name, the record, and the record's bytes in Redis."""

    name: str
    record: User
    value: bytes


class Users:
    """Finds users. Every method raises Away while Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    async def has_any(self) -> bool:
        """Tells whether there is a user. One whose record can't be read is one, too."""
        async with redis_errors():
            count: Any = self._redis.hlen(USERS_KEY)
            return bool(await count)

    async def get(self, said: str) -> Found | None:
        """Returns the user of a name; None if there is none, or none that can be read. It asks Redis whatever the name is."""
        name = user_name(said)
        field = name if is_user_name(name) else ""
        async with redis_errors():
            value: Any = await self._redis.hget(USERS_KEY, field)
        if value is None:
            return None
        try:
            return Found(name, User.decode(value), value)
        except (ValueError, RecursionError):
            _log.warning("the record of the user %s can't be read: `forebay user remove %s` removes it", name, name)
            return None

    async def give_password(self, user: Found, hashed: str) -> Found | None:
        """Gives a user another password, and ends all sessions. Returns None if somebody has changed the user meanwhile."""
        record = replace(user.record, password=hashed, stamp=new_id(secrets.choice))
        value = record.encode()
        async with redis_errors():
            said: Any = await self._redis.eval(REPLACE, 1, USERS_KEY, user.name, user.value, value)
            if said != b"ok":
                return None
            await self._redis.delete(sessions_key(record.id))
        return Found(user.name, record, value)
