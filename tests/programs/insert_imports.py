"""Inserts a block into the ClickHouse at the URL that it is given, and prints which heavy modules that imported."""

import asyncio
import sys

from flusher.blocks.block import form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery.table import Table
from schemas.entry import encode
from schemas.names import ORIGIN, EntryId
from schemas.redis.records import Entry
from tests.support.entries import row
from tests.support.rows import columns_of

HEAVY = {"numpy", "pandas", "pyarrow"}
AT_MS = 1_796_083_200_000


async def main(url: str) -> None:
    table = Table.connect(url, user="default", password="", timeout_seconds=60)
    entry = Entry(EntryId(AT_MS, 0), encode(columns_of([row("imported", AT_MS)])), 1, "producer", 1)
    block = form(prepare([entry]), incarnation="cafe", shard=1, from_id=ORIGIN, sessions=Sessions())
    await table.insert(block.parts[0], block=block.id, token="import", attempt=0, deadline=(1 << 32) - 1)
    assert await table.ask("SELECT count() FROM forebay.events", {})


asyncio.run(main(sys.argv[1]))
print(*(HEAVY & set(sys.modules)))
