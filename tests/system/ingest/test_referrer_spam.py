"""`forebay ingest` with a list of referrer spam that is replaced and damaged under it, and a threshold of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redis import Redis

from schemas.bots import BotReason
from schemas.entry import decode
from schemas.row import COLUMNS
from tests.support.ingesting import START_SECONDS, Ingest, asked, ingesting, killed_worker_is_replaced
from tests.support.redis_programs import running, socket_of
from tests.support.waiting import wait_until

FAILED = 'forebay_reload_failed_total{what="referrer_spam"}'


def verdict(ingest: Ingest, redis: Any, **said: Any) -> tuple[str, int]:
    """Sends an event, and returns `bot` and `bot_reasons` of its row."""
    body = json.dumps({"url": "https://example.com/", "user": "u", **said}).encode()
    assert asked(f"http://127.0.0.1:{ingest.port('port')}/f", body)[0] == 202
    [(_, fields)] = redis.xrevrange("forebay:{0}:log", count=1)
    row = dict(zip(COLUMNS, (column[-1] for column in decode(fields[b"d"])), strict=True))
    return row["bot"], row["bot_reasons"]


def test_a_list_is_replaced_while_it_runs(tmp_path: Path) -> None:
    """A bad one never counts; a good one counts within seconds."""
    path = tmp_path / "spam.txt"
    path.write_text("first.example\n")
    spam = ("referrer_spam", int(BotReason.REFERRER_SPAM))
    with (
        running(tmp_path),
        Redis(unix_socket_path=str(socket_of(tmp_path))) as redis,
        ingesting(tmp_path, referrer_spam_file=str(path), bot_threshold="30") as ingest,
    ):
        wait_until(lambda: ingest.status("/readyz") == 200, START_SECONDS)
        assert verdict(ingest, redis, referrer="https://www.first.example/x") == spam
        assert verdict(ingest, redis, referrer="https://second.example/x") == ("", 0)
        assert verdict(ingest, redis, auto=4) == ("window", int(BotReason.WINDOW)), "by the threshold of the setting"
        path.write_bytes(b"\0" * 100)
        wait_until(lambda: f"{FAILED} 1.0" in ingest.metrics())
        assert verdict(ingest, redis, referrer="https://www.first.example/x") == spam
        killed_worker_is_replaced(ingest)
        assert verdict(ingest, redis, referrer="https://www.first.example/x") == ("", 0), "a new worker has no good one"
        path.write_text("second.example\n")
        wait_until(lambda: verdict(ingest, redis, referrer="https://second.example/x") == spam)
        assert verdict(ingest, redis, referrer="https://www.first.example/x") == ("", 0)
        assert ingest.said.count("the last good one stays in force") == 1
