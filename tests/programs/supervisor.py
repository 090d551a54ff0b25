"""Keeps one child that sleeps, prints its pid, and waits to be killed."""

import asyncio
import os

from runtime.children import Child, Command


async def never() -> bool:
    return False


async def main() -> None:
    command = Command(name="child", words=("sleep", "60"), environment=os.environ, is_ready=never)
    child = Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)
    keeping = asyncio.ensure_future(child.keep())
    while child.pid is None:
        await asyncio.sleep(0.01)
    print(child.pid, flush=True)
    await keeping


asyncio.run(main())
