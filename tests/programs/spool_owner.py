"""Spools two commits into the folder that it is given, prints `spooled`, and lives on with its folder locked."""

import asyncio
import sys
import time
from pathlib import Path

from tests.support.spooling import commit, opened


async def spooled() -> None:
    spool, _ = opened(Path(sys.argv[1]))
    chain = spool.open("theirs", 0)
    for number in (1, 2):
        await chain.write(commit(number))


asyncio.run(spooled())
print("spooled", flush=True)
time.sleep(60)
