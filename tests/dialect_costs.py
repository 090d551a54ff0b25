"""What an event of each dialect costs ingest beside a pageview of the native one: `python -m tests.dialect_costs`.

Every good request of tests/support/seeds is collected as ingest does it, fifty together, from the judged head to the rows and the
answer, in turns with as many native pageviews in requests of as many events. CPU time of this process is what counts, so it
may run beside other work. A head that a connection would know again is judged once; one with credentials each time.

It ends with 1 if an event costs more than TIMES_MAX of a native one. `--family posthog` measures one family. Half a minute.

Not measured: reading the bytes of a request, whose bodies are larger in most dialects, and everything behind the collector.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from statistics import median

import msgspec

from ingest.collect.exchange import Exchange, weight_of
from ingest.collect.sites import Sites
from ingest.http.heads import CREDENTIALS
from schemas.site import RegisteredSite
from tests.support.collecting import BROWSER, NOON, Bench, Brought
from tests.support.seeds import TEXT, Fields, Seed, seeds

TIMES_MAX = 2.0
TURNS, ROUNDS, TOGETHER = 9, 20, 50
PEER = "203.0.113.7"
# What the tracker sends of a page.
PAGEVIEW = {
    "name": "pageview", "url": "https://example.com/docs/install?utm_source=newsletter&utm_medium=email",
    "referrer": "https://www.google.com/", "title": "Install guide", "language": "en-US", "screen": [1920, 1080],
    "id": "0f0e0d0c0b0a09080706050403020100", "ts": NOON, "sent_at": NOON,
}  # fmt: skip


class Registry:
    """Gives one site all keys that seeds name."""

    async def sites(self) -> dict[str, bytes]:
        keys = tuple(sorted({key for seed in seeds() for key in seed.keys}))
        return {"example.com": RegisteredSite(keys=keys).encode()}


def native(rows: int) -> Seed:
    """Returns a request of as many pageviews."""
    return Seed("native", "POST", "/f", TEXT, body=PAGEVIEW if rows == 1 else [PAGEVIEW] * rows, rows=rows)


def work(bench: Bench, seed: Seed) -> Callable[[], float]:
    """Returns what collects this request some times, and returns the CPU seconds of one of its rows."""
    fields: Fields = tuple({name.lower(): (name, value) for name, value in (*BROWSER, *seed.headers)}.values())
    body = seed.raw or (b"" if seed.body is None else msgspec.json.encode(seed.body))
    is_known = not any(name.lower() in CREDENTIALS for name, _ in fields)
    collector, target, brought = bench.collector, seed.target.encode(), Brought()
    kept = collector.asked(seed.method, target, fields)
    assert kept is not None
    kept.is_known = is_known

    def once() -> float:
        rows, began = 0, time.process_time()
        for _ in range(ROUNDS):
            waiting: deque[Exchange] = deque()
            for _ in range(TOGETHER):
                asked = kept if is_known else collector.asked(seed.method, target, fields)
                assert asked is not None
                waiting.append(Exchange(brought, asked, body, PEER, NOON, 0.0, len(body), weight_of(body)))
            while waiting:
                rows += len(collector.collect(waiting).shards)
        assert rows == ROUNDS * TOGETHER * seed.rows, (seed, rows)
        return (time.process_time() - began) / rows

    return once


async def measured(family: str) -> float:
    """Prints what each request's events cost, and returns the highest multiple of a native one."""
    sites = Sites(named=[], privacy="count", source=Registry())
    bench = await Bench(sites=sites).ready()
    await sites.refresh()
    worst = 0.0
    for seed in seeds():
        if not seed.rows or family not in {"", seed.dialect}:
            continue
        theirs, ours = work(bench, seed), work(bench, native(seed.rows))
        theirs(), ours()
        turns = [(theirs(), ours()) for _ in range(TURNS)]
        times = median(one / other for one, other in turns)
        worst = max(worst, times)
        costs = [f"{median(side) * 1e6:6.1f}" for side in zip(*turns, strict=True)]
        what = f"{seed.dialect} {seed.method} {seed.target.partition('?')[0]}"
        print(f"{what:44} {seed.rows} rows  {costs[0]} us a row, native {costs[1]}: {times:.2f} times")
    return worst


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.dialect_costs", description=__doc__)
    options.add_argument("--family", default="")
    return int(asyncio.run(measured(options.parse_args().family)) > TIMES_MAX)


if __name__ == "__main__":
    sys.exit(main())
