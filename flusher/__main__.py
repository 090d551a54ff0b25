"""The flusher process: leases shards, serves them, answers on the internal port.

SIGTERM or SIGINT drains: what is in the streams at that moment is flushed, leases are given
back, and it exits 0. After `drain_seconds` it exits anyway; what is left stays in Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from flusher import config
from flusher.blocks.block import BlockLimits
from flusher.config import FlusherSettings
from flusher.copies.claims import Claims
from flusher.delivery.clocks import Skews
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.delivery.table import Table, Unclear
from flusher.fleet import Fleet
from flusher.metrics import Metrics
from flusher.redis import lease
from flusher.redis.durability import Replica, faults, watch
from flusher.redis.lease import Lease, Leases
from flusher.redis.stream import RedisStream
from flusher.shards.ledger import Ledger
from flusher.shards.shard import Shard
from flusher.shards.standstill import Standstills
from runtime import log as logs
from schemas.durability import PAGE
from schemas.entry import SHARDS_KEY
from schemas.hosts import Hosts
from schemas.settings import SettingsError, unknown

log = logging.getLogger(__name__)
WAIT_SECONDS = 0.1
WAIT_SECONDS_MAX = 2.0
PATIENCE_SECONDS = 5.0  # all may be starting at once, and an engine takes a second: only what lasts is worth a line
PR_SET_PDEATHSIG = 1
EXIT_REDIS = 4  # as ingest's: this Redis has to be mended, or another named


def redis_client(settings: FlusherSettings) -> Redis:
    """A client that never sends a command twice by itself: a script that timed out may have run."""
    return Redis.from_url(
        settings.redis_url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=0,
    )


async def connect(settings: FlusherSettings, stopping: asyncio.Event) -> tuple[Table, int] | None:
    """The table and the installation's shard count, once both ends answer; None when told to stop. Raises Replica."""
    redis = redis_client(settings)
    now = asyncio.get_running_loop().time
    awaited, since, is_said = "", now(), False
    pause = WAIT_SECONDS
    while not stopping.is_set():
        try:
            faults(await RedisStream(redis).facts())  # before anything is written to it
            await redis.set(SHARDS_KEY, settings.shards, nx=True)
            shards: Any = await redis.get(SHARDS_KEY)
            table = await asyncio.to_thread(
                Table.connect,
                settings.clickhouse_url,
                user=settings.clickhouse_user,
                password=settings.clickhouse_password,
                timeout_seconds=settings.insert_timeout_seconds,
            )
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
            await redis.aclose()
            return table, int(shards)
    await redis.aclose()
    return None


async def serve(settings: FlusherSettings) -> int:
    """Run until a signal; the exit status. Raises Replica at the start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    metrics = Metrics(CollectorRegistry())
    connected = await connect(settings, stopping)
    if connected is None:
        return 0
    table, shards = connected
    redis = redis_client(settings)
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    leases = Leases(redis=redis, owner=owner, ttl_ms=settings.lease_ttl_ms)
    stream = RedisStream(redis)
    room = Room(table=table, free_bytes_min=settings.clickhouse_free_bytes_min, metrics=metrics)
    delivery = Delivery(table=table, room=room, metrics=metrics, retry_seconds_max=settings.retry_ms_max / 1000)
    claims = Claims(
        stream=stream,
        table=table,
        metrics=metrics,
        window_ms=settings.id_window_hours * 3_600_000,
        bytes_max=settings.id_filter_bytes_max,
    )
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
    runner = await internal_port(settings, metrics, fleet, standstills)
    work = loop.create_task(fleet.run(stopping), name="fleet")
    skews = Skews(redis=stream.now_ms, table=table, metrics=metrics)
    async with beside(room.run(), watch(stream, stopping), skews.run()):
        await asyncio.wait([work, loop.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        is_drained = await _ended(work, settings.drain_seconds)
    await runner.cleanup()
    await redis.aclose()
    if is_drained:
        work.result()
    return 0 if is_drained and not fleet.is_misplaced else 1


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Does these beside the body, and ends them with it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _ended(work: asyncio.Task[None], drain_seconds: int) -> bool:
    """Whether the work ended by itself within this time; it is cancelled otherwise."""
    _, unfinished = await asyncio.wait([work], timeout=drain_seconds)
    if unfinished:
        log.error("drain took over %d s: the rest stays in Redis", drain_seconds)
        work.cancel()
        await asyncio.wait([work])
    return not unfinished


async def internal_port(
    settings: FlusherSettings, metrics: Metrics, fleet: Fleet, standstills: Standstills
) -> web.AppRunner:
    """Serve /metrics, /healthz and /readyz."""

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if not fleet.is_connected:
            return web.Response(status=503, text="Redis does not answer\n")
        if stopped := ", ".join(map(str, fleet.stopped)):
            return web.Response(status=503, text=f"stopped, and needs a person: shard {stopped}\n")
        if stalled := standstills.over(settings.ready_stalled_seconds_max):
            return web.Response(status=503, text=_stalled(stalled))
        return web.Response(text="ready\n")

    hosts = Hosts(settings.flusher_internal_host, settings.internal_hosts)

    @web.middleware
    async def known_hosts(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := hosts.refusal(request.headers.getall("Host", [])):
            return web.Response(status=403, text=refusal)
        return await handler(request)

    app = web.Application(middlewares=[known_hosts])
    app.add_routes([web.get("/metrics", exposition), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.flusher_internal_host, settings.flusher_internal_port).start()
    return runner


def _stalled(shards: Mapping[int, float]) -> str:
    """Which shards store nothing, and since when."""
    said = ", ".join(
        f"shard {shard} for {seconds:.0f} s, since {datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        for shard, seconds in shards.items()
    )
    return f"nothing is stored, and something waits: {said}\n"


def migrate(settings: FlusherSettings) -> None:
    """Run `forebay migrate` first where the settings say so. Raises CalledProcessError."""
    if settings.migrate_on_start:
        subprocess.run([sys.executable, "-m", "forebay", "migrate"], check=True)


def die_with_parent() -> None:
    """End with the process that started us, however it ends (Linux; a no-op elsewhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Entry point of `python -m flusher`."""
    parser = argparse.ArgumentParser(
        prog="forebay flusher", description="Stores events in ClickHouse. Settings: docs/configuration.md."
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the process that started this one does"
    )
    if parser.parse_args().die_with_parent:
        die_with_parent()
    try:
        settings = config.load()
    except SettingsError as error:
        if os.environ.get("FOREBAY_LOG_FORMAT") == "json":
            logs.set_up("json")
            for line in str(error).splitlines():
                log.critical("%s", line)
        else:
            print(error, file=sys.stderr)
        return 2
    logs.set_up(settings.log_format)
    for line in unknown(os.environ):
        log.warning(line)
    for library in ("urllib3", "clickhouse_connect"):  # what they warn of is raised too, and said by us in one line
        logging.getLogger(library).setLevel(logging.ERROR)
    migrate(settings)
    try:
        return uvloop.run(serve(settings))
    except Replica as error:
        log.critical("it does not start: %s (%s)", error, PAGE)
        return EXIT_REDIS


if __name__ == "__main__":
    sys.exit(main())
