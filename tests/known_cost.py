"""What copies of known events cost ClickHouse beside what new events do: `python -m tests.known_cost --rows 10000000`.

Of an engine of its own, in a folder that it removes, filled with the events of a day, each with an id of its
own. Then blocks of new events, looks for as many known ids, and looks as they were before there was
`forebay.ids`, take turns; the engine's CPU time is read around each, merges included. It makes no more than
`--rows` events and a few blocks, and ends by itself: some minutes for ten million.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import median
from typing import Any

from flusher.blocks.block import Block, form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery import held
from flusher.delivery.table import Table
from forebay.clickhouse import ClickHouse
from forebay.commands.migrate import migrate
from schemas.entry import encode
from schemas.names import EntryId
from schemas.redis.records import Entry
from tests.support.engine import EngineProcess
from tests.support.rows import columns_of, plain

SITE = "example.com"
SIZES = (1, 40, 400, 4_000, 40_000)
PLAIN = plain(
    site=SITE, visitor_id=0, url="", referrer_url="https://search.example/", language="en-GB", screen_w=1920,
    screen_h=1080, country="DE", browser="Firefox", os="Linux", device="desktop",
)  # fmt: skip
TURNS = 3
BLOCKS = 12  # in a turn: so many are merged once
STEP = 200_000
DAY_MS = 86_400_000
MERGE_SECONDS_MAX = 300
ROWS = """
INSERT INTO forebay.events (site, name, ts, received_at, event_id, visitor_id, session_id, url, block_id)
SETTINGS max_insert_threads = 1, async_insert = 0
SELECT '{site}', 'pageview', fromUnixTimestamp64Milli(toInt64({first} + intDiv(number * {span}, {rows})), 'UTC') AS ts, ts,
  toString(generateUUIDv4()), cityHash64(intDiv(number + {first}, 5)) AS visitor,
  bitOr(bitShiftLeft(toUInt64(toUnixTimestamp(ts)) - number % 300, 32), bitAnd(visitor, 4294967295)),
  concat('https://example.com/p/', toString(number % 500)), 'cafe0000:{first:013d}-00000000:0000000000000-00000000:0000'
FROM numbers({rows})
"""


class Engine:
    """The engine that is measured."""

    def __init__(self, data: Path) -> None:
        self.process = EngineProcess(data)
        url = f"http://127.0.0.1:{self.process.port}"
        self.run = ClickHouse(url).run
        migrate(self.run, is_alone=True)
        self.table = Table.connect(url, user="default", password="", timeout_seconds=300)
        self.now_ms = int(time.time() * 1000)

    def store(self, rows: int, first_ms: int, span_ms: int) -> None:
        self.run(ROWS.format(site=SITE, first=first_ms, span=span_ms, rows=rows))

    def insert(self, block: Block) -> Callable[[], None]:
        (part,) = block.parts
        return lambda: asyncio.run(
            self.table.insert(part, block=block.id, token=block.id, attempt=0, deadline=int(time.time()) + 600)
        )

    def settle(self) -> None:
        until = time.monotonic() + MERGE_SECONDS_MAX
        while self.run("SELECT count() FROM system.merges") != "0\n" and time.monotonic() < until:
            time.sleep(0.1)

    def cost_ms(self, *works: Callable[[], object]) -> float:
        """CPU of the engine for each of these, and for the merges that they lead to."""
        self.settle()
        before = self._cpu_seconds()
        for work in works:
            work()
        self.settle()
        return (self._cpu_seconds() - before) * 1000 / len(works)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.process.pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(engine: Engine, size: int, known: list[str]) -> dict[str, float]:
    """Milliseconds of CPU: a block of new events, a look for known ids, and one in `events`."""
    took: dict[str, list[float]] = {"new": [], "known": [], "in events": []}
    for turn in range(TURNS):
        asked = [{(SITE, one) for one in random.sample(known, size)} for _ in range(BLOCKS)]
        blocks = [engine.insert(new(size, turn * BLOCKS + at)) for at in range(BLOCKS)]
        took["new"].append(engine.cost_ms(*blocks))
        looks = (held.known(engine.table, some, engine.now_ms - DAY_MS) for some in asked)
        took["known"].append(engine.cost_ms(*(_found(look, size) for look in looks)))
        if size <= held.ASKED_MAX:
            look = held.held(engine.table, "x", asked[0], engine.now_ms - DAY_MS, engine.now_ms)
            took["in events"].append(engine.cost_ms(_found(look, size)))
    return {name: median(values) for name, values in took.items() if values}


def new(rows: int, turn: int) -> Block:
    """A block of events of people who look at pages, as the flusher forms it."""
    first_ms = int(time.time() * 1000)
    made = [
        PLAIN._replace(
            ts=first_ms + at % 1000, received_at=first_ms + at % 1000, event_id=str(uuid.uuid4()),
            visitor_id=at // 5 + 1, url=f"https://{SITE}/p/{at % 500}", title=f"Page {at % 500}",
        )
        for at in range(rows)
    ]  # fmt: skip
    entry = Entry(EntryId(first_ms, turn), encode(columns_of(made)), rows, "", 0)
    return form(prepare([entry]), incarnation="cafe0000", shard=0, from_id=EntryId(0, 0), sessions=Sessions())


def _found(look: Coroutine[Any, Any, dict[held.Name, int]], size: int) -> Callable[[], None]:
    def work() -> None:
        assert len(asyncio.run(look)) == size

    return work


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="forebay-known-") as folder:
        engine = Engine(Path(folder) / "engine")
        try:
            for at in range(0, rows, STEP):
                engine.store(min(STEP, rows - at), engine.now_ms - DAY_MS + at * DAY_MS // rows, STEP * DAY_MS // rows)
            engine.settle()
            known = engine.run(f"SELECT event_id FROM forebay.events ORDER BY rand() LIMIT {2 * max(SIZES)}").split()
            sizes = "SELECT table, round(sum(bytes_on_disk) / any(n), 1) FROM system.parts, (SELECT count() AS n FROM forebay.events) AS c"
            sys.stdout.write(engine.run(f"{sizes} WHERE active AND table IN ('events', 'ids') GROUP BY table"))
            for size in SIZES:
                took = measure(engine, size, known)
                text = ", ".join(f"{name} {value:.0f} ms" for name, value in took.items())
                sys.stdout.write(f"{size} ids: {text}; known : new = {took['known'] / took['new']:.2f}\n")
                sys.stdout.flush()
        finally:
            engine.process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
