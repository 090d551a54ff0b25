"""The appender and its spool while Redis is away, on a scripted stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.commit import committer, returner
from ingest.commit import spool as spool_module
from ingest.commit.answers import Refused, Unclear
from ingest.commit.spool import SpoolFull
from ingest.fates import Shed
from tests.support.committing import at_work
from tests.support.spooling import opened
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after a millisecond, not after a tenth of a second."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


async def test_a_shard_silent_for_a_day_goes_on_as_a_new_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis forgets a silent one after a week: nobody alive is ever that silent."""
    async with at_work(is_open=True) as scene:
        for title in ("1", "2", "3"):
            assert await scene.request(title) is None
            monkeypatch.setattr(committer, "IDLE_SECONDS_MAX", -1 if title == "2" else 86_400)
        first, second, third = scene.stream.stored
        assert (second.producer, second.number) == (first.producer, 2)
        assert (third.producer != first.producer, third.number) == (True, 1)


@pytest.mark.parametrize("was_in", [False, True])
async def test_live_commits_queue_behind_spooled_ones(tmp_path: Path, was_in: bool) -> None:
    """All are answered from disk meanwhile; then each is in Redis once, in order, and a new producer goes on."""
    spool, counts = opened(tmp_path)
    async with at_work(is_open=True, spool=spool) as scene:
        assert await scene.request("0") is None
        scene.stream.lost_answers = was_in
        scene.stream.down = {0: Unclear("Redis is silent")}
        for title in ("1", "2", "3"):
            assert await scene.request(title) is None
        assert counts.bytes > 0
        assert await scene.request("other shard", shard=1) is None
        scene.stream.lost_answers, scene.stream.down = False, {}
        await until(lambda: not counts.bytes)
        assert await scene.request("4") is None
        assert scene.stream.titles() == ["0", "1", "2", "3", "4"]
        first, *spooled, last = [one for one in scene.stream.stored if one.shard == 0]
        assert [(one.producer, one.number) for one in spooled] == [(first.producer, number) for number in (2, 3, 4)]
        assert (last.producer != first.producer, last.number) == (True, 1)
    spool.close()
    assert not list(tmp_path.iterdir())


async def test_a_full_spool_is_a_503_and_serves_again_when_drained(tmp_path: Path) -> None:
    """At once, not after a wait; those before it stay accepted; nobody has to help."""
    spool, counts = opened(tmp_path, bytes_max=1_500)
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down = {0: Refused("full")}
        assert await scene.request("1") is None
        answers = [await scene.request(str(number)) for number in range(2, 30)]
        assert answers[-1] is Shed.SPOOL_FULL
        taken = ["1", *(str(number) for number, answer in enumerate(answers, 2) if answer is None)]
        scene.stream.down = {}
        await until(lambda: not counts.bytes)
        assert await scene.request("9") is None
        assert scene.stream.titles() == [*taken, "9"]
    spool.close()


@pytest.mark.parametrize("is_redis_first", [True, False])
async def test_a_disk_that_refuses_is_a_503_and_serves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_redis_first: bool
) -> None:
    """Neither Redis nor the spool takes it: not answered before one does; new requests are refused at once."""
    spool, _ = opened(tmp_path)
    write = spool_module.Chain.write
    is_full = True

    async def refusing(self: spool_module.Chain, one: Any) -> None:
        if is_full:
            raise SpoolFull
        await write(self, one)

    monkeypatch.setattr(spool_module.Chain, "write", refusing)
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down = {0: Unclear("gone")}
        first = scene.request("1")
        await until(lambda: not scene.is_ready())
        assert await scene.request("2") is Shed.SPOOL_FULL
        assert not first.done()
        if is_redis_first:
            scene.stream.down = {}
        else:
            is_full = False
        assert await first is None
        assert scene.is_ready()
        assert await scene.request("3") is None
        scene.stream.down = {}
        await until(lambda: scene.stream.titles() == ["1", "3"])
    spool.close()


async def test_pressure_without_room_is_a_503_at_once(tmp_path: Path) -> None:
    """Redis is close to its wall and the disk has its minimum left: nothing is even tried."""
    spool, _ = opened(tmp_path, free_bytes_min=1 << 60)
    is_pressed = True
    async with at_work(is_open=True, spool=spool, pressed=lambda: Shed.MEMORY if is_pressed else None) as scene:
        assert await scene.request("1") is Shed.SPOOL_FULL
        assert scene.stream.asked == []
        is_pressed = False
        assert await scene.request("2") is None
    spool.close()
