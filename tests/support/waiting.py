"""Waits for what other processes and tasks do, by a condition and a deadline, and never by a sleep instead of them.

A deadline costs nothing where it isn't reached, so it is far beyond what a busy machine with two cores needs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable

POLL_SECONDS = 0.01
SECONDS = 60.0


def no_more() -> str:
    return ""


async def until(
    condition: Callable[[], object], seconds: float = SECONDS, *, more: Callable[[], str] = no_more
) -> None:
    """Returns as soon as the condition holds, which may be a coroutine function.

    Raises AssertionError if it does not hold within so many seconds; `more` is then asked for what else to say.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, f"not within {seconds} s{more()}"
        await asyncio.sleep(POLL_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Returns as soon as the condition holds, for tests without a loop; raises AssertionError as `until` does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(POLL_SECONDS)
