"""forebay/embedded/clickhouse_lanes.py: work goes on when its client is gone, and ends in silence."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import pytest

from forebay.embedded.clickhouse_lanes import Lane
from tests.waiting import until


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    made = Lane()
    yield made
    made.close()


class Work:
    """Begins, waits until it may end, and fails or not."""

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
    """Its value, or its error."""
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
    """It is waited for, unless the waiting is cancelled too; that nobody heard of its error is no news."""
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
