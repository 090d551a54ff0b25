"""Waits for what other processes and tasks do, by a condition and a deadline, and never by a sleep instead of them.

A deadline costs nothing where it isn't reached, so it is far beyond what a busy machine with two cores needs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable

POLL_SECONDS, POLL_SECONDS_MAX = 0.01, 0.1
SECONDS = 60.0


def pause(waited: float) -> float:
    """Returns for how long to wait until the next look: a tenth of what was waited, because looks cost the waited-for CPU."""
    return min(max(POLL_SECONDS, waited / 10), POLL_SECONDS_MAX)


def no_more() -> str:
    return ""


async def until(
    condition: Callable[[], object], seconds: float = SECONDS, *, more: Callable[[], str] = no_more
) -> None:
    """Returns as soon as the condition holds, which may be a coroutine function.

    Raises AssertionError if it does not hold within so many seconds; `more` is then asked for what else to say.
    """
    began = time.monotonic()
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s{more()}"
        await asyncio.sleep(pause(waited))


def wait_until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Returns as soon as the condition holds, for tests without a loop; raises AssertionError as `until` does."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s"
        time.sleep(pause(waited))
