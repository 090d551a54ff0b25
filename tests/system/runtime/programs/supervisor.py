"""Keeps one child that sleeps, prints its pid, and waits to be killed."""

import asyncio
import os
import sys

from runtime.children import Child, Command


async def never() -> bool:
    return False


async def main() -> None:
    words = (sys.executable, "-c", "import time; time.sleep(60)")
    command = Command(name="child", words=words, environment=os.environ, is_ready=never)
    child = Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)
    keeping = asyncio.ensure_future(child.keep())
    while child.pid is None:
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await keeping


asyncio.run(main())
