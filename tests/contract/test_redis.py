"""The fake Redis and a real one keep the same contract: what the scripts refuse, and what they leave behind.

Named tests run on both. Then any order of commands, as seeds draw it, is sent to both at once through the product's own
classes, and every answer and all state must be alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from redis.asyncio import Redis

import ingest.commit.stream
from flusher.redis import stream
from flusher.redis.lease import Lease, LeaseLost, Leases, Unclear
from flusher.redis.reading import Moved
from flusher.redis.records import Claim
from ingest.commit.answers import Gap, Refused
from schemas.deadletter import DeadLetter
from schemas.durability import judge
from schemas.ledger import OTHER, TOTALS_MAX
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import PRODUCER_KEPT_SECONDS, PRODUCER_NOTED_SECONDS, Keys
from schemas.redis.records import BEGINNING, Edge
from schemas.redis.scripts import script
from schemas.segment import Commit
from tests.fakes.redis import Server
from tests.fakes.redis_client import Connection
from tests.fakes.wire import Straight
from tests.support import redis_server

server = redis_server.each_server
redis = redis_server.redis

SHARD = 0
KEYS = Keys(SHARD)
TTL_MS = 60_000
LETTER = DeadLetter(b"row", "clickhouse_27", "text", 5, "block")


class IngestStream(ingest.commit.stream.RedisStream):
    """Is the product's class on a client that is there already."""

    def __init__(self, client: Any) -> None:
        self._redis = client
        self._durability = None
        self._append = client.register_script(script("append"))
        self._replicas = 0


class Ends:
    """Holds one Redis, fake or real, as the product and the test see it."""

    def __init__(
        self,
        client: Any,
        expire: Callable[[], Awaitable[None]],
        age: Callable[[str, int], Awaitable[None]],
        configure: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self.ingest = IngestStream(client)
        self.log = stream.RedisStream(client)
        self.leases = {name: Leases(redis=client, owner=name, ttl_ms=TTL_MS) for name in ("a", "b")}
        self.expire = expire  # the lease runs out
        self.configure = configure  # as CONFIG SET
        self.age = age  # a producer was last seen so many seconds ago

    async def append(self, producer: str, number: int, rows: int = 2) -> None:
        data = f"{producer}:{number}".encode() if rows else b""
        accepted = {"5 site": rows} if rows else {}
        await self.ingest.append(SHARD, producer, Commit(number, data, rows, accepted))

    async def fill(self, totals: int) -> None:
        """Counts so many sites as if they had been met a while ago."""
        for at in range(0, totals, 1_000):
            accepted = {f"4 {number}": 1 for number in range(at, min(totals, at + 1_000))}
            await self.ingest.append(SHARD, f"p{at}", Commit(1, b"d", 1, accepted))

    async def lease(self, owner: str = "a") -> Lease:
        taken = await self.leases[owner].take(SHARD)
        assert taken
        return taken

    async def entries(self) -> list[EntryId]:
        return [entry.id for entry in await self.log.read(SHARD, ORIGIN)]


def fake() -> Ends:
    state = Server(time.time)

    async def expire() -> None:
        state.strings.pop(KEYS.lease, None)

    async def age(producer: str, seconds: int) -> None:
        state.scores.setdefault(KEYS.seen, {})[producer] = time.time() - seconds

    async def configure(name: str, value: str) -> None:
        state.settings[name] = value

    return Ends(cast(Any, Connection(state, Straight())), expire, age, configure)


def real(client: Redis) -> Ends:
    async def expire() -> None:
        await client.delete(KEYS.lease)

    async def age(producer: str, seconds: int) -> None:
        await client.zadd(KEYS.seen, {producer: time.time() - seconds})

    async def configure(name: str, value: str) -> None:
        await client.config_set(name, value)

    return Ends(client, expire, age, configure)


@pytest.fixture(params=["fake", "real"])
def ends(request: pytest.FixtureRequest, redis: Redis) -> Ends:
    return fake() if request.param == "fake" else real(redis)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
    ],
)
async def test_what_it_says_of_itself_is_judged(ends: Ends, name: str, wrong: str, right: str) -> None:
    """A durable Redis has no fault, and a change of any one setting is found."""
    try:
        assert judge((await ends.log.facts())[""]).faults == ()
        await ends.configure(name, wrong)
        assert [fault.setting.value for fault in judge((await ends.log.facts())[""]).faults] == [name]
    finally:
        await ends.configure(name, right)


async def test_only_the_next_commit_is_taken(ends: Ends) -> None:
    """An older number is answered `done` and changes nothing, and a higher one is a gap."""
    await ends.append("p", 1)
    await ends.append("p", 1)
    with pytest.raises(Gap):
        await ends.append("p", 3)
    await ends.append("p", 2)
    found = await ends.log.read(SHARD, ORIGIN)
    assert [(entry.producer, entry.commit, entry.rows) for entry in found] == [("p", 1, 2), ("p", 2, 2)]
    assert await ends.log.accepted(SHARD) == ({(5, "site"): 4}, found[-1].id)


async def test_an_empty_commit_moves_the_number_alone(ends: Ends) -> None:
    """An empty commit, which stands for one that a damaged spool lost, moves the number and appends nothing."""
    await ends.append("p", 1, rows=0)
    await ends.append("p", 2)
    assert len(await ends.entries()) == 1


async def test_a_silent_producer_is_forgotten_after_a_week(ends: Ends) -> None:
    """A producer that was silent for a week is forgotten when the next one is noted; a younger one can go on."""
    for producer in ("gone", "away"):
        await ends.append(producer, 1)
    await ends.age("gone", PRODUCER_KEPT_SECONDS + 2 * PRODUCER_NOTED_SECONDS)
    await ends.age("away", PRODUCER_KEPT_SECONDS)
    await ends.append("new", 1)
    await ends.append("away", 2)
    with pytest.raises(Gap):
        await ends.append("gone", 2)


async def test_totals_of_too_many_sites_are_one(ends: Ends) -> None:
    """Site names that strangers invent don't fill Redis: new ones are counted together by minute, known ones as
    before.
    """
    await ends.append("p", 1)
    await ends.fill(TOTALS_MAX - 1)
    for number, accepted in enumerate(({"5 new": 2}, {"5 site": 1, "6 other site": 2}, {"6 third": 3}), 2):
        await ends.ingest.append(SHARD, "p", Commit(number, b"d", 3, accepted))
    totals, _ = await ends.log.accepted(SHARD)
    assert len(totals) == TOTALS_MAX + 2
    assert {key: count for key, count in totals.items() if count > 1} == {
        (5, "site"): 3,
        (5, OTHER): 2,
        (6, OTHER): 5,
    }


async def test_a_lease_is_given_once_and_counts_up(ends: Ends) -> None:
    """A lease is given once, its generation tells a zombie from its successor, and the incarnation stays."""
    first = await ends.lease("a")
    assert await ends.leases["b"].take(SHARD) is None
    await ends.expire()
    second = await ends.lease("b")
    assert (second.generation, second.incarnation) == (first.generation + 1, first.incarnation)
    with pytest.raises(LeaseLost):
        await ends.leases["a"].renew(first)
    await ends.leases["a"].release(first)
    await ends.leases["b"].renew(second)


async def test_a_block_is_cut_then_stored(ends: Ends) -> None:
    """Cutting and storing a block each compare before they set (rule 2)."""
    lease = await ends.lease()
    for number in (1, 2, 3):
        await ends.append("p", number)
    one, two, three = await ends.entries()
    await ends.log.cut(lease, ORIGIN, Edge(one, 2, 9))
    with pytest.raises(Moved):
        await ends.log.cut(lease, ORIGIN, Edge(two, 4, 9))
    await ends.log.stored(lease, ORIGIN, one)
    with pytest.raises(Moved):
        await ends.log.stored(lease, ORIGIN, two)
    await ends.log.cut(lease, one, Edge(three, 4, 18))
    checkpoint = await ends.log.checkpoint(SHARD)
    assert (checkpoint.stored, checkpoint.edges) == (one, (BEGINNING, Edge(one, 2, 9), Edge(three, 4, 18)))


async def test_no_block_is_cut_behind_the_end_of_the_stream(ends: Ends) -> None:
    """No block is cut of entries that Redis has lost, because the ids of new entries may lie among theirs."""
    lease = await ends.lease()
    await ends.append("p", 1)
    (one,) = await ends.entries()
    with pytest.raises(Moved):
        await ends.log.cut(lease, ORIGIN, Edge(one.following(), 4, 9))
    await ends.log.cut(lease, ORIGIN, Edge(one, 2, 9))


async def test_an_erasure_is_acknowledged_once_and_counted_once(ends: Ends) -> None:
    """Erased rows are recorded and counted with `stored`, once, also when the block is delivered again."""
    lease = await ends.lease()
    await ends.append("p", 1)
    (one,) = await ends.entries()
    await ends.log.acknowledge(lease, ORIGIN, "e1", ORIGIN)
    with pytest.raises(Moved):
        await ends.log.acknowledge(lease, ORIGIN, "e1", one)
    await ends.log.cut(lease, ORIGIN, Edge(one, 2, 9))
    await ends.log.set_erased(lease, ORIGIN, one, b"places")
    with pytest.raises(Moved):
        await ends.log.set_erased(lease, ORIGIN, one, b"others")
    await ends.log.stored(lease, ORIGIN, one, (), {(5, "site"): 1}, {(5, "site"): 1, (5, "b"): 2})
    checkpoint = await ends.log.checkpoint(SHARD)
    assert (checkpoint.erased, checkpoint.erasures, checkpoint.last_erased()) == (
        {one: b"places"},
        frozenset(("e1",)),
        one,
    )
    assert await ends.log.erased(SHARD) == ({(5, "site"): 1, (5, "b"): 2}, {})
    assert await ends.log.duplicates(SHARD) == {(5, "site"): 1}
    await ends.log.trim(lease, one)
    await ends.log.forget(SHARD, [(5, "b")])
    assert await ends.log.erased(SHARD) == ({(5, "site"): 1}, {})
    assert await ends.log.erasures() == {}
    assert await ends.log.erasures_version() == 0


async def test_a_zombie_moves_nothing(ends: Ends) -> None:
    """Every move checks the generation of the lease inside Redis, so a zombie moves nothing (I3)."""
    zombie = await ends.lease("a")
    await ends.append("p", 1)
    [edge] = await ends.entries()
    await ends.expire()
    await ends.lease("b")
    before = await ends.log.checkpoint(SHARD)
    moves: tuple[Callable[[], Awaitable[None]], ...] = (
        lambda: ends.log.cut(zombie, ORIGIN, Edge(edge, 2, 9)),
        lambda: ends.log.stored(zombie, ORIGIN, edge),
        lambda: ends.log.judge(zombie, ORIGIN, edge, b"verdict"),
        lambda: ends.log.set_duplicates(zombie, ORIGIN, edge, b"places"),
        lambda: ends.log.follow(zombie, ORIGIN, edge, ORIGIN),
        lambda: ends.log.trim(zombie, edge),
        lambda: ends.log.compared(zombie, ORIGIN, ORIGIN, 7),
    )
    for move in moves:
        with pytest.raises(LeaseLost):
            await move()
    assert await ends.log.checkpoint(SHARD) == before
    assert await ends.entries() == [edge]


async def test_a_trim_is_at_a_stored_edge_or_not_at_all(ends: Ends) -> None:
    """A trim takes entries and edges together, at a stored edge or not at all (rule 7)."""
    lease = await ends.lease()
    for number in (1, 2, 3, 4):
        await ends.append("p", number)
    one, two, three, four = await ends.entries()
    for from_id, to_id in ((ORIGIN, two), (two, three)):
        await ends.log.cut(lease, from_id, Edge(to_id, 2, 9))
        await ends.log.stored(lease, from_id, to_id)
    await ends.log.cut(lease, three, Edge(four, 2, 9))
    for off in (one, four, EntryId(1, 1)):
        with pytest.raises(Moved):
            await ends.log.trim(lease, off)
    await ends.log.trim(lease, three)
    assert await ends.entries() == [four]
    assert [edge.id for edge in (await ends.log.checkpoint(SHARD)).edges] == [three, four]


async def test_a_comparison_is_noted_and_goes_back_to_a_stored_edge(ends: Ends) -> None:
    """A comparison sets `stored` back to a recorded edge only, from where it is, and keeps how far blocks were
    counted.
    """
    lease = await ends.lease()
    for number in (1, 2, 3):
        await ends.append("p", number)
    one, two, three = await ends.entries()
    for from_id, to_id in ((ORIGIN, one), (one, two)):
        await ends.log.cut(lease, from_id, Edge(to_id, 2, 9))
        await ends.log.stored(lease, from_id, to_id)
    await ends.log.cut(lease, two, Edge(three, 2, 9))
    for from_id, back_to in ((two, three), (two, EntryId(1, 1)), (one, one)):
        with pytest.raises(Moved):
            await ends.log.compared(lease, from_id, back_to, 7)
    await ends.log.compared(lease, two, two, 7)
    checkpoint = await ends.log.checkpoint(SHARD)
    assert (checkpoint.stored, checkpoint.counted, checkpoint.compared) == (two, ORIGIN, 7)
    await ends.log.compared(lease, two, ORIGIN, 8)
    checkpoint = await ends.log.checkpoint(SHARD)
    assert (checkpoint.stored, checkpoint.counted, checkpoint.compared) == (ORIGIN, two, 8)


async def test_a_stream_goes_on_behind_what_clickhouse_holds(ends: Ends) -> None:
    """Entries that came after a lost tail move behind it in order, and so does the next commit, whatever the clock
    shows.
    """
    lease = await ends.lease()
    for number in (1, 2, 3):
        await ends.append("p", number)
    first = (await ends.entries())[0]
    ahead = EntryId(first.ms + 3_600_000, 7)
    await ends.log.follow(lease, ORIGIN, ahead, first)
    assert await ends.log.last(SHARD) == (await ends.entries())[-1]
    await ends.append("p", 4)
    assert [entry.commit for entry in await ends.log.read(SHARD, ahead)] == [2, 3, 4]
    assert [entry.commit for entry in await ends.log.read(SHARD, ORIGIN)] == [1, 2, 3, 4]


def block(shard: int, upto: int, incarnation: str) -> BlockName:
    return BlockName(incarnation, shard, ORIGIN, EntryId(upto, 0))


FIRST, LATER, SECOND, ANEW = block(0, 5, "cafe"), block(0, 6, "cafe"), block(1, 7, "beef"), block(0, 1, "beef")


async def test_blocks_take_turns(ends: Ends) -> None:
    """Blocks of all shards have one order, and a claim sees every other shard's current block."""
    first = await ends.log.claim(FIRST)
    second = await ends.log.claim(SECOND)
    assert first == Claim(1, {0: (1, FIRST)})
    assert second == Claim(2, {0: (1, FIRST), 1: (2, SECOND)})
    assert await ends.log.claim(LATER) == Claim(3, {0: (3, LATER), 1: (2, SECOND)})


async def test_a_claim_made_twice_is_one(ends: Ends) -> None:
    """A claim that is made twice keeps its turn, and sees the blocks that are current now."""
    await ends.log.claim(FIRST)
    await ends.log.claim(SECOND)
    again = await ends.log.claim(FIRST)
    assert again == Claim(1, {0: (1, FIRST), 1: (2, SECOND)})


async def test_an_old_block_claims_nothing(ends: Ends) -> None:
    """An older block never replaces a later one, except in a stream that was made anew."""
    await ends.log.claim(LATER)
    assert await ends.log.claim(FIRST) is None
    assert await ends.log.claim(ANEW) == Claim(2, {0: (2, ANEW)})


async def test_another_finding_is_refused(ends: Ends) -> None:
    """What is left out of a block is recorded once: the same again changes nothing, anything else is refused."""
    lease = await ends.lease()
    await ends.append("p", 1)
    [edge] = await ends.entries()
    await ends.log.cut(lease, ORIGIN, Edge(edge, 2, 9))
    for record in (ends.log.judge, ends.log.set_duplicates):
        await record(lease, ORIGIN, edge, b"found")
        await record(lease, ORIGIN, edge, b"found")
        with pytest.raises(Moved):
            await record(lease, ORIGIN, edge, b"other")
    checkpoint = await ends.log.checkpoint(SHARD)
    assert (checkpoint.verdicts, checkpoint.duplicates) == ({edge: b"found"}, {edge: b"found"})


class Pair:
    """Sends the same commands to a fake and a real Redis. Entry ids differ, so entries are named by their place."""

    def __init__(self, rng: random.Random, ends: tuple[Ends, Ends]) -> None:
        self.rng = rng
        self.ends = ends
        self.ids: tuple[list[EntryId], list[EntryId]] = ([ORIGIN], [ORIGIN])
        self.leases: tuple[list[Lease], list[Lease]] = ([], [])
        self.block = 5

    async def step(self) -> None:
        choices = (
            self.append,
            self.append,
            self.take,
            self.move,
            self.move,
            self.move,
            self.move,
            self.keep,
            self.claim,
            self.forget,
        )
        await self.rng.choice(choices)()

    async def alike(self, ask: Callable[[int], Awaitable[Any]]) -> list[Any]:
        """Asks both. Their answers, or the kinds of their errors, must be the same."""
        said = []
        for side in (0, 1):
            try:
                said.append(await ask(side))
            except (Gap, Refused, Moved, LeaseLost, Unclear) as error:
                said.append(type(error))
        return said

    async def append(self) -> None:
        producer, number, rows = self.rng.choice("pq"), self.rng.randrange(1, 8), self.rng.choice((0, 1, 2))
        said = await self.alike(lambda side: self.ends[side].append(producer, number, rows))
        assert said[0] == said[1]
        for side in (0, 1):
            _, last = await self.ends[side].log.accepted(SHARD)
            if last > self.ids[side][-1]:
                self.ids[side].append(last)
        assert len(self.ids[0]) == len(self.ids[1])

    async def take(self) -> None:
        if self.rng.random() < 0.4:
            for end in self.ends:
                await end.expire()
        owner = self.rng.choice("ab")
        taken = await self.alike(lambda side: self.ends[side].leases[owner].take(SHARD))
        assert (taken[0] is None) == (taken[1] is None)
        if taken[0] is not None:
            assert taken[0].generation == taken[1].generation
            for side in (0, 1):
                self.leases[side].append(taken[side])

    async def keep(self) -> None:
        """Renews or releases a lease, as its holder or as a zombie."""
        if not self.leases[0]:
            return
        at = self.rng.randrange(max(0, len(self.leases[0]) - 2), len(self.leases[0]))
        name = self.rng.choice(("renew", "renew", "release"))
        owner = self.leases[0][at].owner
        said = await self.alike(lambda side: getattr(self.ends[side].leases[owner], name)(self.leases[side][at]))
        assert said[0] == said[1]

    async def move(self) -> None:
        """Moves the checkpoint, mostly from where it stands to somewhere behind it."""
        if not self.leases[0]:
            return
        rng = self.rng
        stored = self.ids[0].index((await self.ends[0].log.checkpoint(SHARD)).stored)
        held = len(self.leases[0]) - (2 if rng.random() < 0.1 and len(self.leases[0]) > 1 else 1)
        from_at = stored if rng.random() < 0.9 else rng.randrange(len(self.ids[0]))
        to_at = min(len(self.ids[0]) - 1, from_at + rng.choice((0, 1, 1, 2)))
        names = ("cut", "cut", "cut", "stored", "stored", "stored", "judge", "set_duplicates", "trim", "trim", "follow")
        name = rng.choice(names)

        def move(side: int) -> Awaitable[None]:
            log, lease, ids = self.ends[side].log, self.leases[side][held], self.ids[side]
            from_id, to_id = ids[from_at], ids[to_at]
            if name == "cut":
                return log.cut(lease, from_id, Edge(to_id, 1, 2))
            if name == "judge":
                return log.judge(lease, from_id, to_id, b"verdict")
            if name == "trim":
                return log.trim(lease, from_id)
            if name == "follow":
                return log.follow(lease, from_id, to_id, to_id)
            if name == "set_duplicates":
                return log.set_duplicates(lease, from_id, to_id, b"places")
            copies = {(5, "site"): 2, (6, "site"): 1} if to_at % 2 else {}
            return log.stored(lease, from_id, to_id, [LETTER] if to_at % 3 == 0 else [], copies)

        said = await self.alike(move)
        assert said[0] == said[1], name

    async def claim(self) -> None:
        """Claims a block of one of three shards, of the present stream or another, seldom an old block."""
        self.block += self.rng.choice((0, 1, 1, -1))
        name = block(self.rng.randrange(3), self.block, self.rng.choice(("cafe", "cafe", "beef")))
        said = await self.alike(lambda side: self.ends[side].log.claim(name))
        assert said[0] == said[1]

    async def forget(self) -> None:
        for end in self.ends:
            await end.log.forget(SHARD, [(5, "site")])

    async def state(self, side: int) -> list[Any]:
        """Returns all that can be read, with places instead of ids."""
        end, place = self.ends[side], {entry_id: at for at, entry_id in enumerate(self.ids[side])}
        checkpoint = await end.log.checkpoint(SHARD)
        accepted, last = await end.log.accepted(SHARD)
        return [
            place[checkpoint.stored],
            [(place[edge.id], edge.rows, edge.size) for edge in checkpoint.edges],
            {place[edge]: verdict for edge, verdict in checkpoint.verdicts.items()},
            {place[edge]: places for edge, places in checkpoint.duplicates.items()},
            await end.log.duplicates(SHARD),
            [
                (place[one.id], one.data, one.rows, one.producer, one.commit)
                for one in await end.log.read(SHARD, ORIGIN)
            ],
            accepted,
            place.get(last),
            await end.log.dead_rows(SHARD),
        ]


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_commands_leaves_both_alike(seed: int, redis: Redis, server: Path) -> None:
    """After 150 random commands of two producers and two flushers, zombies among them, both hold the same."""
    pair = Pair(random.Random(seed), (fake(), real(redis)))
    for _ in range(150):
        await pair.step()
        assert await pair.state(0) == await pair.state(1)
