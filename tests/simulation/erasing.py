"""Has visitors' events erased by the classes of `forebay erase`, and checks what must hold afterwards.

They run in a process of their own, which may be killed, cut off or paused, and reach an old primary like any other. They
block, so all that one try does happens in one moment, until something is waited for. Other things happen between the tries, and
what befalls one of their commands befalls it in the middle of a try.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError

from forebay.clickhouse import ClickHouseError, Condition
from forebay.erase.finish import Finish, Waits
from forebay.erase.register import Register
from forebay.erase.replicated import Replicated
from forebay.erase.rows import Rows
from forebay.stream import Streams
from schemas.entry import decode
from schemas.erasure import Erasure, digest
from schemas.ledger import Key
from schemas.names import BlockName, EntryId
from schemas.redis.keys import Keys
from schemas.row import INDEX, MINUTE_MS
from tests.fakes import redis_blocking
from tests.fakes.clickhouse import Stored
from tests.simulation.fates import Fate
from tests.simulation.process import Process
from tests.simulation.world import World

VISITOR, SITE, RECEIVED = 1, 4, 5  # places in a stored row
NAME = "eraser"


@dataclass
class Asked:
    """Holds one erasure, and how far it is."""

    visitor: int
    erasure: Erasure
    is_recorded: bool = False
    is_done: bool = False

    def upto(self, world: World, shard: int) -> bytes | None:
        """Returns the edge of the shard's acknowledgement, or None before it."""
        return world.redis.hash(Keys(shard).checkpoint).get("erasure:" + self.erasure.id)

    def means(self, world: World, part: Stored, row: tuple[Any, ...]) -> bool:
        """Tells whether the erasure means a row that ClickHouse holds."""
        if row[VISITOR] != self.visitor:
            return False
        name = BlockName.parse(part.block)
        upto = self.upto(world, name.shard)
        assert upto is not None
        return bool(row[RECEIVED] <= self.erasure.at_ms) or name.upto <= EntryId.parse(upto)


def erase(world: World) -> None:
    """Asks for an erasure, unless the last one is not done yet."""
    if world.redis.is_down or any(not asked.is_done for asked in world.erasures):
        return
    visitor = world.rng.choice((1, 2, 3, 4, 5, 6, 1_003))
    name = world.rng.randbytes(8).hex()
    world.note(f"visitor {visitor} is to be erased, as {name}")
    erasure = Erasure(id=name, at_ms=0, ends={}, visitor=digest(name, str(visitor)))
    world.erasures.append(Asked(visitor, erasure))
    world.redis.tail_ms = -1 << 40  # the replay tail goes with it
    if NAME not in world.makers:
        world.makers[NAME] = Eraser
        world.begin(NAME)


class Eraser(Process):
    """Runs `forebay erase`, again and again until it says that it is done."""

    def __init__(self, world: World, name: str, life: int) -> None:
        super().__init__(world, name, life)
        self._rng = random.Random(f"{world.seed} {life}")
        client = cast(Any, redis_blocking.Connection(world.redis.seen_by(self), self._line))
        self.streams = Streams("redis://127.0.0.1:1")
        self.streams.redis = client
        self.register = Register(client)
        self.register._replicated = self.make_replicated(client)
        self.rows = SimulatedRows(world)
        self.finish = Finish(self.streams, self.register, cast(Rows, self.rows), say=world.note)
        self.spawn(self._run())

    def make_replicated(self, client: Any) -> Replicated:
        return Replicated(client)

    def _line(self, what: str, key: str, effect: Callable[[], Any]) -> Any:
        """Carries a command to its server. Raises as redis-py does where its answer is lost."""
        world = self.world
        fate = world.fate(self, f"erase {what} {key}".strip())
        fate = fate if fate is not Fate.NONE else world.cuts.get((self.name, "redis"), fate)
        if fate is Fate.NONE:
            return effect()
        if fate in {Fate.AFTER, Fate.DIE_AFTER, Fate.PAUSE_AFTER}:
            effect()
        if fate in {Fate.LATE, Fate.DIE_LATE}:
            world.late += 1
            world.loop.in_world(world.late_seconds(), self._arrive, effect)
        if fate in {Fate.DIE_BEFORE, Fate.DIE_AFTER, Fate.DIE_LATE}:
            self.kill()
        raise NotConnected("no answer")

    def _arrive(self, effect: Callable[[], Any]) -> None:
        self.world.late -= 1
        try:
            effect()
        except RedisError:
            self.world.note("a command of the eraser is refused, and nobody hears it")

    async def _run(self) -> None:
        while True:
            for asked in self.world.erasures:
                if not asked.is_done:
                    self._go_on(asked)
            await asyncio.sleep(0.05 + 0.95 * self._rng.random())

    def _go_on(self, asked: Asked) -> None:
        """Does what can be done now."""
        try:
            if not asked.is_recorded:
                self._record(asked)
            self.finish.run(asked.erasure, -math.inf)
        except (Waits, RedisError, ClickHouseError) as error:
            self.world.note(f"{self}: {error}")
        else:
            self.world.note(f"{self}: {asked.erasure.id} is done")
            asked.is_done = True

    def _record(self, asked: Asked) -> None:
        """Records the erasure. Who did not hear that it was asks for it once more, under its name."""
        if not asked.erasure.at_ms:
            at_ms = self.register.now_ms()
            ends = {shard: str(self.streams.state(shard).last) for shard in range(self.world.shards)}
            asked.erasure = msgspec.structs.replace(asked.erasure, at_ms=at_ms, ends=ends)
        self.register.record(asked.erasure)
        asked.is_recorded = True


class SimulatedRows:
    """Does on the fake ClickHouse what forebay.erase.rows.Rows does on a real one, by the same conditions."""

    def __init__(self, world: World) -> None:
        self._world = world

    def write_plan(self, erasure: str, plan: str, condition: Condition) -> None:
        found: dict[str, Counter[Key]] = {}
        for part in self._parts():
            for row in part.rows:
                if _meets(condition.parameters, part, row):
                    found.setdefault(part.block, Counter())[row[RECEIVED] // MINUTE_MS, row[SITE]] += 1
        self._world.plans[erasure, plan] = found

    def planned(self, erasure: str, plan: str) -> dict[str, Counter[Key]]:
        self._parts()
        found: dict[str, Counter[Key]] = self._world.plans[erasure, plan]
        return found

    def note(self, erasure: Erasure, plan: str, *, state: str) -> None:
        self._parts()

    def delete(self, erasure: str, condition: Condition) -> bool:
        held = sum(_meets(condition.parameters, part, row) for part in self._parts() for row in part.rows)
        if held:
            self._world.note(f"{held} rows of erasure {erasure} are deleted")
            self._world.clickhouse.erase(lambda part, row: _meets(condition.parameters, part, row))
        return not held

    def forget_copies(self, erasure: str, plan: str) -> None:
        self._parts()

    def _parts(self) -> list[Stored]:
        if self._world.clickhouse.is_down:
            raise ClickHouseError("connection refused")
        return self._world.clickhouse.events


def _meets(given: Mapping[str, Any], part: Stored, row: tuple[Any, ...]) -> bool:
    """Tells whether a row meets the condition that forebay.erase.rows.accepted makes, by its parameters."""
    if digest(given["erasure"], str(row[VISITOR])) != given["visitor"]:
        return False
    shards = [name.removeprefix("edge_") for name in given if name.startswith("edge_")]
    return row[RECEIVED] <= given["at_ms"] or any(
        part.block < given[f"edge_{shard}"]
        and part.block.startswith(given[f"stream_{shard}"])
        and part.block.endswith(given[f"shard_{shard}"])
        for shard in shards
    )


def accepted(world: World) -> set[str]:
    """Returns the ids of events that may be gone, because an erasure that means them came later."""
    found: set[str] = set()
    for shard in range(world.shards if world.erasures else 0):
        for entry_id, fields in world.redis.log(Keys(shard).log).history.items():
            columns = decode(fields[b"d"])
            for asked in world.erasures:
                upto = asked.upto(world, shard)
                is_before = upto is not None and entry_id <= EntryId.parse(upto)
                places = (
                    asked.erasure.places(columns)
                    if is_before
                    else asked.erasure.accepted(columns, shard, EntryId(*entry_id))
                )
                found.update(columns[INDEX["event_id"]][at] for at in places)
    return found


def broken(world: World) -> Iterator[str]:
    """Yields what is left of erased events."""
    for asked in world.erasures:
        if not asked.is_done:
            continue
        rows = [row for part in world.clickhouse.events for row in part.rows if asked.means(world, part, row)]
        if rows:
            yield f"{len(rows)} rows of visitor {asked.visitor} are back in ClickHouse"
        for shard in range(world.shards):
            log = world.redis.log(Keys(shard).log)
            for entry_id, fields in log.entries.items():
                if asked.erasure.accepted(decode(fields[b"d"]), shard, EntryId(*entry_id)):
                    yield f"shard {shard}: entry {entry_id} still holds events of visitor {asked.visitor}"
            upto = asked.upto(world, shard)
            assert upto is not None
            for fields in world.redis.log(Keys(shard).dead).entries.values():
                row = msgspec.msgpack.decode(fields[b"row"])
                is_before = BlockName.parse(fields[b"block"].decode()).upto <= EntryId.parse(upto)
                if (is_before or row[INDEX["received_at"]] <= asked.erasure.at_ms) and asked.erasure.places(
                    [[value] for value in row]
                ):
                    yield f"shard {shard}: a letter of visitor {asked.visitor} is left"
