"""Does work that takes more than some milliseconds in one thread beside the event loop.

All shards share the thread, because there is one interpreter lock: each further thread that wants it makes the event
loop wait for another 5 ms. So pieces of work are done one after the other, in the order in which they were asked for.

Not promised: that work ends when its caller is cancelled. What was begun goes on to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

WORK = ThreadPoolExecutor(1, "work")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_thread(work: Callable[Arguments, Result], *args: Arguments.args, **named: Arguments.kwargs) -> Awaitable[Result]:
    """Returns the result of work, once the thread has done it."""
    return asyncio.get_running_loop().run_in_executor(WORK, partial(work, *args, **named))
