"""The name of a source and the channel of a visit are what tests/fixtures/channels.tsv says, by the way that an event takes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from flusher.blocks.block import form, prepare
from flusher.blocks.sessions import Sessions
from flusher.delivery.table import Table
from forebay.clickhouse import ClickHouse
from ingest.collect.sites import Sites
from schemas.channels import CHANNELS
from schemas.entry import encode
from schemas.names import EntryId
from schemas.redis.records import Entry
from tests.support.collecting import NOON, Bench
from tests.support.engine import EngineProcess
from tests.support.rows import columns_of

TABLE = Path(__file__).parents[2] / "fixtures" / "channels.tsv"
SITE = "example.com"
Truth = tuple[str, str, str, str]


def truth() -> list[Truth]:
    """Returns query, referrer, name and channel of each line."""
    lines = TABLE.read_text("utf-8").splitlines()
    return [
        (one[0], one[1], one[2], one[3]) for line in lines if not line.startswith("#") and (one := line.split("\t"))
    ]


@pytest.fixture(scope="module")
def client(engine: EngineProcess, clickhouse: ClickHouse) -> Iterator[Client]:
    """Yields a client of our tables."""
    client = engine.client(autogenerate_session_id=False)
    yield client
    client.close()


async def stored(client: Client, rows: list[Truth]) -> None:
    """Stores a pageview of each line as ingest and a flusher would, each by a visitor of its own, in the order of the lines."""
    bench = await Bench(sites=Sites(named=[SITE], privacy="count")).ready()
    collected = []
    for number, (query, referrer, *_) in enumerate(rows):
        event = {"url": f"https://{SITE}/?{query}", "referrer": referrer, "title": str(number)}
        peer = f"203.0.{number >> 8}.{number & 255}"
        collected.append(bench.row(event, peer=peer))
    entry = Entry(EntryId(NOON, 0), encode(columns_of(collected)), len(collected), "p", 1)
    block = form(prepare([entry]), incarnation="cafe", shard=1, from_id=EntryId(0, 0), sessions=Sessions())
    (part,) = block.parts
    await Table(client, is_compressed=False).insert(
        part, block=block.id, token=block.id, attempt=0, deadline=(1 << 32) - 1
    )


async def test_every_line_of_the_truth_table(client: Client, clickhouse: ClickHouse) -> None:
    """Compares the name and the channel of each pageview, as an event, as a pageview and as a visit."""
    rows = truth()
    assert len(rows) >= 200
    await stored(client, rows)
    for view in ("v_events", "v_pageviews"):
        found = clickhouse.rows(f"SELECT title, source_name, channel FROM forebay.{view} ORDER BY toUInt32(title)")
        said = [(*rows[int(one["title"])][:2], one["source_name"], one["channel"]) for one in found]
        wrong = [(expected, one[2:]) for expected, one in zip(rows, said, strict=True) if expected != one]
        assert not wrong, "\n".join(map(str, wrong))
    visits = clickhouse.rows(
        "SELECT source_name, channel, count() AS visits FROM forebay.v_sessions GROUP BY source_name, channel"
    )
    counted = {(one["source_name"], one["channel"]): one["visits"] for one in visits}
    assert counted == Counter((name, channel) for *_, name, channel in rows)


async def test_no_address_that_a_stranger_makes_up_breaks_a_question(client: Client, clickhouse: ClickHouse) -> None:
    """Gives every visit a channel, whatever characters stand in its tags: all visits are read by one query."""
    clickhouse.run("TRUNCATE TABLE forebay.events SYNC")
    rng = random.Random(13)
    texts = [
        f"{before}%{at:02x}{behind}"
        for at in (*range(33), 127, 128, 255)
        for before in ("", "x")
        for behind in ("", "cpc", "294")
    ]
    texts += [
        "".join(
            chr(rng.choice((rng.randrange(1, 0x250), rng.randrange(0x1F000, 0x1F700))))
            for _ in range(rng.randrange(1, 40))
        )
        for _ in range(200)
    ]
    tags = ("utm_medium", "utm_campaign", "utm_source", "ref", "gclid", "source")
    rows = [(f"{tag}={text.replace('&', '')}", "", "", "") for tag in tags for text in texts]
    await stored(client, rows)
    for view in ("v_events", "v_pageviews", "v_sessions"):
        found = {
            one["channel"]
            for one in clickhouse.rows(f"SELECT channel, any(source_name) FROM forebay.{view} GROUP BY channel")
        }
        assert found <= set(CHANNELS)
        [one] = clickhouse.rows(f"SELECT countIf(channel != '') AS named FROM forebay.{view}")
        assert one["named"] == len(rows)


def test_every_channel_is_in_the_truth_table_several_times() -> None:
    """Counts them, so that no rule is there that nothing meets."""
    counts = Counter(channel for *_, channel in truth())
    assert counts.keys() == set(CHANNELS)
    assert min(counts.values()) >= 5
