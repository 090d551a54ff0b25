"""A part that ClickHouse acknowledged and lost is stored again, once, by a real engine that was really killed.

The engine writes down a token before it renames the part into place. strace kills it at that rename; without strace,
the part's directory is taken away after a kill instead.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from flusher.blocks.block import Block, form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery import verify
from flusher.delivery.deliver import Delivery
from flusher.delivery.room import Room
from flusher.delivery.table import Table
from flusher.metrics import Metrics
from flusher.redis.lease import Lease
from forebay.clickhouse import ClickHouse
from schemas.entry import encode
from schemas.names import EntryId
from schemas.redis.records import Entry
from schemas.row import month_of
from tests.support.engine import EngineProcess
from tests.support.fresh import engine_with_tables
from tests.support.rows import columns_of, plain
from tests.support.waiting import wait_until

# Of rows older than 8 days ClickHouse empties the ids, and merges their parts for it.
LATELY = int(time.time()) * 1000 - 3_600_000
SHARD = 1
ROWS = 50
STRACE = shutil.which("strace")
RENAMES = "rename,renameat,renameat2"


class Scene:
    """Holds one data directory, and the engine that runs on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.metrics = Metrics(CollectorRegistry())
        self.engine = engine_with_tables(data)

    @property
    def clickhouse(self) -> ClickHouse:
        return ClickHouse(f"http://127.0.0.1:{self.engine.port}")

    def parts(self) -> list[Path]:
        """Returns the parts of `events`, the oldest first."""
        uuid = self.clickhouse.run(
            "SELECT uuid FROM system.tables WHERE database = 'forebay' AND name = 'events'"
        ).strip()
        return sorted((self.data / "engine" / "store" / uuid[:3] / uuid).glob("2*_*_*_*"))

    def restart(self, *, is_repaired: bool) -> None:
        """Starts the engine on what the dead one left. Without the marker it is like a server that repairs nothing."""
        if not is_repaired:
            (self.data / "unclean").unlink()
        self.engine.close()
        self.engine = EngineProcess(self.data)

    async def deliver(self, block: Block, *, is_first: bool) -> None:
        """Delivers as a flusher that holds the lease."""
        table = await asyncio.to_thread(
            Table.connect, f"http://127.0.0.1:{self.engine.port}", user="default", password="", timeout_seconds=120
        )
        try:
            room = Room(table=table, free_bytes_min=1, metrics=self.metrics)
            delivery = Delivery(table=table, room=room, metrics=self.metrics, retry_seconds_max=0.2)
            lease = Lease(SHARD, 1, "owner", "cafe", asyncio.get_running_loop().time() + 30)
            await delivery.deliver(lease, block, is_first=is_first)
            self.held = await verify.held(table, block.id)
        finally:
            await table.close()

    def healed(self) -> float:
        return self.metrics.registry.get_sample_value("forebay_block_healed_total") or 0.0

    def numbers(self) -> list[int]:
        """Returns the events that `events`, `daily` and `sessions` hold; `late`, always 0, is in no projection."""
        said = self.clickhouse.run(
            "SELECT (SELECT count() FROM forebay.events WHERE late = 0), (SELECT sum(events) FROM forebay.daily),"
            " (SELECT sum(events) FROM forebay.sessions)"
        )
        return [int(one) for one in said.split()]


class Case(NamedTuple):
    """Says whether the next start repairs the log of tokens, and which attempt then holds the block."""

    is_repaired: bool
    attempt: int


CASES = [Case(is_repaired=True, attempt=0), Case(is_repaired=False, attempt=1)]
IDS = ["the log is repaired, the token is taken", "the token is remembered, another attempt heals"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Yields an engine with our tables."""
    scene = Scene(tmp_path)
    yield scene
    scene.engine.close()


def block(from_id: EntryId, to_id: EntryId) -> Block:
    rows = [
        plain(ts=LATELY + at, received_at=LATELY, event_id=f"{to_id}/{at}", visitor_id=at % 7) for at in range(ROWS)
    ]
    entry = Entry(to_id, encode(columns_of(rows)), len(rows), "producer", 1)
    return form(prepare([entry]), incarnation="cafe", shard=SHARD, from_id=from_id, sessions=Sessions())


async def heals(scene: Scene, lost: Block, case: Case) -> None:
    """Delivers the block again, and once more: when it is there, nothing changes."""
    scene.restart(is_repaired=case.is_repaired)
    assert scene.numbers() == [ROWS] * 3, "the part is lost, and no rollup counts it"
    for _ in range(2):
        await scene.deliver(lost, is_first=False)
        assert scene.held == {month_of(LATELY): {case.attempt: ROWS}}
        assert scene.numbers() == [2 * ROWS] * 3
        assert scene.healed() == (0 if case.is_repaired else 1)


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_part_that_is_gone_after_a_kill(scene: Scene, case: Case) -> None:
    """A block whose token is written down and whose directory is gone is stored again, once."""
    stored, lost = block(EntryId(0, 0), EntryId(5, 0)), block(EntryId(5, 0), EntryId(9, 0))
    await scene.deliver(stored, is_first=True)
    before = set(scene.parts())
    await scene.deliver(lost, is_first=True)
    (part,) = set(scene.parts()) - before
    scene.engine.kill()
    shutil.rmtree(part)
    await heals(scene, lost, case)


@pytest.mark.skipif(STRACE is None, reason="strace is not here")
@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_kill_between_the_token_and_its_part(scene: Scene, case: Case) -> None:
    """A block is stored again, once, when the engine really dies at the rename of its part."""
    stored, lost = block(EntryId(0, 0), EntryId(5, 0)), block(EntryId(5, 0), EntryId(9, 0))
    await scene.deliver(stored, is_first=True)
    assert STRACE
    tracer = subprocess.Popen(
        [STRACE, "-f", "-q", "-e", f"trace={RENAMES}", "-e", f"inject={RENAMES}:signal=KILL:when=1",
         "-p", str(scene.engine.process.pid)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        if not traced(scene.engine.process.pid, tracer):
            pytest.skip("this host allows no tracing")
        (part,) = scene.parts()
        assert "tmp" not in part.name
        insert = asyncio.create_task(scene.deliver(lost, is_first=True))
        await asyncio.to_thread(scene.engine.process.wait, 20)
        insert.cancel()
        await asyncio.wait([insert])
    finally:
        tracer.kill()
        tracer.wait()
    assert [one.name for one in part.parent.glob("2*_*_*_*")] == [part.name]
    assert list(part.parent.glob("tmp_insert_*")), "written, not renamed"
    log = max((part.parent / "deduplication_logs").iterdir(), key=lambda path: path.name)
    assert log.read_bytes().count(b"\n") == 2, "remembered"
    await heals(scene, lost, case)


def traced(pid: int, tracer: subprocess.Popen[bytes]) -> bool:
    """Waits until every thread is traced. Tells whether they are."""
    status = Path(f"/proc/{pid}/task")
    threads = [path / "status" for path in status.iterdir()]

    def is_over() -> bool:
        return tracer.poll() is not None or all("TracerPid:\t0\n" not in path.read_text() for path in threads)

    wait_until(is_over)
    return tracer.poll() is None
