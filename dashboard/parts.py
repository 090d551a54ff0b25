"""Puts together what every part of the dashboard stands on: its connections, its sites, its cache and its way to tell people something."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from dashboard.ask.cache import Cache
from dashboard.ask.clickhouse import ClickHouse
from dashboard.ask.closed import KnowsClosed
from dashboard.metrics import Metrics
from dashboard.sites.records import Sites
from runtime import redis
from runtime.notify.notifier import Notifier, notifier_of
from schemas.settings import DashboardSettings

REDIS_SECONDS = 2.0


class Parts(NamedTuple):
    """Holds these parts. `store` is the client of Redis."""

    metrics: Metrics
    clickhouse: ClickHouse
    asker: Cache
    store: redis.Redis
    sites: Sites
    notifier: Notifier


def parts_of(settings: DashboardSettings, held: contextlib.AsyncExitStack) -> Parts:
    """Returns the parts. Their connections are closed when `held` is."""
    metrics = Metrics(CollectorRegistry())
    clickhouse = ClickHouse(
        settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password,
        seconds=settings.question_seconds,
        rows_max=settings.question_rows_max,
    )
    held.push_async_callback(clickhouse.close)
    asker = Cache(
        KnowsClosed(clickhouse),
        metrics=metrics,
        at_once=settings.questions_at_once,
        waiting_max=settings.questions_waiting_max,
        bytes_max=settings.cache_bytes_max,
    )
    store = redis.client(settings.redis_url, seconds=REDIS_SECONDS)
    held.push_async_callback(store.aclose)
    sites = Sites(store, named=settings.sites, timezone=settings.timezone)
    notifier = notifier_of(settings, metrics)
    held.push_async_callback(notifier.aclose)
    return Parts(metrics, clickhouse, asker, store, sites, notifier)
