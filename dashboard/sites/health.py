"""Says whether events arrive: whether ingest, Redis, the flusher and ClickHouse work, and which events were rejected lately.

It is meant for an owner without a shell. While somebody looks at the page of health, each part is asked at most once in two seconds, and
has two seconds to answer.

Not promised: a replacement for alerts (docs/operations.md#alerts). It asks one ingest and one flusher, those of the settings.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from dashboard.catalogue.contract import Unanswered
from runtime import redis
from schemas.reasons import EXPLAINED
from schemas.rejected import added_up, keys_shown

ASK_SECONDS = 2.0
REMEMBERED_SECONDS = 2.0
REJECTED_ROWS = 50
TEXT_CHARACTERS_MAX = 300
LAG = re.compile(r"^forebay_flush_lag_seconds\{[^}]*\} (\S+)$", re.MULTILINE)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what is known of one part of Forebay."""

    name: str
    is_well: bool
    says: str


class RejectedEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Holds how many events of one site (`where`) were rejected for one reason in the last hour. `at` is when the last one was."""

    reason: str
    explained: str
    events: int
    where: str
    at: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Holds what the page of health shows. A value is None where it is not known."""

    parts: list[Part]
    lag_seconds: float | None
    last_event: int | None
    rejected: list[RejectedEvents]


class Health:
    """Asks all parts how they are. `freshness` returns when the newest event was received (unix s, 0 for never); it raises Unanswered."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        ingest_url: str,
        flusher_url: str,
        ping: Callable[[], Awaitable[None]],
        freshness: Callable[[], Awaitable[int]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = client
        self._ingest_url = ingest_url.rstrip("/")
        self._flusher_url = flusher_url.rstrip("/")
        self._ping = ping
        self._freshness = freshness
        self._now = now
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._looked = 0.0

    async def look(self) -> Report:
        """Returns a report that is at most some seconds old."""
        async with self._lock:
            if self._report is None or not 0 <= self._now() - self._looked < REMEMBERED_SECONDS:
                self._report = await self._look()
                self._looked = self._now()
            return self._report

    async def _look(self) -> Report:
        limit = aiohttp.ClientTimeout(total=ASK_SECONDS)
        async with aiohttp.ClientSession(timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as session:
            parts = asyncio.gather(
                _part(session, "ingest", self._ingest_url),
                self._buffer(),
                _part(session, "flusher", self._flusher_url),
                self._clickhouse(),
            )
            facts = asyncio.gather(_lag(session, self._flusher_url), self._last_event(), self._rejected())
            found, (lag, last, rejected) = await asyncio.gather(parts, facts)
        return Report(parts=list(found), lag_seconds=lag, last_event=last, rejected=rejected)

    async def _buffer(self) -> Part:
        try:
            pinged: Any = self._redis.ping()
            await pinged
        except (redis.RedisError, OSError):
            return Part(name="buffer", is_well=False, says="Redis does not answer.")
        return Part(name="buffer", is_well=True, says="Redis answers.")

    async def _clickhouse(self) -> Part:
        try:
            await self._ping()
        except Unanswered as error:
            return Part(name="ClickHouse", is_well=False, says=str(error))
        return Part(name="ClickHouse", is_well=True, says="It answers questions.")

    async def _last_event(self) -> int | None:
        try:
            return await self._freshness() or None
        except Unanswered:
            return None

    async def _rejected(self) -> list[RejectedEvents]:
        spans: list[Mapping[str, str]] = []
        try:
            for key in keys_shown(self._now()):
                fields: Any = self._redis.hgetall(key)
                spans.append({_text(name): _text(value) for name, value in (await fields).items()})
        except (redis.RedisError, OSError):
            return []
        return [
            RejectedEvents(
                reason=one.reason,
                explained=EXPLAINED.get(one.reason, ""),
                events=one.events,
                where=one.site,
                at=one.last,
            )
            for one in added_up(spans)[:REJECTED_ROWS]
        ]


async def _part(session: aiohttp.ClientSession, name: str, url: str) -> Part:
    """Returns what a tier says at /readyz of its internal port."""
    try:
        async with session.get(f"{url}/readyz") as answer:
            text = (await answer.text("utf-8", "replace")).strip()[:TEXT_CHARACTERS_MAX]
            return Part(name=name, is_well=answer.status == 200, says=f"It says: {text}.")
    except (aiohttp.ClientError, TimeoutError):
        return Part(name=name, is_well=False, says="It does not answer.")


async def _lag(session: aiohttp.ClientSession, url: str) -> float | None:
    """Returns the age in seconds of the oldest event that is not stored, or None if the flusher does not say."""
    try:
        async with session.get(f"{url}/metrics") as answer:
            found = [float(value) for value in LAG.findall(await answer.text("utf-8", "replace"))]
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return max(found, default=None)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
