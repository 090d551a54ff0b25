"""Measures what an event weighs at rest: bytes on ClickHouse's disk and in Redis's memory.

It weighs whole tables and streams, whoever filled them, so only a run on an empty deployment measures its own events.
On disk only merged parts mean anything, so the table is merged first. That is work for the server, and therefore done
only if it is asked for.
"""

from __future__ import annotations

from typing import Any

from loadtest.watch.deployment import Deployment
from loadtest.watch.reconcile import ClickHouse, VerifyError
from loadtest.watch.redis_weight import RedisUnreachableError, held

PARTS_SQL = """
SELECT sum(rows), sum(bytes_on_disk), count() FROM system.parts
WHERE database = 'forebay' AND table = 'events' AND active
"""
COLUMNS_SQL = """
SELECT name, data_compressed_bytes FROM system.columns
WHERE database = 'forebay' AND table = 'events' AND data_compressed_bytes > 0 ORDER BY 2 DESC LIMIT 12
"""


def cost_of(deployment: Deployment, is_wanted: bool) -> dict[str, Any]:
    """Returns `disk` and `redis`, each None if it is not known, with the reason in `faults`. Blocks."""
    found: dict[str, Any] = {"disk": None, "redis": None, "faults": []}
    if not is_wanted:
        return found
    try:
        found["disk"] = _disk(deployment)
    except VerifyError as error:
        found["faults"].append(str(error))
    if not deployment.redis_url:
        found["faults"].append("the address of Redis is not known: give --redis-url")
        return found
    try:
        streams = held(deployment.redis_url)
    except RedisUnreachableError as error:
        found["faults"].append(str(error))
        return found
    if streams.rows:
        found["redis"] = {
            "bytes_per_event": round(streams.bytes / streams.rows, 1),
            "events_per_entry": round(streams.rows / streams.entries, 1),
            "events": streams.rows,
        }
    return found


def _disk(deployment: Deployment) -> dict[str, Any] | None:
    store = ClickHouse(
        deployment.clickhouse_url, user=deployment.clickhouse_user, password=deployment.clickhouse_password
    )
    try:
        store.run("OPTIMIZE TABLE forebay.events FINAL")
        rows, size, parts = map(int, store.rows(PARTS_SQL)[0])
        columns = {name: round(int(weight) / max(1, rows), 2) for name, weight in store.rows(COLUMNS_SQL)}
    finally:
        store.close()
    return (
        {"bytes_per_event": round(size / rows, 1), "events": rows, "parts": parts, "columns": columns} if rows else None
    )
