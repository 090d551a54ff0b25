"""Clocks that are apart are logged once, measured, and an alarm; nothing else changes (flusher, ingest, audit)."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flusher.delivery import verify
from flusher.delivery.clocks import Skews
from flusher.metrics import Metrics
from flusher.redis.lease import Unclear
from ingest import metrics as ingest_metrics
from ingest.commit.skew import Skew
from ingest.commit.stream import Refused
from schemas.clocks import skew

NOW = 1_796_083_200_000


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, ""),
        (4_900, ""),
        (-4_900, ""),
        (6_000, "the clock of Redis is 6 s ahead of this host's"),
        (-61_000, "the clock of Redis is 61 s behind this host's"),
        (1_800_000, "the clock of Redis is 30 min ahead of this host's"),
        (-90_000_000, "the clock of Redis is 25.0 h behind this host's"),
    ],
)
def test_what_is_said_of_two_clocks(ahead: int, said: str) -> None:
    """Nothing is said within the limit; beyond it, which clock is off, by how much, and in which direction."""
    assert skew("Redis", NOW + ahead, NOW) == said


class Elsewhere:
    """Is a Redis and a ClickHouse whose clocks are ahead by so many ms, or that do not answer."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.error: Exception | None = None

    async def now_ms(self) -> int:
        if self.error is not None:
            raise self.error
        return int(time.time() * 1000) + self.ahead_ms

    async def ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        assert sql == verify.CLOCK
        return [(await self.now_ms(),)]


async def test_the_flusher_says_it_once_and_counts_it(caplog: pytest.LogCaptureFixture) -> None:
    """The flusher logs each clock once, again after it was right in between, and nothing while no server answers."""
    elsewhere, metrics = Elsewhere(), Metrics(CollectorRegistry())
    skews = Skews(redis=elsewhere.now_ms, table=elsewhere, metrics=metrics)
    caplog.set_level(logging.ERROR)
    for ahead_ms, lines in ((0, 0), (90_000_000, 1), (90_000_000, 1), (0, 1), (-90_000_000, 2)):
        elsewhere.ahead_ms = ahead_ms
        for name in ("Redis", "ClickHouse"):
            await skews.look(name)
            off = metrics.registry.get_sample_value("forebay_clock_skew_seconds", {"clock": name.lower()})
            assert off is not None
            assert abs(off - abs(ahead_ms) / 1000) < 5
        assert len(caplog.records) == 2 * lines
    elsewhere.error = Unclear("no answer")
    await skews.look("Redis")
    assert len(caplog.records) == 4


async def test_ingest_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    """Ingest compares its own clock, which dates events, with Redis's."""
    registry = CollectorRegistry()
    elsewhere, counts = Elsewhere(), ingest_metrics.Metrics(registry)
    looks = Skew(source=elsewhere, counts=counts)
    caplog.set_level(logging.ERROR)
    for ahead_ms, lines in ((0, 0), (-90_000_000, 1), (-90_000_000, 1), (0, 1)):
        elsewhere.ahead_ms = ahead_ms
        await looks.look()
        off = registry.get_sample_value("forebay_clock_skew_seconds", {"clock": "redis"})
        assert off is not None
        assert abs(off - abs(ahead_ms) / 1000) < 5
        assert len(caplog.records) == lines
    elsewhere.error = Refused("loading")
    await looks.look()
