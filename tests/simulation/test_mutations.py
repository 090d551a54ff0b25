"""The simulation can fail: with any one rule of docs/delivery.md broken, some seed notices.

Rules are broken in the fakes or in subclasses of the product, never by a switch in the product.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flusher.blocks.block import Block, Part
from flusher.delivery import verify
from flusher.delivery.deliver import Delivery
from flusher.redis.lease import Lease
from flusher.redis.stream import RedisStream
from flusher.shards.tail import Tail
from ingest.batch import Waiting
from ingest.commit.appender import Appender
from ingest.commit.committer import Committer
from ingest.commit.share import Share
from ingest.fates import Shed
from schemas.names import ORIGIN, EntryId
from schemas.redis.keys import Keys
from schemas.redis.records import Edge
from tests.fakes.redis import Id
from tests.simulation.fates import Fate, by_chance
from tests.simulation.installation import Flusher, Ingest
from tests.simulation.run import large
from tests.simulation.storms import jump_clickhouse, jump_process, replay
from tests.simulation.test_power import unasked, unlooked
from tests.simulation.test_simulation import fail_over, slow_inserts, unsearched
from tests.simulation.world import VirtualTime, World
from tests.support.committing import Request
from tests.support.volume import volume

SEEDS = range(550, 950)  # most rules are seen to be broken soon in these

Change = Callable[[World], None]


def harsh(world: World) -> None:
    """Makes faults more frequent, so that fewer seeds are needed."""
    world.fates = by_chance(world.rng, 0.1)


def flushers(kind: type[Flusher]) -> Change:
    def change(world: World) -> None:
        for name in world.makers:
            if name.startswith("flusher"):
                world.makers[name] = kind

    return change


class _WithoutCut(Flusher):
    class Log(RedisStream):
        async def cut(self, lease: Lease, from_id: EntryId, edge: Edge) -> None:
            """Records nothing."""

    def make_stream(self, connection: Any) -> RedisStream:
        return self.Log(connection, self.replicas)


class _WithoutVerify(Flusher):
    class delivery(Delivery):  # noqa: N801  an attribute, by its base class
        async def deliver(self, lease: Lease, block: Block, *, is_first: bool) -> int:
            return await super().deliver(lease, block, is_first=True)


class _Believing(Flusher):
    class delivery(Delivery):  # noqa: N801  as above
        async def _missing(self, block: Block, part: Part, attempt: int, was_accepted: bool) -> int | None:
            return None if was_accepted else await super()._missing(block, part, attempt, was_accepted)


class _TrustingItsClock(Flusher):
    """Takes deadlines from this host's wall clock, which is a minute ahead."""

    def __init__(self, world: World, name: str, life: int) -> None:
        super().__init__(world, name, life)
        self.skew = 60.0

    def make_delivery(self, table: Any) -> Delivery:
        wall = VirtualTime(self.world)

        class Here(verify.Clock):
            async def read(self, table: verify.Asks) -> None: ...

            def unix_seconds(self) -> float:
                return wall.time()

        delivery = super().make_delivery(table)
        delivery._clock = Here()
        return delivery


class _Overtaking(Ingest):
    class Placing(Appender):
        class committer(Committer):  # noqa: N801  an attribute's name
            def _is_live(self) -> bool:
                return not self._pressed()

    def make_appender(self, **parts: Any) -> Appender:
        return self.Placing(**parts)


class _Hasty(Ingest):
    class Placing(Appender):
        def submit(self, request: Waiting) -> Shed | None:
            assert isinstance(request, Request)
            shed = super().submit(Request(request.rows))
            if shed is None:
                self._loop.call_soon(request.settled, None)
            return shed

    def make_appender(self, **parts: Any) -> Appender:
        return self.Placing(**parts)


class _ContentWithOneShard(Ingest):
    class Placing(Appender):
        def _settle(self, shares: list[Share]) -> None:
            for share in shares:
                for request in share.owners:
                    request.shards_left = min(request.shards_left, 1)
            super()._settle(shares)

    def make_appender(self, **parts: Any) -> Appender:
        return self.Placing(**parts)


class _Unsynced(Ingest):
    class NeverSynced(dict[Path, int]):
        def __setitem__(self, path: Path, synced: int) -> None:
            super().__setitem__(path, 0)

    def __init__(self, world: World, name: str, life: int) -> None:
        super().__init__(world, name, life)
        self.unsynced = self.NeverSynced()


def unsynced(world: World) -> None:
    world.makers |= {"ingest-1": _Unsynced, "ingest-2": _Unsynced}


def without_fence(world: World) -> None:
    world.redis.holds = lambda key, value: True  # type: ignore[method-assign]  # that is the point


def without_compare(world: World) -> None:
    def checked(lease_key: str, checkpoint: str, value: str, from_id: str) -> bytes:
        return b"ok" if world.redis.holds(lease_key, value) else b"lease"

    world.redis.checked = checked  # type: ignore[method-assign]  # that is the point
    world.redis.is_recorded = lambda edges_key, edge_id: True  # type: ignore[method-assign]  # as above


def any_higher_number(world: World) -> None:
    """Lets Redis take any higher commit number, so a producer that overtakes its own spool is told "done" when it
    drains.
    """
    world.makers |= {"ingest-1": _Overtaking, "ingest-2": _Overtaking}
    world.redis.takes_next = lambda number, last: number > last  # type: ignore[method-assign]  # that is the point


def trim_early(world: World) -> None:
    drop = world.redis.drop

    def early(key: str, floor: Id, stored: Id) -> None:
        drop(key, (world.redis.log(key).last[0] + 1, 0), stored)

    world.redis.drop = early  # type: ignore[method-assign]  # that is the point


def trim_off_an_edge(world: World) -> None:
    drop = world.redis.drop

    def beyond(key: str, floor: Id, stored: Id) -> None:
        after = [entry_id for entry_id in world.redis.log(key).entries if floor <= entry_id < stored]
        drop(key, (after[0][0], after[0][1] + 1) if after else floor, stored)

    world.redis.drop = beyond  # type: ignore[method-assign]  # that is the point
    world.redis.tail_ms = -1 << 40
    for _ in range(3):
        world.loop.in_world(1 + 4 * world.rng.random(), replay, world)


def replay_from_nowhere(world: World) -> None:
    """Sets `stored` back to the origin, whether or not an edge is recorded there: the log may have been trimmed."""

    def rewind(shard: int, rng: Any) -> None:
        keys = Keys(shard)
        world.redis.hash(keys.checkpoint)["stored"] = str(ORIGIN).encode()
        world.redis.strings.pop(keys.lease, None)

    world.redis.rewind = rewind  # type: ignore[method-assign]  # that is the point
    for _ in range(3):
        world.loop.in_world(1 + 4 * world.rng.random(), replay, world)


def late_and_dark(world: World) -> None:
    """Delivers INSERTs late and lets ClickHouse forget tokens, which is what deadlines are for. Flushers' clocks are
    wrong.
    """
    rng = world.rng
    world.spared = (jump_clickhouse,)  # a server whose clock goes back takes what it would have refused
    world.insert_seconds_may_be_short = False  # or an INSERT comes while its deadline lasts, and its token is lost
    late = (Fate.LATE, Fate.DIE_LATE, Fate.PAUSE_BEFORE)
    calls = ("insert", "record")
    world.fates = lambda _, what: rng.choice(late) if what.startswith(calls) and rng.random() < 0.2 else Fate.NONE
    for _ in range(5):
        world.loop.in_world(1 + 8 * rng.random(), world.lose_power)
        world.loop.in_world(0.2 + 8 * rng.random(), jump_process, world)  # there are processes by then


def without_deadline(world: World) -> None:
    late_and_dark(world)
    world.clickhouse.is_late = lambda deadline: False  # type: ignore[method-assign]  # that is the point


def by_our_clock(world: World) -> None:
    late_and_dark(world)
    flushers(_TrustingItsClock)(world)


def without_tokens(world: World) -> None:
    """Delivers INSERTs that were given up while their lease lasts, so that only their tokens tell them from their
    retries.
    """
    rng = world.rng
    world.insert_seconds_may_be_short = False  # it is
    world.insert_seconds = 0.3
    world.fates = lambda _, what: Fate.LATE if what.startswith("insert ") and rng.random() < 0.2 else Fate.NONE
    world.clickhouse.is_known = lambda partition, token: False  # type: ignore[method-assign]  # that is the point


def hasty(world: World) -> None:
    world.makers |= {"ingest-1": _Hasty, "ingest-2": _Hasty}


def content_with_one_shard(world: World) -> None:
    world.makers |= {"ingest-1": _ContentWithOneShard, "ingest-2": _ContentWithOneShard}


def fail_over_to_a_clock_behind(world: World) -> None:
    """Fails Redis over to a clock that is behind, so ids of new entries lie among those of the lost ones."""
    fail_over(world, 60)


def without_going_on(world: World) -> None:
    """Lets the checkpoint follow and the stream not, so that new entries get ids that nobody reads any more."""
    fail_over_to_a_clock_behind(world)
    world.redis.go_on_behind = lambda log_key, edge, held: None  # type: ignore[method-assign]  # that is the point


def without_moving(world: World) -> None:
    """Lets the stream go on, but leaves the entries that came between the loss and the following where they are."""
    fail_over_to_a_clock_behind(world)

    def go_on(log_key: str, edge: Id, held: Id) -> None:
        world.redis.log(log_key).last = max(world.redis.log(log_key).last, edge)

    world.redis.go_on_behind = go_on  # type: ignore[method-assign]  # that is the point


def moving_all(world: World) -> None:
    """Takes entries that survived the loss for newcomers, so that they are stored again."""
    fail_over_to_a_clock_behind(world)
    unsearched(world)
    go_on = world.redis.go_on_behind

    def all_of_it(log_key: str, edge: Id, held: Id) -> None:
        stored = world.redis.stored_of(log_key.replace("log", "checkpoint"))
        go_on(log_key, edge, EntryId.parse(stored))

    world.redis.go_on_behind = all_of_it  # type: ignore[method-assign]  # that is the point


def asked_too_early(world: World) -> None:
    """Asks ClickHouse where a shard stands while an INSERT of a block that Redis lost still runs."""
    fail_over(world, 0)
    unsearched(world)
    slow_inserts(world)
    answer = world.clickhouse.answer

    def hasty(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [(0,)] if sql == verify.SHARD_RUNNING else answer(sql, parameters)

    world.clickhouse.answer = hasty  # type: ignore[method-assign]  # that is the point


def onto_lost_edges(world: World) -> None:
    """Moves `stored` onto an edge that Redis lost."""
    fail_over_to_a_clock_behind(world)
    slow_inserts(world)
    world.redis.is_recorded = lambda edges_key, edge_id: True  # type: ignore[method-assign]  # that is the point


MUTATIONS: dict[str, Change] = {
    "the cut is not recorded (I2)": flushers(_WithoutCut),
    "scripts do not ask for the lease (I3)": without_fence,
    "scripts do not compare before they set (rule 2)": without_compare,
    "any higher commit number is taken (rule 1)": any_higher_number,
    "answered before it is appended (I1)": hasty,
    "answered before it is synced (I1)": unsynced,
    "answered when the first of its shards has it (I1)": content_with_one_shard,
    "trimmed before it is stored (I4)": trim_early,
    "trimmed off an edge (rule 7)": trim_off_an_edge,
    "a replay begins where no edge is recorded (rule 7)": replay_from_nowhere,
    "a redelivery is not verified (I6)": flushers(_WithoutVerify),
    "a success on a retry is believed (rule 3)": flushers(_Believing),
    "no INSERT is too late (rule 5)": without_deadline,
    "deadlines by a clock of our own (rule 5)": by_our_clock,
    "ClickHouse knows no tokens (I5)": without_tokens,
    "the stream does not follow the checkpoint (rule 8)": without_going_on,
    "what came after the loss is skipped (rule 8)": without_moving,
    "what survived the loss is stored again (rule 8)": moving_all,
    "ClickHouse is asked while an INSERT runs (rule 8)": asked_too_early,
    "stored moves onto an edge that was lost (rule 8)": onto_lost_edges,
}


# What these lose is delivered again when ClickHouse was started meanwhile (flusher/shards/tail.py): they show without that.
MADE_GOOD = {
    "scripts do not compare before they set (rule 2)",
    "a redelivery is not verified (I6)",
    "a success on a retry is believed (rule 3)",
}


# Where one seed of 200 shows it, looking begins just before one that does. Any of the 400 that follow will do.
FIRST = {
    "a redelivery is not verified (I6)": 970,
    "scripts do not compare before they set (rule 2)": 300,
    "scripts do not ask for the lease (I3)": 330,
    "answered before it is synced (I1)": 270,
    "ClickHouse is asked while an INSERT runs (rule 8)": 80,
    "a success on a retry is believed (rule 3)": 0,
    "stored moves onto an edge that was lost (rule 8)": 20,
}


@pytest.mark.parametrize("rule", MUTATIONS)
def test_a_broken_rule_is_found(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed of a bounded number finds the broken rule, so a simulation that passes means something."""
    if rule in MADE_GOOD:
        monkeypatch.setattr(Tail, "made_good", unlooked)
        monkeypatch.setattr(Tail, "must_be_compared", unasked)

    first = FIRST.get(rule)

    def both(world: World) -> None:
        harsh(world)
        MUTATIONS[rule](world)

    assert any(
        large(seed, change=both).broken for seed in (range(first, first + len(SEEDS)) if first is not None else SEEDS)
    )


def test_late_inserts_and_forgotten_tokens() -> None:
    """The faults that are found when deadlines are missing do not occur when INSERTs have them."""
    broken = [(seed, found) for seed in range(volume(30, 100)) if (found := large(seed, change=late_and_dark).broken)]
    assert not broken
