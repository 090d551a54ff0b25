"""A task that is cancelled in the middle of a Redis command ends, whatever the client makes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from redis.exceptions import ConnectionError as NoConnectionError

from flusher.redis import lease
from ingest.commit import answers


@pytest.mark.parametrize("edge", [answers.translated, lease.answering])
@pytest.mark.parametrize("fault", [None, NoConnectionError("gone")])
async def test_a_swallowed_cancellation_still_ends_the_task(
    edge: Callable[[], AbstractAsyncContextManager[None]], fault: Exception | None
) -> None:
    """As Python 3.11's `wait_for` swallows one that comes when its work is done, and redis-py sends in that."""
    began = asyncio.Event()

    async def ask() -> None:
        async with edge():
            began.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            if fault is not None:
                raise fault

    async def ask_again_and_again() -> None:
        while True:
            with contextlib.suppress(answers.Unclear, lease.Unclear):
                await ask()

    asking = asyncio.ensure_future(ask_again_and_again())
    await began.wait()
    asking.cancel()
    done, _ = await asyncio.wait([asking], timeout=60)
    assert done
    assert asking.cancelled()
