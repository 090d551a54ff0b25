"""The flusher waits while ClickHouse's disk is short, says why, and goes on by itself."""

import asyncio
import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flusher.delivery.room import Room
from flusher.delivery.table import Unclear
from flusher.metrics import Metrics
from tests.support.waiting import until
from tests.unit.flusher.shards.test_shard import NOVEMBER, Scene

MIB = 1 << 20


class Disks:
    """Answers as a ClickHouse that is asked for its disks."""

    def __init__(self) -> None:
        self.free = 100 * MIB
        self.is_denied = False

    async def ask(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self.is_denied:
            raise Unclear("Code: 497. ACCESS_DENIED")
        return [("default", self.free)]


async def test_a_short_disk_lets_nothing_be_inserted_until_it_is_longer() -> None:
    """The last look decides and is a metric; while ClickHouse does not answer, the last figure stays."""
    disks, metrics = Disks(), Metrics(CollectorRegistry())
    room = Room(table=disks, free_bytes_min=384 * MIB, metrics=metrics)
    room.check()  # nothing is known yet
    await room.look()
    with pytest.raises(Unclear, match=r"disk default is short: 100 MiB left.* clickhouse_free_bytes_min is 384 MiB"):
        room.check()
    assert metrics.registry.get_sample_value("forebay_clickhouse_free_bytes") == 100 * MIB
    disks.free, disks.is_denied = 400 * MIB, True
    await room.look()
    with pytest.raises(Unclear, match="is short"):
        room.check()
    disks.is_denied = False
    await room.look()
    room.check()


async def test_a_clickhouse_that_does_not_show_its_disks_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """A ClickHouse that does not let us look at its disks is used all the same, and that is logged once."""
    disks = Disks()
    disks.is_denied = True
    room = Room(table=disks, free_bytes_min=384 * MIB, metrics=Metrics(CollectorRegistry()))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await room.look()
            room.check()
    assert [record.message for record in caplog.records] == [
        "ClickHouse's disk can't be looked at: Code: 497. ACCESS_DENIED"
    ]


async def test_nothing_is_inserted_on_a_short_disk() -> None:
    """The shard waits with its events and counts its retries; with room again, they are stored once."""
    scene = Scene()
    scene.engine.free_bytes = 100 * MIB
    await scene.room.look()
    scene.append(("first", NOVEMBER))
    serving = asyncio.create_task(scene.serve())

    def retries() -> float:
        return scene.metrics.registry.get_sample_value("forebay_insert_retries_total", {"kind": "unclear"}) or 0

    await until(lambda: retries() > 2)
    assert scene.ids() == []
    scene.engine.free_bytes = 500 * MIB
    await scene.room.look()
    await serving
    assert scene.ids() == ["first"]
