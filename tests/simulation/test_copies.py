"""An event with a client id is stored once under faults, and with any part of the search broken, some seed notices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flusher.copies.claims import Claims
from flusher.delivery.held import Name
from flusher.delivery.table import Unclear
from flusher.redis.lease import Lease
from flusher.redis.records import Claim
from flusher.redis.stream import RedisStream
from schemas.names import BlockName, EntryId
from tests.fakes import clickhouse
from tests.simulation.fates import Fate
from tests.simulation.installation import Flusher
from tests.simulation.run import large
from tests.simulation.test_mutations import SEEDS, Change, flushers
from tests.simulation.wire import SimulatedWire
from tests.simulation.world import World
from tests.support.volume import volume


def many_copies(world: World) -> None:
    """Lets clients hear nothing for a while and send again, and breaks flushers off around their claims."""
    rng = world.rng
    world.copy_share = 0.6
    unlucky = ("claim", "judge", "insert ")
    fates = (Fate.AFTER, Fate.DIE_AFTER, Fate.PAUSE_AFTER, Fate.DIE_BEFORE, Fate.LATE)
    world.fates = lambda _, what: rng.choice(fates) if what.startswith(unlucky) and rng.random() < 0.15 else Fate.NONE


def cut_off(world: World) -> None:
    """Kills ClickHouse between what an INSERT puts into `events` and what its view puts into `ids`."""
    many_copies(world)
    fates, world.crash_step = world.fates, 3
    world.fates = lambda process, what: (
        Fate.CRASH if what.startswith("insert ") and world.rng.random() < 0.1 else fates(process, what)
    )


def unkept(world: World) -> None:
    """Does the same, and lets flushers not add the missing ids."""
    cut_off(world)
    flushers(_WithoutKeeping)(world)


def claiming(kind: type[Claims]) -> Change:
    """Returns a change after which flushers use this kind of claims."""

    class Changed(Flusher):
        claims = kind

    return flushers(Changed)


class _WithoutOthers(Claims):
    def _before(self, claim: Claim, block: BlockName) -> Iterator[BlockName]:
        return iter(())


class _WithoutOrder(Claims):
    def _before(self, claim: Claim, block: BlockName) -> Iterator[BlockName]:
        return (name for _, name in claim.current.values() if name != block)


class _WithoutFollowing(Claims):
    async def _follow(self, claim: Claim, block: BlockName, first_ms: int) -> None:
        """Learns nothing of what other flushers store."""


class _WithoutPast(Claims):
    async def _fill(self, block: BlockName, first_ms: int) -> None:
        """Learns nothing of what was stored before this process began."""

    async def _catch_up(self, stream: tuple[str, int], edge: EntryId, first_ms: int) -> None:
        self._known[stream] = edge


class _WithoutStreams(Claims):
    async def _on_their_way(self, claim: Claim, block: BlockName, asked: set[Name]) -> set[Name]:
        return set()


class _WithoutTwins(Claims):
    async def copies(
        self, block: BlockName, sites: Sequence[str], ids: Sequence[str], received_at: Sequence[int], *, is_first: bool
    ) -> list[int]:
        kept = {one: at for at, one in reversed(list(enumerate(ids)))}
        found = await super().copies(block, sites, ids, received_at, is_first=is_first)
        return [at for at in found if kept[ids[at]] == at]


class _Unrecorded(Flusher):
    class Log(RedisStream):
        async def set_duplicates(self, lease: Lease, from_id: EntryId, to_id: EntryId, places: bytes) -> None:
            """Records nothing, so that the next delivery searches again."""

    def make_stream(self, connection: Any) -> RedisStream:
        return self.Log(connection, self.replicas)


class _WithoutKeeping(Flusher):
    class Table(clickhouse.Connection):
        async def keep_ids(self, block: str) -> None:
            """Adds nothing, so that ids which the view did not write stay unknown."""

    def make_table(self, world: World) -> clickhouse.Connection:
        wire = SimulatedWire(self, "clickhouse", seconds_max=world.insert_seconds, lost=Unclear)
        return self.Table(world.clickhouse, wire)


def counted_again(world: World) -> None:
    """Lets every replay count the copies of its blocks once more."""
    stored = world.redis.stored

    def each_time(keys: list[str], args: list[Any]) -> bytes:
        world.redis.hash(keys[1]).pop(f"buried:{args[2]}", None)
        return stored(keys, args)

    world.redis.scripts["stored"] = each_time


MUTATIONS: dict[str, Change] = {
    "ClickHouse alone is asked": claiming(_WithoutOthers),
    "later turns are taken for earlier ones": claiming(_WithoutOrder),
    "what other flushers store is not followed": claiming(_WithoutFollowing),
    "a new process knows nothing": claiming(_WithoutPast),
    "what is on its way is not looked at": claiming(_WithoutStreams),
    "copies in one block are stored": claiming(_WithoutTwins),
    "what was found is not recorded (I5)": flushers(_Unrecorded),
    "ids of an INSERT that was cut off are not known": unkept,
    "a replay counts copies again (I7)": counted_again,
}


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_broken_rule_is_found(change: Change) -> None:
    """Some seed of a bounded number finds the broken rule, so a simulation that passes means something."""

    def both(world: World) -> None:
        many_copies(world)
        change(world)

    assert any(large(seed, change=both).broken for seed in SEEDS)


@pytest.mark.parametrize(("change", "seeds"), [(many_copies, 100), (cut_off, 50)])
def test_clients_that_send_everything_again(change: Change, seeds: int) -> None:
    """The faults that are found when a rule is broken do not occur when all of them are kept."""
    broken = [
        (seed, found) for seed in range(volume(seeds // 3, seeds)) if (found := large(seed, change=change).broken)
    ]
    assert not broken
