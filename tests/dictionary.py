"""`python -m tests.dictionary`: makes schemas/entry-N.dict, what zstd knows of entries before it sees one.

Trained on what ingest makes of generated traffic, with the words of titles and paths exchanged
for letters: a site's own words are its own, and figures measured on generated traffic must not
come from a dictionary that knows its words. Entries name no dictionary: a new one needs a new
version byte in schemas/entry.py, which must go on reading the old. Begin with a copy of the old one under the new name.
"""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import zstandard

from ingest.collect.sites import Sites
from loadtest.load.generate import Plan, requests
from schemas import entry
from schemas.row import Row
from tests.support.collecting import Bench
from tests.support.rows import columns_of

TARGET = Path(entry.__file__).with_name(f"entry-{entry.VERSION}.dict")
DICTIONARY_BYTES = 16 << 10  # 8 KiB costs 3 % more bytes an entry, 32 KiB saves 1 %
SITES = ("acme.example", "docs.acme.example", "my-shop.test", "blog")
ROWS_PER_SITE = 8_000
ENTRY_ROWS = (1, 1, 2, 4, 4, 8, 16)  # small entries gain most
LETTERS = "etaoinshrdlucmfwypvbgk"
BASE_MS = 1_764_000_000_000
WORD = re.compile("[A-Za-z]{4,}")


async def rows_of(site: str, seed: int) -> list[Row]:
    """What ingest makes of a site's generated traffic."""
    bench = await Bench(
        sites=Sites(named=[site], privacy="count"), trusted=["127.0.0.1/32"], now_ms=BASE_MS + seed * 86_400_000
    ).ready()
    rows: list[Row] = []
    began = bench.clock.now_ms
    plan = Plan(rate=1_000, duration_s=ROWS_PER_SITE / 1_000, seed=seed, sites=(site,), run=str(seed), base_ms=began)
    for request in requests(plan):
        bench.clock.now_ms = began + int(request.at * 1000)
        lines = [line.partition(b": ") for line in request.headers.split(b"\r\n") if line]
        headers = [(name, value) for name, _, value in lines]
        rows += [row for _, row in bench.collect("POST", b"/f", headers, request.body, "127.0.0.1").rows]
    return rows


def disguised(row: Row, words: dict[str, str], rng: random.Random) -> Row:
    """The row with other words in title and path."""

    def other(found: re.Match[str]) -> str:
        return words.setdefault(found[0], "".join(rng.choice(LETTERS) for _ in found[0]))

    origin, slash, path = row.url.partition("//")
    host, slash_too, path = path.partition("/")
    path, mark, query = path.partition("?")
    url = f"{origin}{slash}{host}{slash_too}{WORD.sub(other, path)}{mark}{query}"
    return row._replace(url=url, title=WORD.sub(other, row.title))


async def train() -> bytes:
    """The dictionary's bytes."""
    rng = random.Random(5)
    words: dict[str, str] = {}
    rows = [
        disguised(row, words, rng) for seed, site in enumerate(SITES, start=10) for row in await rows_of(site, seed)
    ]
    samples: list[bytes | bytearray | memoryview] = []
    at = 0
    while at < len(rows):
        count = ENTRY_ROWS[len(samples) % len(ENTRY_ROWS)]
        samples.append(entry.plain(columns_of(rows[at : at + count]))[0])
        at += count
    return zstandard.train_dictionary(DICTIONARY_BYTES, samples).as_bytes()


if __name__ == "__main__":
    TARGET.write_bytes(asyncio.run(train()))
