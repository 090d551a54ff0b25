"""Starts three children that stand back, waits until their sessions do, and prints how nice they are."""

import asyncio
import os
from pathlib import Path

from runtime.children import Child, Command


async def at_once() -> bool:
    return True


def made() -> Child:
    command = Command(name="child", words=("sleep", "60"), environment=os.environ, is_ready=at_once, niceness=5)
    return Child(command=command, on_ready=lambda: None, on_given_up=lambda _: None)


def stands_back(child: Child) -> bool:
    return child.pid is not None and Path(f"/proc/{child.pid}/autogroup").read_text("ascii").endswith("nice 5\n")


async def main() -> None:
    children = [made() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.keep())
        while not all(map(stands_back, children)):
            await asyncio.sleep(0.01)
        print([os.getpriority(os.PRIO_PROCESS, child.pid or 0) for child in children])
        for child in children:
            child.kill()


asyncio.run(main())
