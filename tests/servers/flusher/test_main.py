"""flusher/__main__.py: what the log says while an end is not there yet."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from flusher import __main__ as flusher_main
from flusher.__main__ import connect
from schemas.settings import FlusherSettings
from tests.support import redis_server
from tests.support.waiting import until

server = redis_server.server

REFUSED = "127.0.0.1:9"


@pytest.mark.parametrize("end", ["Redis", "ClickHouse"])
async def test_an_end_that_is_not_there_yet_is_named_when_it_lasts(
    server: Path, end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing Redis or ClickHouse is logged only when it lasts, because all processes may be starting at once."""
    monkeypatch.setattr(flusher_main, "PATIENCE_SECONDS", 0.7)
    settings = FlusherSettings(
        redis_url=f"redis://{REFUSED}" if end == "Redis" else f"unix://{server}", clickhouse_url=f"http://{REFUSED}"
    )
    stopping = asyncio.Event()

    def said() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == flusher_main.__name__]

    began = time.time()
    waiting = asyncio.create_task(connect(settings, stopping))
    await until(said)
    stopping.set()
    assert await waiting is None
    assert [record.getMessage().partition(": ")[0] for record in said()] == [f"waiting for {end}"]
    assert said()[0].created - began >= 0.7
