"""Starts one ingest worker, lets it serve on inherited sockets, and ends it when it is told to leave.

At its start a worker waits until Redis has told it that it keeps what it answers, the number of shards, the salts and
the sites. Then it listens, and then it says that it is ready. On a Redis that has to be mended first it ends, and says
what is wrong. When it is told to leave (SIGTERM) it stops accepting, answers what it has begun, commits what waits, and
ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ingest.commit.answers import Refused, Unclear
from ingest.commit.durability import Durability
from ingest.commit.stream import RedisStream
from ingest.worker import Worker
from runtime.replicas import difference
from schemas.settings import IngestSettings

log = logging.getLogger(__name__)
RETRY_SECONDS = 0.1  # between tries while Redis does not answer at the start
EXIT_LAYOUT = 3
# Events and rows are freed by counting references, because they form no cycles. To look for cycles among those in flight
# after every 700 new objects took 10 % of the CPU of a body of 50 events. What lives for good is not looked at at all.
CYCLES_AFTER = (10_000, 20, 50)


class Server(Protocol):
    """Speaks HTTP on the sockets."""

    async def start(self, sockets: Sequence[socket.socket]) -> None: ...

    async def stop(self) -> None:
        """Accepts no more, answers what has begun, closes idle connections; within `drain_seconds`."""
        ...


async def work(
    settings: IngestSettings,
    descriptors: Sequence[int],
    *,
    server: Callable[[Worker], Server],
    report: Callable[[bool], None],
) -> int:
    """Runs one worker, and returns its exit code. `report` hears whether an event would be made durable now.

    Raises NotDurable when it can't start on this Redis.
    """
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, leaving.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # a ctrl-C is the tier's to hear
    durability = Durability(is_trusted=settings.redis_fsync == "trusted")
    stream = RedisStream(
        settings.redis_url,
        timeout_ms=settings.append_timeout_ms,
        durability=durability,
        replicas=settings.redis_replicas,
    )
    worker: Worker | None = None
    try:
        worker = await _ready(settings, stream, durability, leaving)
    finally:
        if worker is None:
            await stream.close()
    if worker is None:
        return 0
    serving = server(worker)
    gc.freeze()
    gc.set_threshold(*CYCLES_AFTER)
    await serving.start([socket.socket(fileno=descriptor) for descriptor in descriptors])
    async with asyncio.TaskGroup() as tasks:
        behind = tasks.create_task(worker.run(report, leaving.set), name="behind the server")
        await leaving.wait()
        until = time.monotonic() + settings.drain_seconds
        await serving.stop()
        is_drained = await worker.appender.drain(max(0.1, until - time.monotonic()))
        behind.cancel()
    await worker.close()
    if worker.is_misplaced:
        return EXIT_LAYOUT
    return 0 if is_drained else 1


async def _ready(
    settings: IngestSettings, stream: RedisStream, durability: Durability, leaving: asyncio.Event
) -> Worker | None:
    """Returns the worker once Redis has answered all that it needs to know; None where it is to leave before.

    Raises NotDurable.
    """
    waiting = ""
    worker: Worker | None = None
    while not leaving.is_set():
        try:
            if worker is None:
                await _required(stream, durability)
                shards, shard_key = await stream.layout(settings.shards)
                await stream.agree()
                if stream.replicas != settings.redis_replicas:
                    said = difference(settings.redis_replicas, stream.replicas, "this ingest")
                    log.error("redis_replicas: %s", " | ".join((said[0], *said[1])))
                worker = Worker(settings, stream=stream, durability=durability, shards=shards, shard_key=shard_key)
            await worker.prepare()
        except (Unclear, Refused) as error:
            if str(error) != waiting:
                waiting = str(error)
                log.warning("waiting for Redis: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), RETRY_SECONDS)
        else:
            return worker
    return None


async def _required(stream: RedisStream, durability: Durability) -> None:
    """Requires that Redis keeps what it answers, before anything is written to it.

    Raises NotDurable, or answers.Unclear or Refused.
    """
    try:
        await stream.look()
    except Refused:  # a new connection is refused for its faults, lasting ones or those that pass
        durability.require()
        if not durability.faults:
            raise
    durability.require()
