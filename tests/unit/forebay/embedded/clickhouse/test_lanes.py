"""forebay/embedded/clickhouse/lanes.py: work goes on when its client is gone, or is told to end, without a log line."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import pytest

from forebay.embedded.clickhouse import lanes as clickhouse_lanes
from forebay.embedded.clickhouse.lanes import Lane, Lanes
from forebay.embedded.clickhouse.sql import QueryFailed
from tests.support.waiting import until


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    made = Lane()
    yield made
    made.close()


class Work:
    """Begins, waits until it may end, and then fails or not."""

    def __init__(self, *, fails: bool) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.fails = fails
        self.has_ended = False

    def __call__(self) -> int:
        self.began.set()
        self.may_end.wait(10)
        self.has_ended = True
        if self.fails:
            raise ValueError("a constraint")
        return 7


async def test_what_work_says_reaches_who_waits(lane: Lane) -> None:
    """The caller gets the work's value, or its error."""
    for fails in (False, True):
        work = Work(fails=fails)
        work.may_end.set()
        if fails:
            with pytest.raises(ValueError, match="a constraint"):
                await lane.do(work)
        else:
            assert await lane.do(work) == 7


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("cancellations", [1, 2])
async def test_work_whose_client_is_gone_ends_in_silence(lane: Lane, fails: bool, cancellations: int) -> None:
    """The work is awaited unless the waiting is cancelled too, and asyncio logs no error that nobody retrieved."""
    said: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(str(context["message"])))
    work = Work(fails=fails)
    asking = asyncio.ensure_future(lane.do(work))
    await until(work.began.is_set)
    for _ in range(cancellations):
        asking.cancel()
        await asyncio.sleep(0)
    assert not work.has_ended
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    del asking
    await until(lambda: work.has_ended)
    assert await lane.do(lambda: 1) == 1  # one thread: the first has told the loop by now
    await asyncio.sleep(0)
    gc.collect()
    assert said == []


async def test_work_that_is_told_ends_and_its_lane_is_kept(lane: Lane) -> None:
    """The work is told by the thread's id, and again until it ends."""
    work = Work(fails=True)
    told: list[int] = []

    async def stop(thread_id: int) -> None:
        told.append(thread_id)
        if len(told) == 2:
            work.may_end.set()

    asking = asyncio.ensure_future(lane.do_until_told(stop, work))
    await until(work.began.is_set)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (work.has_ended, lane.is_lost) == (True, False)
    assert told == [await lane.do(threading.get_native_id)] * 2


async def test_a_lane_whose_work_does_not_hear_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many callers can ask as before, and the lost lane is counted until it comes back."""
    monkeypatch.setattr(clickhouse_lanes, "LOST_SECONDS", 0.1)
    monkeypatch.setattr(clickhouse_lanes, "STOP_AGAIN_SECONDS", 0.02)
    lost: list[int] = []
    lanes = Lanes(1, 1, on_lost=lost.append)
    deaf = [Work(fails=False), Work(fails=False)]

    async def stop(_: int) -> None: ...

    async def ask(work: Work) -> int:
        async with lanes.lane() as lane:
            return await lane.do_until_told(stop, work)

    for work in deaf:
        asking = asyncio.ensure_future(ask(work))
        await until(work.began.is_set)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert lost == [1, 2]
    work = Work(fails=False)
    work.may_end.set()
    assert await ask(work) == 7
    for one in deaf:
        one.may_end.set()
    await until(lambda: all(one.has_ended for one in deaf))
    await asyncio.to_thread(lanes.close)


async def test_waiting_for_a_lane_has_an_end() -> None:
    """It is refused with code 202, and the lane goes to the next caller once it is free."""
    lanes = Lanes(1, 8, wait_seconds=0.05)
    async with lanes.lane():
        with pytest.raises(QueryFailed, match="none of them ended within") as failed:
            async with lanes.lane():
                raise AssertionError("there is only one")
        assert failed.value.code == 202
    async with lanes.lane() as lane:
        assert await lane.do(lambda: 1) == 1
    await asyncio.to_thread(lanes.close)
