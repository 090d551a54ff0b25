"""Signs what cookies and forms carry, and hashes what keys of Redis are named after, by a secret that all dashboards share.

The secret is made by whoever comes first, and is in Redis alone. Each purpose has a signature of its own, so nothing that was signed for
one is taken for another. Deleting `forebay:signing` ends every session, and makes every device a new one.

Not promised: secrecy from whoever reads Redis. They have the records, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dashboard.catalogue.contract import Away
from runtime import redis
from schemas.redis.keys import SIGNING_KEY

SECRET_BYTES = 32
QUIET_SECONDS = 60.0  # between two lines of the log that say the same of Redis
READ_SECONDS = 10.0  # between two looks at the secret, which another dashboard may have made anew
TEXT_CHARS_MAX = 512
_log = logging.getLogger("dashboard.access")


class Signing:
    """Makes and checks signatures. Call `read` first, for each request; it raises Away."""

    def __init__(self, client: redis.Redis, *, now: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._now = now
        self._secret = b""
        self._looked_at = 0.0

    async def read(self) -> None:
        """Reads the secret, and makes one if there is none. Raises Away."""
        if self._secret and 0 <= self._now() - self._looked_at < READ_SECONDS:
            return
        async with redis_errors():
            found: Any = await self._redis.get(SIGNING_KEY)
            if found is None:
                await self._redis.set(SIGNING_KEY, secrets.token_bytes(SECRET_BYTES), nx=True)
                found = await self._redis.get(SIGNING_KEY)
        if found is None:
            raise Away("Redis does not keep what cookies are signed with; try again.")
        self._secret, self._looked_at = bytes(found), self._now()

    def signed(self, purpose: str, text: str) -> str:
        """Returns a text with its signature behind it."""
        return f"{text}.{self.signature(purpose, text)}"

    def unsigned(self, purpose: str, said: str) -> str | None:
        """Returns the text in front of a signature; None if the signature is not ours."""
        text, _, signature = said[:TEXT_CHARS_MAX].rpartition(".")
        return text if self.is_signature(purpose, text, signature) else None

    def signature(self, purpose: str, text: str) -> str:
        """Returns the signature of a text, as 43 characters that cookies and forms may have."""
        mac = hmac.digest(self._secret, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def is_signature(self, purpose: str, text: str, said: str) -> bool:
        """Tells whether this is the signature of a text. It takes the same time whatever is said."""
        wanted = self.signature(purpose, text).encode()
        return hmac.compare_digest(wanted, said.encode("utf-8", "surrogatepass"))


def hash_of(text: str) -> str:
    """Returns the SHA-256 of a random text in hexadecimal digits, which is all that is kept of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_warned_at = [-QUIET_SECONDS]


def _warn(error: Exception) -> None:
    """Says once a minute that Redis does not answer: strangers ask without end, too."""
    if time.monotonic() - _warned_at[0] >= QUIET_SECONDS:
        _warned_at[0] = time.monotonic()
        _log.warning("Redis does not answer, so nobody can be let in: %s", error)


@asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Turns errors of Redis into Away."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        _warn(error)
        raise Away("Redis does not answer, and without it nobody can be let in; try again.") from error
