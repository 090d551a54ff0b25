"""A shard's stream and checkpoint on a real Redis: every move compares before it sets, under a lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from flusher.redis.lease import Foreign, Lease, LeaseLost, Leases, Unclear
from flusher.redis.reading import READ_ENTRIES_FIRST, READ_ENTRIES_MAX, Moved
from flusher.redis.records import Checkpoint
from flusher.redis.stream import RedisStream
from schemas.deadletter import DeadLetter
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import CLAIMS_KEY, Keys
from schemas.redis.records import BEGINNING, Edge
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

SHARD = 3
KEYS = Keys(SHARD)
BLOCK = BlockName("cafe", SHARD, ORIGIN, EntryId(5, 1))
LETTER = DeadLetter(b"row", "clickhouse_27", "text", 5, "block")
Move = Callable[[RedisStream, Lease], Awaitable[None]]


@pytest.fixture
def log(redis: Redis) -> RedisStream:
    return RedisStream(redis)


@pytest.fixture
async def lease(redis: Redis) -> Lease:
    taken = await Leases(redis=redis, owner="a", ttl_ms=60_000).take(SHARD)
    assert taken
    return taken


@pytest.fixture
async def muted(server: Path, redis: Redis, lease: Lease) -> AsyncIterator[RedisStream]:
    """Returns the same stream over a wire whose answers are lost from now on."""
    async with redis_server.proxied(server) as proxy:
        client: Redis = Redis.from_url(proxy.url, retry=None, socket_timeout=60)
        deaf = RedisStream(client)
        await deaf.checkpoint(SHARD)
        for name in ("_cut", "_stored", "_record_once", "_follow", "_trim"):
            await redis.script_load(getattr(deaf, name).script)
        proxy.is_mute = True
        redis_server.impatient(client)
        yield deaf
        await client.aclose()


async def append(redis: Redis, *ids: EntryId) -> None:
    for number, entry_id in enumerate(ids, start=1):
        await redis.xadd(KEYS.log, {"d": b"\x01\xff\x00", "n": 7, "p": "producer", "c": number}, id=str(entry_id))


async def ids(redis: Redis) -> list[EntryId]:
    found: Any = await redis.xrange(KEYS.log)
    return [EntryId.parse(entry_id) for entry_id, _ in found]


async def everything(redis: Redis) -> dict[str, Any]:
    """Returns all that Redis holds of the shard, except the lease."""
    return {
        "checkpoint": await redis.hgetall(KEYS.checkpoint),
        "edges": await redis.lrange(KEYS.edges, 0, -1),
        "log": await redis.xrange(KEYS.log),
        "dead": await redis.xrange(KEYS.dead),
    }


async def deliver(log: RedisStream, lease: Lease, *edges: EntryId) -> None:
    """Cuts and stores blocks up to these edges."""
    stored = (await log.checkpoint(SHARD)).stored
    for edge in edges:
        await log.cut(lease, stored, Edge(edge, 1, 10))
        await log.stored(lease, stored, edge)
        stored = edge


async def test_a_new_shard_stands_at_the_origin(log: RedisStream) -> None:
    """In a new shard nothing is stored, nothing is recorded, and there is nothing to read."""
    assert await log.checkpoint(SHARD) == Checkpoint(ORIGIN, ())
    assert await log.read(SHARD, ORIGIN) == []


async def test_an_entry_is_read_as_it_was_appended(redis: Redis, log: RedisStream) -> None:
    """An entry's bytes are read as they were appended, with its rows, producer and commit number."""
    await append(redis, EntryId(5, 1))
    (entry,) = await log.read(SHARD, ORIGIN)
    assert (entry.id, entry.data, entry.rows, entry.producer, entry.commit) == (
        EntryId(5, 1),
        b"\x01\xff\x00",
        7,
        "producer",
        1,
    )


@pytest.mark.parametrize(
    ("after", "upto", "found"),
    [
        (ORIGIN, None, [EntryId(5, 9), EntryId(5, 10), EntryId(6, 0)]),
        (EntryId(5, 8), None, [EntryId(5, 9), EntryId(5, 10), EntryId(6, 0)]),
        (EntryId(5, 9), None, [EntryId(5, 10), EntryId(6, 0)]),
        (EntryId(5, 10), None, [EntryId(6, 0)]),
        (EntryId(6, 0), None, []),
        (ORIGIN, EntryId(5, 10), [EntryId(5, 9), EntryId(5, 10)]),
        (EntryId(5, 9), EntryId(5, 10), [EntryId(5, 10)]),
        (EntryId(5, 10), EntryId(5, 10), []),
    ],
)
async def test_reading_is_behind_one_entry_and_up_to_another(
    redis: Redis, log: RedisStream, after: EntryId, upto: EntryId | None, found: list[EntryId]
) -> None:
    """Reading leaves `after` out and includes `upto`, in the order of the stream."""
    await append(redis, EntryId(5, 9), EntryId(5, 10), EntryId(6, 0))
    assert [entry.id for entry in await log.read(SHARD, after, upto)] == found


async def test_pages_follow_each_other_without_gap_or_repeat(redis: Redis, log: RedisStream) -> None:
    """More entries than one read takes are read in pages, each from the last id of the one before."""
    async with redis.pipeline() as pipe:
        for number in range(READ_ENTRIES_MAX * 2 + 1):
            pipe.xadd(KEYS.log, {"d": b"", "n": 1}, id=f"9-{number}")
        appended = [EntryId.parse(entry_id) for entry_id in await pipe.execute()]
    pages = [await log.read(SHARD, ORIGIN)]
    while pages[-1]:
        pages.append(await log.read(SHARD, pages[-1][-1].id))
    assert [len(page) for page in pages] == [
        READ_ENTRIES_FIRST,
        READ_ENTRIES_MAX,
        READ_ENTRIES_MAX + 1 - READ_ENTRIES_FIRST,
        0,
    ]
    assert [entry.id for page in pages for entry in page] == appended


async def test_a_cut_block_is_pending_until_it_is_stored(log: RedisStream, lease: Lease) -> None:
    """A cut records its edge behind the log's beginning, and storing moves `stored` onto it."""
    edge = Edge(EntryId(5, 1), 20, 300)
    await log.cut(lease, ORIGIN, edge)
    assert await log.checkpoint(SHARD) == Checkpoint(ORIGIN, (BEGINNING, edge))
    await log.stored(lease, ORIGIN, EntryId(5, 1))
    assert await log.checkpoint(SHARD) == Checkpoint(EntryId(5, 1), (BEGINNING, edge))


async def test_the_edges_list_grows_block_by_block(log: RedisStream, lease: Lease) -> None:
    """Edges follow each other in order."""
    await deliver(log, lease, EntryId(9, 9), EntryId(9, 10), EntryId(10, 0))
    assert [edge.id for edge in (await log.checkpoint(SHARD)).edges] == [
        ORIGIN,
        EntryId(9, 9),
        EntryId(9, 10),
        EntryId(10, 0),
    ]


@pytest.mark.parametrize(
    "late",
    [
        lambda log, lease: log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10)),
        lambda log, lease: log.cut(lease, ORIGIN, Edge(EntryId(5, 2), 1, 10)),
        lambda log, lease: log.cut(lease, EntryId(5, 1), Edge(EntryId(6, 0), 1, 10)),
        lambda log, lease: log.stored(lease, EntryId(5, 1), EntryId(6, 0)),
        lambda log, lease: log.judge(lease, EntryId(5, 1), EntryId(6, 0), b"late"),
        lambda log, lease: log.follow(lease, EntryId(5, 1), EntryId(9, 0), EntryId(5, 1)),
        lambda log, lease: log.trim(lease, EntryId(5, 1)),
    ],
)
async def test_while_a_block_is_cut_nothing_else_moves(
    redis: Redis, log: RedisStream, lease: Lease, late: Move
) -> None:
    """While a block is cut, a second cut and every move from elsewhere are refused and change nothing."""
    await append(redis, EntryId(5, 1), EntryId(5, 2))
    await log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10))
    before = await everything(redis)
    with pytest.raises(Moved):
        await late(log, lease)
    assert await everything(redis) == before


@pytest.mark.parametrize(
    "late",
    [
        lambda log, lease: log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10)),
        lambda log, lease: log.stored(lease, ORIGIN, EntryId(5, 1), [LETTER]),
        lambda log, lease: log.judge(lease, ORIGIN, EntryId(5, 1), b"late"),
        lambda log, lease: log.follow(lease, ORIGIN, EntryId(5, 1), ORIGIN),
    ],
)
async def test_once_a_block_is_stored_its_late_commands_are_refused(
    redis: Redis, log: RedisStream, lease: Lease, late: Move
) -> None:
    """A command that timed out and arrives late, with the right lease, does not move what has moved on."""
    await append(redis, EntryId(5, 1), EntryId(6, 0))
    await deliver(log, lease, EntryId(5, 1))
    before = await everything(redis)
    with pytest.raises(Moved):
        await late(log, lease)
    assert await everything(redis) == before


@pytest.mark.parametrize(
    "move",
    [
        lambda log, lease: log.cut(lease, EntryId(5, 1), Edge(EntryId(6, 0), 1, 10)),
        lambda log, lease: log.stored(lease, EntryId(5, 1), EntryId(6, 0), [LETTER]),
        lambda log, lease: log.judge(lease, EntryId(5, 1), EntryId(6, 0), b"verdict"),
        lambda log, lease: log.follow(lease, EntryId(5, 1), EntryId(9, 0), EntryId(5, 1)),
        lambda log, lease: log.trim(lease, EntryId(5, 1)),
    ],
)
@pytest.mark.parametrize("successor", [True, False])
async def test_without_the_lease_nothing_moves(
    redis: Redis, log: RedisStream, lease: Lease, move: Move, successor: bool
) -> None:
    """Every script of a holder whose lease is over is refused, whether another holds it or nobody does."""
    await append(redis, EntryId(4, 0), EntryId(5, 1), EntryId(6, 0))
    await deliver(log, lease, EntryId(4, 0), EntryId(5, 1))
    await redis.delete(KEYS.lease)
    if successor:
        assert await Leases(redis=redis, owner="a", ttl_ms=60_000).take(SHARD)
    before = await everything(redis)
    with pytest.raises(LeaseLost):
        await move(log, lease)
    assert await everything(redis) == before


async def test_dead_letters_move_with_stored(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """One script writes the dead letters and moves the checkpoint."""
    await log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10))
    await log.stored(lease, ORIGIN, EntryId(5, 1), [LETTER, LETTER._replace(row=b"other")])
    assert await log.checkpoint(SHARD) == Checkpoint(EntryId(5, 1), (BEGINNING, Edge(EntryId(5, 1), 1, 10)))
    assert await log.dead_rows(SHARD) == [b"row", b"other"]
    letters: Any = await redis.xrange(KEYS.dead)
    assert letters[0][1] == {
        b"row": b"row",
        b"reason": b"clickhouse_27",
        b"text": b"text",
        b"first_seen": b"5",
        b"block": b"block",
    }


async def test_a_replayed_block_buries_its_dead_once(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """A replayed block keeps its verdict, and its dead letters are not written again."""
    await deliver(log, lease, EntryId(4, 0))
    await log.cut(lease, EntryId(4, 0), Edge(EntryId(5, 1), 1, 10))
    await log.judge(lease, EntryId(4, 0), EntryId(5, 1), b"verdict")
    await log.stored(lease, EntryId(4, 0), EntryId(5, 1), [LETTER])
    await redis.hset(KEYS.checkpoint, "stored", "4-0")
    assert (await log.checkpoint(SHARD)).verdicts == {EntryId(5, 1): b"verdict"}
    await log.stored(lease, EntryId(4, 0), EntryId(5, 1), [LETTER])
    assert await log.dead_rows(SHARD) == [b"row"]


async def test_copies_are_counted_with_stored_and_once(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """Copies are counted by minute and site in the script that moves the checkpoint, and not again in a replay."""
    await deliver(log, lease, EntryId(4, 0))
    copies = {(5, "a.example"): 2, (6, "a.example"): 1}
    for _ in range(2):
        await redis.hset(KEYS.checkpoint, "stored", str(ORIGIN))
        await log.stored(lease, ORIGIN, EntryId(4, 0), [LETTER], copies)
    assert await log.duplicates(SHARD) == copies
    assert await log.dead_rows(SHARD) == [b"row"]
    await log.forget(SHARD, [(5, "a.example")])
    assert await log.duplicates(SHARD) == {(6, "a.example"): 1}


async def test_the_first_verdict_on_a_block_stays(log: RedisStream, lease: Lease) -> None:
    """A second verdict on a block is refused, so every delivery leaves out the same rows; other blocks have
    their own.
    """
    await log.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10))
    await log.judge(lease, ORIGIN, EntryId(5, 1), b"\x00first")
    with pytest.raises(Moved):
        await log.judge(lease, ORIGIN, EntryId(5, 1), b"second")
    await log.judge(lease, ORIGIN, EntryId(5, 1), b"\x00first")
    await log.stored(lease, ORIGIN, EntryId(5, 1))
    await log.judge(lease, EntryId(5, 1), EntryId(6, 0), b"other")
    assert (await log.checkpoint(SHARD)).verdicts == {EntryId(5, 1): b"\x00first", EntryId(6, 0): b"other"}


async def test_a_verdict_is_kept_for_as_long_as_its_edge(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """Trimming forgets the verdicts behind the floor, and that their dead rows were buried."""
    stored = ORIGIN
    for edge in (EntryId(4, 0), EntryId(5, 1), EntryId(6, 0)):
        await log.cut(lease, stored, Edge(edge, 1, 10))
        await log.judge(lease, stored, edge, b"verdict")
        await log.set_duplicates(lease, stored, edge, b"places")
        await log.stored(lease, stored, edge, [LETTER])
        stored = edge
    await log.trim(lease, EntryId(5, 1))
    checkpoint = await log.checkpoint(SHARD)
    assert sorted(checkpoint.verdicts) == sorted(checkpoint.duplicates) == [EntryId(5, 1), EntryId(6, 0)]
    assert await redis.hexists(KEYS.checkpoint, "buried:5-1")
    assert not await redis.hexists(KEYS.checkpoint, "buried:4-0")


async def test_the_checkpoint_follows_clickhouse(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """A checkpoint that follows ClickHouse forgets the edges of a lost tail, and the next block begins there."""
    await deliver(log, lease, EntryId(4, 0), EntryId(5, 1))
    await log.cut(lease, EntryId(5, 1), Edge(EntryId(6, 0), 1, 10))
    await log.judge(lease, EntryId(5, 1), EntryId(6, 0), b"verdict")
    await log.set_duplicates(lease, EntryId(5, 1), EntryId(6, 0), b"places")
    await log.follow(lease, EntryId(5, 1), EntryId(9, 0), EntryId(5, 1))
    assert await log.checkpoint(SHARD) == Checkpoint(EntryId(9, 0), (Edge(EntryId(9, 0), 0, 0),))
    await redis.xadd(Keys(SHARD).log, {"d": b"", "n": 1}, id="10-0")
    await log.cut(lease, EntryId(9, 0), Edge(EntryId(10, 0), 1, 10))


async def test_what_came_after_the_loss_comes_behind_the_edge(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """Entries whose ids lie among the lost ones, as the clock was set back, are moved behind the edge and read in
    order.
    """
    await append(redis, EntryId(5, 1), EntryId(6, 0), EntryId(7, 0), EntryId(8, 5), EntryId(9, 9))
    await deliver(log, lease, EntryId(5, 1))
    await log.follow(lease, EntryId(5, 1), EntryId(8, 9), EntryId(6, 0))
    found = await log.read(SHARD, EntryId(8, 9))
    assert [entry.commit for entry in found] == [3, 4, 5]
    assert await ids(redis) == [EntryId(5, 1), EntryId(6, 0), *(entry.id for entry in found)]


@pytest.mark.parametrize("before", [(), (EntryId(5, 1),)])
async def test_a_stream_that_follows_never_gives_an_id_twice(
    redis: Redis, log: RedisStream, lease: Lease, before: tuple[EntryId, ...]
) -> None:
    """The next entry comes behind what is stored, whatever the clock shows, and also when the stream is gone."""
    await append(redis, *before)
    ahead = EntryId(await log.now_ms(0) + 3_600_000, 7)
    await log.follow(lease, ORIGIN, ahead, before[-1] if before else ORIGIN)
    assert await log.last(SHARD) == ahead
    await redis.xadd(KEYS.log, {"d": b"", "n": 1})
    assert [entry.rows for entry in await log.read(SHARD, ahead)] == [1]
    assert (await ids(redis))[:-1] == list(before)


async def test_stored_moves_onto_recorded_edges_only(redis: Redis, log: RedisStream, lease: Lease) -> None:
    """`stored` does not move onto an edge that Redis lost with its tail."""
    await append(redis, EntryId(5, 1))
    with pytest.raises(Moved):
        await log.stored(lease, ORIGIN, EntryId(9, 0))
    assert (await log.checkpoint(SHARD)).stored == ORIGIN


@pytest.mark.parametrize(
    ("edge", "edges", "kept"),
    [
        (
            ORIGIN,
            [ORIGIN, EntryId(4, 0), EntryId(5, 1), EntryId(6, 0), EntryId(7, 0)],
            [
                EntryId(3, 0),
                EntryId(4, 0),
                EntryId(4, 1),
                EntryId(5, 1),
                EntryId(5, 2),
                EntryId(6, 0),
                EntryId(6, 1),
                EntryId(7, 0),
            ],
        ),
        (
            EntryId(4, 0),
            [EntryId(4, 0), EntryId(5, 1), EntryId(6, 0), EntryId(7, 0)],
            [EntryId(4, 1), EntryId(5, 1), EntryId(5, 2), EntryId(6, 0), EntryId(6, 1), EntryId(7, 0)],
        ),
        (
            EntryId(5, 1),
            [EntryId(5, 1), EntryId(6, 0), EntryId(7, 0)],
            [EntryId(5, 2), EntryId(6, 0), EntryId(6, 1), EntryId(7, 0)],
        ),
        (EntryId(6, 0), [EntryId(6, 0), EntryId(7, 0)], [EntryId(6, 1), EntryId(7, 0)]),
    ],
)
async def test_a_trim_drops_entries_and_edges_together(
    redis: Redis, log: RedisStream, lease: Lease, edge: EntryId, edges: list[EntryId], kept: list[EntryId]
) -> None:
    """A trim takes the entries up to a stored edge and the edges before it; the edge itself stays as the floor."""
    await append(
        redis,
        EntryId(3, 0),
        EntryId(4, 0),
        EntryId(4, 1),
        EntryId(5, 1),
        EntryId(5, 2),
        EntryId(6, 0),
        EntryId(6, 1),
        EntryId(7, 0),
    )
    await deliver(log, lease, EntryId(4, 0), EntryId(5, 1), EntryId(6, 0))
    await log.cut(lease, EntryId(6, 0), Edge(EntryId(7, 0), 1, 10))
    await log.trim(lease, edge)
    assert [one.id for one in (await log.checkpoint(SHARD)).edges] == edges
    assert await ids(redis) == kept
    await log.trim(lease, edge)
    assert await ids(redis) == kept


@pytest.mark.parametrize("edge", [EntryId(7, 0), EntryId(6, 1), EntryId(4, 1), EntryId(3, 0), EntryId(99, 0)])
async def test_a_trim_off_an_edge_or_past_stored_is_refused(
    redis: Redis, log: RedisStream, lease: Lease, edge: EntryId
) -> None:
    """A trim anywhere else than at a recorded edge that `stored` has reached is refused and changes nothing."""
    await append(redis, EntryId(3, 0), EntryId(4, 0), EntryId(4, 1), EntryId(5, 1), EntryId(6, 1), EntryId(7, 0))
    await deliver(log, lease, EntryId(4, 0), EntryId(5, 1))
    await log.cut(lease, EntryId(5, 1), Edge(EntryId(7, 0), 1, 10))
    before = await everything(redis)
    with pytest.raises(Moved):
        await log.trim(lease, edge)
    assert await everything(redis) == before


async def test_a_full_redis_lets_the_flusher_go_on(redis: Redis, log: RedisStream) -> None:
    """A Redis at maxmemory refuses appends but takes every step that leads to trimming, as it would stay full
    otherwise.
    """
    await append(redis, EntryId(4, 0), EntryId(5, 1), EntryId(6, 0), EntryId(7, 0))
    await redis.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await append(redis, EntryId(8, 0))
    leases = Leases(redis=redis, owner="a", ttl_ms=60_000)
    assert await leases.enrol(4) == 4
    lease = await leases.take(SHARD)
    assert lease
    await deliver(log, lease, EntryId(4, 0))
    await log.cut(lease, EntryId(4, 0), Edge(EntryId(5, 1), 1, 10))
    await log.claim(BLOCK)
    await log.set_duplicates(lease, EntryId(4, 0), EntryId(5, 1), b"places")
    await log.judge(lease, EntryId(4, 0), EntryId(5, 1), b"verdict")
    await log.stored(lease, EntryId(4, 0), EntryId(5, 1), [LETTER], {(5, "site"): 1})
    await log.follow(lease, EntryId(5, 1), EntryId(6, 0), EntryId(6, 0))
    await deliver(log, lease, EntryId(7, 0))
    await leases.renew(lease)
    await log.trim(lease, EntryId(7, 0))
    assert await ids(redis) == []
    await leases.release(lease)


async def test_no_answer_is_unclear(muted: RedisStream, lease: Lease) -> None:
    """Every command without an answer raises Unclear, so the caller must read the checkpoint again."""
    said = await asyncio.gather(
        muted.checkpoint(SHARD),
        muted.read(SHARD, ORIGIN),
        muted.cut(lease, ORIGIN, Edge(EntryId(5, 1), 1, 10)),
        muted.judge(lease, ORIGIN, EntryId(5, 1), b"verdict"),
        muted.stored(lease, ORIGIN, EntryId(5, 1)),
        muted.follow(lease, ORIGIN, EntryId(5, 1), ORIGIN),
        muted.trim(lease, EntryId(5, 1)),
        muted.accepted(SHARD),
        muted.duplicates(SHARD),
        muted.set_duplicates(lease, ORIGIN, EntryId(5, 1), b"places"),
        muted.claim(BLOCK),
        muted.dead_rows(SHARD),
        muted.size(SHARD),
        muted.now_ms(0),
        muted.last(SHARD),
        return_exceptions=True,
    )
    assert [type(one) for one in said] == [Unclear] * 15


async def test_a_cut_whose_answer_was_lost_is_found_again(log: RedisStream, muted: RedisStream, lease: Lease) -> None:
    """A cut whose answer was lost has happened: sending it again is refused, and the checkpoint names the block."""
    edge = Edge(EntryId(5, 1), 1, 10)
    with pytest.raises(Unclear):
        await muted.cut(lease, ORIGIN, edge)
    with pytest.raises(Moved):
        await log.cut(lease, ORIGIN, edge)
    assert (await log.checkpoint(SHARD)).edges[-1] == edge


async def test_accepted_totals_are_read_with_the_last_entry_and_forgotten_one_by_one(
    redis: Redis, log: RedisStream
) -> None:
    """The totals of what was accepted are read before the last entry, so all that they count is up to it."""
    assert await log.accepted(SHARD) == ({}, ORIGIN)
    await append(redis, EntryId(5, 1), EntryId(5, 2))
    await redis.hset(KEYS.accepted, mapping={"29833333 a.example": 3, "29833334 a.example": 4})
    totals, last = await log.accepted(SHARD)
    assert (sorted(totals.values()), last) == ([3, 4], EntryId(5, 2))
    first, second = sorted(totals)
    await log.forget(SHARD, [first])
    assert (await log.accepted(SHARD))[0] == {second: 4}


async def test_size_and_clock_are_redis_s_own(redis: Redis, log: RedisStream) -> None:
    """The stream's size is Redis's, 0 without a stream, and the clock is the one that dates entries."""
    assert await log.size(SHARD) == 0
    before = await log.now_ms(0)
    entry_id: Any = await redis.xadd(KEYS.log, {"d": b"x" * 1000, "n": 1})
    assert before <= int(entry_id.partition(b"-")[0]) <= await log.now_ms(0)
    assert await log.size(SHARD) > 1000


async def test_a_claim_that_cannot_be_read_names_its_key(redis: Redis, log: RedisStream) -> None:
    """What a stranger wrote among the claims is Foreign, which says where a person has to look."""
    await redis.hset(CLAIMS_KEY, "1", "rubbish")
    with pytest.raises(Foreign, match="claims"):
        await log.claim(BLOCK)
    await redis.hset(CLAIMS_KEY, "1", "7 cafe:5-0")
    with pytest.raises(Foreign, match="no name of a block"):
        await log.claim(BLOCK)
