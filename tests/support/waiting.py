"""Waits for what other processes do, by a condition and a deadline, and never by a sleep instead of them."""

import asyncio
import time
from collections.abc import Callable

POLL_SECONDS = 0.01


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Returns when the condition holds. Fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(POLL_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Does the same outside of an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(POLL_SECONDS)
