"""Runs a flusher: it leases shards, serves them, and answers on its internal port.

SIGTERM or SIGINT drains: what is in the streams at that moment is flushed, leases are given back, and it exits 0. After
`drain_seconds` it exits anyway, and what is left stays in Redis.

It exits 2 when the settings can't be used, and 4 when Redis is a replica of another.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from flusher.blocks.block import BlockLimits
from flusher.closing.closing import STATEMENT_SECONDS, Closing
from flusher.closing.zones import SiteZones
from flusher.copies.claims import Claims
from flusher.delivery.clocks import clickhouse_clock
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.delivery.table import Refused, Table, Unclear
from flusher.fleet import Fleet
from flusher.metrics import Metrics
from flusher.redis import lease, places
from flusher.redis.durability import Replica, faults, watch, watch_replicas
from flusher.redis.lease import Lease, Leases
from flusher.redis.replicas import Replicas
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstills
from runtime import listen, redis
from runtime import log as logs
from runtime.clocks import Skews
from runtime.ending import leave
from runtime.hosts import Hosts
from runtime.internal import Answer, Routes, serving
from runtime.parent import die_with_parent
from runtime.redis import Redis, RedisError
from runtime.replicas import agreed
from runtime.settings import EXIT_SETTINGS, SettingsError, load, unknown
from schemas.durability import PAGE
from schemas.redis.keys import SHARDS_KEY
from schemas.settings import CLUSTER_IS_EXPERIMENTAL, PREFIX, FlusherSettings

log = logging.getLogger(__name__)
WAIT_SECONDS = 0.1
WAIT_SECONDS_MAX = 2.0
PATIENCE_SECONDS = 5.0  # all may be starting at once, and an engine takes a second: only what lasts is worth a line
EXIT_REDIS = 4  # as ingest's: this Redis has to be mended, or another named


def redis_client(settings: FlusherSettings) -> Redis:
    """Returns a client of the Redis in the settings."""
    return redis.client(settings.redis_url, seconds=5, connect_seconds=2)


def table_of(settings: FlusherSettings, timeout_seconds: float) -> Table:
    """Connects to the ClickHouse in the settings. Raises table.Unclear."""
    return Table.connect(
        settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password,
        timeout_seconds=timeout_seconds,
    )


async def connect(settings: FlusherSettings, stopping: asyncio.Event) -> tuple[Table, int, int] | None:
    """Returns the table, and the installation's numbers of shards and of replicas, once both ends answer; None when told to stop.

    Raises Replica.
    """
    client = redis_client(settings)
    now = asyncio.get_running_loop().time
    awaited, since, is_said = "", now(), False
    pause = WAIT_SECONDS
    while not stopping.is_set():
        try:
            faults(await RedisStream(client).facts())  # before anything is written to it
            await client.set(SHARDS_KEY, settings.shards, nx=True)
            shards: Any = await client.get(SHARDS_KEY)
            replicas = await agreed(client, settings.redis_replicas)
            table = await asyncio.to_thread(table_of, settings, settings.insert_timeout_seconds)
        except (RedisError, OSError, Unclear, lease.Unclear) as error:
            end = "Redis" if isinstance(error, RedisError | lease.Unclear) else "ClickHouse"
            if end != awaited:
                awaited, since, is_said = end, now(), False
            if not is_said and now() - since >= PATIENCE_SECONDS:
                is_said = True
                log.warning("waiting for %s: %s: %s", end, type(error).__name__, error)
            await asyncio.sleep(pause)
            pause = min(WAIT_SECONDS_MAX, pause * 1.5)
        else:
            await client.aclose()
            return table, int(shards), replicas
    await client.aclose()
    return None


async def serve(settings: FlusherSettings) -> int:
    """Runs until a signal, and returns the exit code. Raises Replica at the start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    metrics = Metrics(CollectorRegistry())
    connected = await connect(settings, stopping)
    if connected is None:
        return 0
    table, shards, count = connected
    try:
        internal, _ = listen.listen(settings.flusher_internal_host, settings.flusher_internal_port)
    except OSError as error:
        log.error("cannot listen on port %d: %s", settings.flusher_internal_port, error)  # noqa: TRY400 - the address says it all
        return 1
    client = redis_client(settings)
    replicas = Replicas(client, settings.redis_replicas, count=count)
    leases = Leases(redis=client, owner=_owner(), ttl_ms=settings.lease_ttl_ms, replicas=replicas)
    stream = RedisStream(client, replicas)
    room = Room(table=table, free_bytes_min=settings.clickhouse_free_bytes_min, metrics=metrics)
    delivery = Delivery(table=table, room=room, metrics=metrics, retry_seconds_max=settings.retry_ms_max / 1000)
    claims = _claims(settings, stream, table, metrics)
    standstills = Standstills(metrics)

    def shard(held: Lease) -> Shard:
        return Shard(
            held,
            stream=stream,
            claims=claims,
            table=table,
            delivery=delivery,
            ledger=Ledger(held, stream=stream, table=table, metrics=metrics),
            metrics=metrics,
            standstill=standstills.begin(held.shard),
            limits=BlockLimits(settings.block_rows_max, settings.block_bytes_max, settings.block_age_ms),
            tail_ms=settings.replay_tail_seconds * 1000,
            tail_bytes_max=settings.replay_tail_bytes_max,
        )

    fleet = Fleet(leases=leases, shards=shards, serve=shard, metrics=metrics)
    zones = SiteZones(client, named=settings.sites, timezone=settings.timezone)
    connected_for_long = partial(table_of, settings, STATEMENT_SECONDS)
    closing = Closing(connected_for_long, zones=zones, is_mine=lambda: fleet.serves(0), copied=metrics.closed.inc)
    hosts = Hosts(settings.flusher_internal_host, settings.internal_hosts)
    answering = serving(internal, routes(metrics, fleet, standstills, settings.ready_stalled_seconds_max), hosts=hosts)
    work = loop.create_task(fleet.run(stopping), name="fleet")
    others = beside_the_fleet(stream, table, room, metrics, stopping, shards=shards)
    async with answering, beside(closing.run(), *others):
        await asyncio.wait([work, loop.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        is_drained = await _ended(work, settings.drain_seconds)
    await client.aclose()
    if is_drained:
        work.result()
    return 0 if is_drained and not fleet.is_misplaced else 1


def _claims(settings: FlusherSettings, stream: RedisStream, table: Table, metrics: Metrics) -> Claims:
    return Claims(
        stream=stream,
        table=table,
        metrics=metrics,
        window_ms=settings.id_window_hours * 3_600_000,
        bytes_max=settings.id_filter_bytes_max,
    )


def _owner() -> str:
    """Returns a name that no other flusher has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def beside_the_fleet(
    stream: RedisStream,
    table: Table,
    room: Room,
    metrics: Metrics,
    stopping: asyncio.Event,
    *,
    shards: int,
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yields what runs for as long as the fleet does."""
    yield room.run()
    yield watch(stream, stopping)
    yield watch_replicas(stream)
    yield places.watch(stream, shards, metrics.shard_node)
    yield clocks(stream, table, metrics).run()


def clocks(stream: RedisStream, table: Table, metrics: Metrics) -> Skews:
    """Returns what compares the clocks of Redis and ClickHouse with this host's."""
    return Skews(
        {"Redis": stream.clocks_ms, "ClickHouse": clickhouse_clock(table)},
        show=lambda clock, seconds: metrics.clock_skew.labels(clock).set(seconds),
        silence=(lease.Unclear, Unclear, Refused),
    )


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs these beside the body, and cancels them behind it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _ended(work: asyncio.Task[None], drain_seconds: int) -> bool:
    """Returns whether the work ended by itself within this time; it is cancelled otherwise."""
    _, unfinished = await asyncio.wait([work], timeout=drain_seconds)
    if unfinished:
        log.error("drain took over %d s: the rest stays in Redis", drain_seconds)
        work.cancel()
        await asyncio.wait([work])
    return not unfinished


def routes(metrics: Metrics, fleet: Fleet, standstills: Standstills, stalled_seconds_max: float) -> Routes:
    """Returns what the internal port answers: /metrics, /healthz (the process lives) and /readyz (all is stored)."""

    def exposition() -> Answer:
        return Answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)

    def readyz() -> Answer:
        if not fleet.is_connected:
            return Answer(503, b"Redis does not answer\n")
        if stopped := ", ".join(map(str, fleet.stopped)):
            return Answer(503, f"stopped, and needs a person: shard {stopped}\n".encode())
        if stalled := standstills.over(stalled_seconds_max):
            return Answer(503, _stalled(stalled).encode())
        return Answer(200, b"ready\n")

    return {"/metrics": exposition, "/healthz": lambda: Answer(200, b"ok\n"), "/readyz": readyz}


def _stalled(shards: Mapping[int, float]) -> str:
    """Returns which shards store nothing, and since when, for people."""
    said = ", ".join(
        f"shard {shard} for {seconds:.0f} s, since {datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        for shard, seconds in shards.items()
    )
    return f"nothing is stored, and something waits: {said}\n"


def migrate(settings: FlusherSettings) -> None:
    """Runs `forebay migrate` where the settings say so. Raises CalledProcessError."""
    if settings.migrate_on_start:
        subprocess.run([sys.executable, "-m", "forebay", "migrate"], check=True)


def main() -> int:
    """Runs the flusher, and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="forebay flusher", description="Stores events in ClickHouse. Settings: docs/configuration.md."
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the process that started this one does"
    )
    if parser.parse_args().die_with_parent:
        die_with_parent()
    try:
        settings = load(FlusherSettings, os.environ)
    except SettingsError as error:
        logs.refuse(str(error), os.environ.get(f"{PREFIX}LOG_FORMAT", "text"), "flusher")
        return EXIT_SETTINGS
    logs.set_up(settings.log_format)
    for line in unknown(os.environ):
        log.warning(line)
    if settings.clickhouse_cluster:
        log.warning(CLUSTER_IS_EXPERIMENTAL)
    for library in ("urllib3", "clickhouse_connect"):  # what they warn of is raised too, and said by us in one line
        logging.getLogger(library).setLevel(logging.ERROR)
    migrate(settings)
    try:
        return uvloop.run(serve(settings))
    except Replica as error:
        log.critical("it does not start: %s (%s)", error, PAGE)
        return EXIT_REDIS


if __name__ == "__main__":
    leave(main())
