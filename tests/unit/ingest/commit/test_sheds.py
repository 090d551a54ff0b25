"""The first 503 is in the log with its reason; the next thousand are one line a minute."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from ingest.commit.sheds import SAY_SECONDS, Sheds
from ingest.fates import Shed
from ingest.metrics import Metrics


def test_the_first_is_said_at_once_and_the_others_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """With their number and what is wrong now; when a minute is over they are said although no more came."""
    now = 100.0
    wrong = "12 MiB left on the disk of /data/redis"
    sheds = Sheds(lambda: wrong, clock=lambda: now)
    metrics = Metrics(CollectorRegistry(), sheds)
    with caplog.at_level(logging.CRITICAL):
        metrics.shed(Shed.SPOOL_FULL, 1)
        for _ in range(1_000):
            metrics.shed(Shed.MEMORY, 2)
        metrics.flush()
        assert [record.message for record in caplog.records] == [
            "answered 503: 1 events for spool_full (12 MiB left on the disk of /data/redis)"
        ]
        now += SAY_SECONDS
        wrong = ""
        metrics.flush()
        metrics.flush()
    assert [record.message for record in caplog.records[1:]] == ["answered 503: 2000 events for memory"]
