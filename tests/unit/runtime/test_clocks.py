"""runtime/clocks.py: a clock that is off is logged once, counted, and an alarm; nothing else changes."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flusher.delivery import verify
from flusher.delivery.clocks import clickhouse_clock
from flusher.redis.lease import Unclear
from ingest import metrics as ingest_metrics
from runtime.clocks import Skews
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


async def test_a_clock_that_is_off_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Each clock is logged once, again after it was right in between, and not at all while no server answers."""
    elsewhere, off = Elsewhere(), dict[str, float]()
    clocks = {"Redis": elsewhere.now_ms, "ClickHouse": clickhouse_clock(elsewhere)}
    skews = Skews(clocks, show=off.__setitem__, silence=(Unclear,))
    caplog.set_level(logging.ERROR)
    for ahead_ms, lines in ((0, 0), (90_000_000, 1), (90_000_000, 1), (0, 1), (-90_000_000, 2)):
        elsewhere.ahead_ms = ahead_ms
        for name in clocks:
            await skews.look(name)
            assert abs(off[name.lower()] - abs(ahead_ms) / 1000) < 5
        assert len(caplog.records) == 2 * lines
    elsewhere.error = Unclear("no answer")
    await skews.look("Redis")
    assert len(caplog.records) == 4


async def test_ingest_shows_it_as_a_metric() -> None:
    """Ingest's metric takes the name of the clock as its label, and the seconds as its value."""
    registry = CollectorRegistry()
    elsewhere = Elsewhere()
    elsewhere.ahead_ms = -90_000_000
    await Skews({"Redis": elsewhere.now_ms}, show=ingest_metrics.Metrics(registry).clock_skew, silence=()).look("Redis")
    off = registry.get_sample_value("forebay_clock_skew_seconds", {"clock": "redis"})
    assert off is not None
    assert abs(off - 90_000) < 5
