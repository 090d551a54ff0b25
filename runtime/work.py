"""The one thread beside the event loop, for work that takes more than some milliseconds.

One for all shards: there is one interpreter lock, and with each more thread that wants it the
event loop waits for another 5 ms. So what is done here is done one after the other, in order.

Not promised: that work which was begun ends when its caller is cancelled. It goes on to its end.
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
    """The result of work that is done beside the event loop."""
    return asyncio.get_running_loop().run_in_executor(WORK, partial(work, *args, **named))
