"""A disk gets full under load: no acknowledged event is lost, no request hangs, and service resumes by itself."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError

from forebay.embedded.clickhouse.disk import PARTS_SECONDS
from schemas.redis.keys import Keys
from tests.support.command import told_of
from tests.support.fresh import ready_tables
from tests.support.posting import Client, Posted, assert_once, keep_posting
from tests.support.small_disk import small_disk
from tests.support.system import System, is_alive
from tests.support.volume import volume

MIB = 1 << 20
SHARDS = 2
ANSWER_SECONDS = 2
SERVING_SECONDS = 60  # of a busy machine; what stays stuck is never served
BUSY_SECONDS = 40.0  # what a machine that does other things may add; a client gives up after 60
# Each of both places and both kinds; `make thorough` fills each kind in each place.
DISKS = [
    pytest.param(where, kind, id=f"{where or 'one disk'}-{kind}")
    for where, kind in [("clickhouse", "ext4"), ("", "tmpfs"), ("clickhouse", "tmpfs"), ("", "ext4")][: volume(2, 4)]
]
FILLS = volume(4, 10)
BODIES, BODY_EVENTS = volume(30, 60), 500
SMALL = {
    "FOREBAY_SHARDS": str(SHARDS),
    "FOREBAY_ANSWER_SECONDS_MAX": str(ANSWER_SECONDS),
    "FOREBAY_REDIS_FREE_BYTES_MIN": str(8 * MIB),
    "FOREBAY_SPOOL_FREE_BYTES_MIN": str(4 * MIB),
    "FOREBAY_CLICKHOUSE_FREE_BYTES_MIN": str(16 * MIB),
}


class Scene:
    """Holds a system with clients that post all the time."""

    def __init__(self, system: System, posted: Posted) -> None:
        self.system = system
        self.posted = posted

    async def answered(self, status: int, more: int) -> None:
        """Waits until so many more requests were answered with this status."""
        before = self.posted.statuses[status]
        await self.system.until(lambda: self.posted.statuses[status] >= before + more)

    def insert_retries(self) -> float:
        """Returns how many INSERTs were tried again, for any reason."""
        return self.system.metric("forebay_insert_retries_total")

    def spool_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.system.data / "spool").glob("*/*.spool"))

    async def steady(self) -> None:
        """Waits until ClickHouse has answered for longer than a broken part stays unnoticed."""
        since = time.monotonic()
        deadline = since + 120
        while time.monotonic() - since < 2 * PARTS_SECONDS:
            assert time.monotonic() < deadline, self.system.tail()
            try:
                await self.system.ask("SELECT 1")
            except ClickHouseError:
                since = time.monotonic()
            await asyncio.sleep(0.05)

    async def serves(self) -> float:
        """Returns the seconds until an event is accepted that is sent from now on."""
        began = time.monotonic()
        first = len(self.posted.acknowledged)
        await self.system.until(lambda: len(self.posted.acknowledged) > first + 8)
        return time.monotonic() - began


def on_disks(directory: Path, **environment: str) -> System:
    """Returns a system whose data directory is there, because disks are mounted in it, with tables that are ready."""
    shutil.copytree(ready_tables(), directory / "data", symlinks=True, dirs_exist_ok=True)
    return System(directory, **environment)


@asynccontextmanager
async def posting(directory: Path) -> AsyncIterator[Scene]:
    """Gives a system under load; at the end everything acknowledged is stored once, and no letter is dead."""
    system = on_disks(directory, **SMALL)
    system.start()
    try:
        await system.ready()
        posted = Posted(system.facts()["url"], "disk")
        scene = Scene(system, posted)
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(keep_posting(posted, is_kept=True, pause=0.05, until=ended))
            try:
                await scene.answered(202, 50)
                yield scene
            finally:
                ended.set()
        print(f"{posted.sent} requests, {dict(posted.statuses)}, longest {posted.longest:.2f} s, {posted.faults}")
        assert posted.faults == {}
        assert set(posted.statuses) <= {202, 503}
        assert posted.longest < ANSWER_SECONDS + BUSY_SECONDS
        await assert_once(system, posted)
        (rows,), (counted,) = await system.ask(
            "SELECT count() FROM forebay.events UNION ALL SELECT sum(events) FROM forebay.daily"
        )
        assert rows == counted
        status, said = await told_of(system, "audit")
        assert status == 0, said
        print(said)
        client: Any = redis.Redis.from_url(system.facts()["redis_url"])
        assert [client.xlen(Keys(shard).dead) for shard in range(SHARDS)] == [0] * SHARDS
        assert await system.stop() == 0
    finally:
        system.close()


async def test_redis_disk(tmp_path: Path) -> None:
    """Redis exits when its disk is full, and is started again; meanwhile events go to the spool on its own disk with a
    202.
    """
    with small_disk(tmp_path / "data" / "redis", 64 * MIB) as disk:
        async with posting(tmp_path) as scene:
            store = scene.system.facts()["pids"]["redis"]
            disk.fill()
            await scene.system.until(lambda: not is_alive(store))
            await scene.answered(202, 100)
            assert scene.spool_bytes() > 0
            disk.empty()
            began = time.monotonic()
            await scene.system.until(lambda: scene.spool_bytes() == 0)
            print(f"redis: spool drained {time.monotonic() - began:.1f} s after space returned")
            assert scene.posted.statuses[503] == 0


async def test_spool_disk(tmp_path: Path) -> None:
    """A full spool disk changes nothing while Redis answers; if Redis hangs there are 503s, and 202s as soon as there
    is space.
    """
    with small_disk(tmp_path / "data" / "spool", 32 * MIB) as disk:
        async with posting(tmp_path) as scene:
            disk.fill()
            await scene.answered(202, 50)
            assert scene.posted.statuses[503] == 0
            store = scene.system.facts()["pids"]["redis"]
            os.kill(store, signal.SIGSTOP)
            try:
                await scene.answered(503, 50)
                disk.empty()
                seconds = await scene.serves()
            finally:
                os.kill(store, signal.SIGCONT)
            print(f"spool: serving {seconds:.2f} s after space returned")
            assert seconds < SERVING_SECONDS
            await scene.system.until(lambda: scene.spool_bytes() == 0)


async def test_clickhouse_disk(tmp_path: Path) -> None:
    """The flusher waits and tries again; events are accepted meanwhile, and none becomes a dead letter."""
    with small_disk(tmp_path / "data" / "clickhouse", 256 * MIB) as disk:
        async with posting(tmp_path) as scene:
            disk.fill()
            retries = scene.insert_retries()
            await scene.system.until(lambda: scene.insert_retries() > retries)
            disk.fill()
            await scene.answered(202, 100)
            disk.empty()
            began = time.monotonic()
            count = len(scene.posted.acknowledged)
            await scene.system.stored("startsWith(event_id, 'disk-')", count)
            print(f"clickhouse: all stored {time.monotonic() - began:.1f} s after space returned")
            assert scene.posted.statuses[503] == 0


def post_many(posted: Posted, bodies: int) -> None:
    """Posts bodies of many events with long texts, so that a merge takes a while."""
    for _ in range(bodies):
        names = [posted.next_id() for _ in range(BODY_EVENTS)]
        events = [{"url": "https://posting.example/page", "id": name, "title": os.urandom(200).hex()} for name in names]
        request = urllib.request.Request(
            posted.url + "/f", json.dumps(events).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202
        posted.acknowledged += names


async def disturb(system: System, ended: asyncio.Event) -> None:
    """Runs merges and mutations, one after the other, whatever becomes of them, so that something is always half
    written.
    """
    works = (
        "OPTIMIZE TABLE forebay.events FINAL",
        "ALTER TABLE forebay.events UPDATE title = concat(title, 'x') WHERE 1 SETTINGS mutations_sync = 1",
        "ALTER TABLE forebay.events MATERIALIZE PROJECTION daily SETTINGS mutations_sync = 1",
    )
    at = 0
    while not ended.is_set():
        with contextlib.suppress(Exception):  # a full disk, a broken part, an engine that is started again
            async with asyncio.timeout(10):
                await asyncio.to_thread(system.send, works[at % len(works)])
        at += 1
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("where", "kind"), DISKS)
async def test_filled_again_and_again_by_another_writer(tmp_path: Path, where: str, kind: str) -> None:
    """Another writer fills the disk to the last byte, at any moment, while ClickHouse writes: each event is stored
    once.

    Counters agree with rows, and the books balance.
    """
    chance = random.Random(kind + where)
    with small_disk(tmp_path / "data" / where, 448 * MIB, kind) as disk:
        async with posting(tmp_path) as scene:
            await asyncio.to_thread(post_many, scene.posted, BODIES)
            await scene.system.stored("startsWith(event_id, 'disk-')", BODIES * BODY_EVENTS)
            ended = asyncio.Event()
            disturbing = asyncio.create_task(disturb(scene.system, ended))
            for _ in range(FILLS):
                disk.fill(leaving=chance.choice((4, 24, 64, 128)) * MIB)
                await asyncio.sleep(chance.uniform(0, 0.5))
                until = time.monotonic() + chance.choice((0.01, 0.1, 1.0, 3.0))
                disk.fill()
                while time.monotonic() < until:
                    disk.fill()
                    await asyncio.sleep(0.002)
                disk.empty()
                await scene.answered(202, 20)
                await asyncio.sleep(chance.uniform(0, 1))
            ended.set()
            await disturbing
            await scene.steady()
        lines = scene.system.log.read_text("utf-8", "replace")
        print(f"{kind}, {where or 'one disk'}: {lines.count('the engine exits at once')} restarts for broken parts")


async def test_one_disk_for_everything(tmp_path: Path) -> None:
    """Requests get a 503 and don't hang, whatever exits because of the disk; then 202 again without any help."""
    with small_disk(tmp_path / "data", 384 * MIB) as disk:
        async with posting(tmp_path) as scene:
            disk.fill()
            await scene.answered(503, 50)
            disk.fill()
            await scene.answered(503, 100)
            disk.empty()
            seconds = await scene.serves()
            print(f"everything: serving {seconds:.2f} s after space returned")
            assert seconds < SERVING_SECONDS


async def test_a_disk_that_is_too_small_is_said(tmp_path: Path) -> None:
    """Events go to the spool and are not stored.

    Banner, log and audit say so, and how much is missing; with room all is stored.
    """
    needed = {"FOREBAY_REDIS_FREE_BYTES_MIN": str(64 * MIB)}
    with small_disk(tmp_path / "data" / "redis", 96 * MIB) as disk:
        disk.fill(leaving=48 * MIB)
        system = on_disks(tmp_path, **{**SMALL, **needed})
        system.start()
        try:
            await system.ready()
            posted = Posted(system.facts()["url"], "disk")
            client = Client(posted, is_kept=True)
            assert [await client.post() for _ in range(10)] == [202] * 10
            await client.close()
            log = system.log.read_text("utf-8")
            assert "Forebay is up, but not well," in log
            assert "needs 64 (FOREBAY_REDIS_FREE_BYTES_MIN): until it has, events go to the spool" in log
            assert "and redis_free_bytes_min is 64 MiB" in log
            status, said = await told_of(system, "audit")
            assert (status, "10 events are in the spool" in said) == (2, True), said
            disk.empty()
            await assert_once(system, posted)
            status, said = await told_of(system, "audit")
            assert (status, said.endswith("0 in flight, 0 in the spool\n")) == (0, True), said
        finally:
            system.close()
