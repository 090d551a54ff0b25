"""Checks the keys of API clients: whether a key exists, may read the site, and has not asked too often in this hour.

    401   there is no key, a wrong key, a key of another site, or no such site. The last three get the same answer, so that
          nobody can use a key to find out which sites there are
    429   the key has asked as often as it may in this hour
    503   Redis does not answer. Keys are kept nowhere else, so that a revoked key is refused at once

Requests with a valid key are counted in Redis by the hour of the clock, so that several dashboards count together. Any other request
costs one read of Redis.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from dashboard.catalogue.contract import Away
from dashboard.sites.records import Sites
from runtime import redis
from schemas.keys import NOBODY, Key, Scope, id_of
from schemas.redis.keys import KEYS_KEY, RATE_KEPT_SECONDS, RATE_SPAN_SECONDS, rate_key
from schemas.redis.scripts import script

RATE = script("rate")
HEADER_CHARS_MAX = 256

logger = logging.getLogger(__name__)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Holds which key may ask, and about which site: `limit` requests an hour, of which `remaining` are left until the unix second `reset`."""

    site: str
    key: str  # the key's ID, which is no secret
    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """Returns the headers that every answer to this key has."""
        return _headers(self.limit, self.remaining, self.reset)


class Denied(Exception):
    """Says in one sentence why a request is not answered. `status` is HTTP's, `headers` belong to the answer."""

    status = 401

    def __init__(self, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.headers = headers or {}


class NoKey(Denied):
    """Says that a request came without a key."""

    def __init__(self) -> None:
        super().__init__("Missing API key: send it as a Bearer token.", {"WWW-Authenticate": "Bearer"})


class WrongKey(Denied):
    """Says that a key may not read a site. It does not say whether the key or the site exists."""

    def __init__(self) -> None:
        super().__init__(
            "Invalid API key or site ID: this key cannot read this site.",
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


class TooOften(Denied):
    """Says that a key has asked as often as it may in an hour; it may again after `retry_after` seconds."""

    status = 429

    def __init__(self, limit: int, reset: int, retry_after: int) -> None:
        super().__init__(
            f"This key may ask {limit} times an hour. Try again in {retry_after} seconds.",
            {**_headers(limit, 0, reset), "Retry-After": str(retry_after)},
        )
        self.limit = limit
        self.reset = reset
        self.retry_after = retry_after


def _headers(limit: int, remaining: int, reset: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


class Keys:
    """Grants or denies requests by their keys."""

    def __init__(self, client: redis.Redis, sites: Sites, *, now: Callable[[], float] = time.time) -> None:
        self._redis = client
        self._sites = sites
        self._now = now

    async def grant(self, header: str | None, site_id: str, *, scope: Scope = "read") -> Grant:
        """Counts a request by its header `Authorization`, and returns which key may ask about which site.

        Raises NoKey, WrongKey, TooOften, and Away while Redis does not answer.
        """
        async with _redis_errors():
            key_id, key = await self._known(header)
            site = self._sites.get(site_id)
            if site is None or not key.allows(site.name, scope):
                raise WrongKey
            return await self._counted(key_id, key, site.name)

    async def readable(self, header: str | None) -> tuple[Grant, list[str]]:
        """Counts a request as `grant` does, and returns the names of the registered sites, and those of the settings, that a key may read.

        The `site` of the grant is empty. Raises the same errors.
        """
        async with _redis_errors():
            key_id, key = await self._known(header)
            if key.scope != "read":
                raise WrongKey
            grant = await self._counted(key_id, key, "")
            return grant, [name for name in self._sites.names() if key.allows(name, "read")]

    async def reader(self, header: str | None) -> Key:
        """Counts a request as `grant` does, and returns the record of a key that reads, which says of which sites. Raises the same errors."""
        async with _redis_errors():
            key_id, key = await self._known(header)
            if key.scope != "read":
                raise WrongKey
            await self._counted(key_id, key, "")
            return key

    async def _known(self, header: str | None) -> tuple[str, Key]:
        """Returns the ID and the record of the key in a header. Raises NoKey and WrongKey."""
        text = _bearer(header)
        key_id = id_of(text)
        if key_id is None:
            raise WrongKey
        key = await self._found(key_id)
        is_known = (key or NOBODY).is_of(text)
        if key is None or not is_known:
            raise WrongKey
        return key_id, key

    async def _found(self, key_id: str) -> Key | None:
        """Returns the record of a key; None if there is none, or none that can be read."""
        value = await self._redis.hget(KEYS_KEY, key_id)
        if value is None:
            return None
        try:
            return Key.decode(value)
        except (ValueError, RecursionError):
            logger.warning("the record of key %s can't be read: `forebay key revoke %s` removes it", key_id, key_id)
            return None

    async def _counted(self, key_id: str, key: Key, site: str) -> Grant:
        """Counts a request of this key. Raises TooOften."""
        now = self._now()
        reset = int(now // RATE_SPAN_SECONDS + 1) * RATE_SPAN_SECONDS
        counting = self._redis.eval(RATE, 1, rate_key(key_id, now), str(key.rate), str(RATE_KEPT_SECONDS))
        remaining = int(await counting)
        if remaining < 0:
            raise TooOften(key.rate, reset, max(1, reset - int(now)))
        return Grant(site=site, key=key_id, limit=key.rate, remaining=remaining, reset=reset)


@asynccontextmanager
async def _redis_errors() -> AsyncIterator[None]:
    """Turns errors of Redis into Away."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        logger.warning("a key can't be looked up: %s", error)
        raise Away("Redis does not answer, so keys can't be looked up; try again.") from error


def _bearer(header: str | None) -> str:
    """Returns the token of a header `Authorization`. Raises NoKey if there is none."""
    scheme, _, token = (header or "")[:HEADER_CHARS_MAX].strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NoKey
    return token.strip()
