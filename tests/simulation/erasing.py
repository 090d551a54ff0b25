"""Has a visitor's events erased, step by step as `forebay erase` does it, and checks what must hold afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.entry import decode
from schemas.erasure import Erasure, digest, pack
from schemas.names import ORIGIN, BlockName, EntryId
from schemas.redis.keys import ERASURES_KEY, ErasuresField, Keys
from schemas.row import INDEX
from tests.fakes.clickhouse import Stored
from tests.simulation.world import World

VISITOR, RECEIVED = 1, 5  # places in a stored row


@dataclass
class Asked:
    """Holds one erasure, and how far it is."""

    erasure: Erasure
    visitor: int
    is_done: bool = False
    counted: dict[int, Counter[str]] = field(default_factory=dict)

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
    """Records an erasure, and goes on when every shard has acknowledged it."""
    if world.redis.is_down or any(not asked.is_done for asked in world.erasures):
        return
    visitor = world.rng.choice((1, 2, 3, 4, 5, 6, 1_003))
    name = world.rng.randbytes(8).hex()
    ends = {
        shard: str(EntryId(*next(reversed(entries))) if (entries := world.redis.log(Keys(shard).log).entries) else ORIGIN)
        for shard in range(world.shards)
    }  # fmt: skip
    at_ms = int(world.redis.clock() * 1000)
    asked = Asked(Erasure(id=name, at_ms=at_ms, ends=ends, visitor=digest(name, str(visitor))), visitor)
    world.note(f"visitor {visitor} is to be erased: {asked.erasure}")
    known = world.redis.hash(ERASURES_KEY)
    known[name] = pack(asked.erasure)
    version = ErasuresField.VERSION
    known[version] = str(int(known.get(version, b"0")) + 1).encode()
    world.erasures.append(asked)
    world.redis.tail_ms = -1 << 40  # the replay tail goes with it
    world.loop.in_world(0.1, _go_on, world, asked)


def _go_on(world: World, asked: Asked) -> None:
    """Does the next step, or waits and looks again."""
    if not (world.redis.is_down or world.clickhouse.is_down) and all(
        asked.upto(world, shard) is not None for shard in range(world.shards)
    ):
        if not asked.counted:
            _count(world, asked)
        elif _held(world, asked):
            _delete(world, asked)
        else:
            for shard in range(world.shards):
                world.redis.hash(Keys(shard).leaving).clear()
            asked.is_done = True
            return
    world.loop.in_world(world.rng.uniform(0.05, 1), _go_on, world, asked)


def _held(world: World, asked: Asked) -> list[tuple[int, str]]:
    return [
        (BlockName.parse(part.block).shard, f"{row[5] // 60_000} {row[4]}")
        for part in world.clickhouse.events
        for row in part.rows
        if asked.means(world, part, row)
    ]


def _count(world: World, asked: Asked) -> None:
    asked.counted = {shard: Counter() for shard in range(world.shards)}
    for shard, key in _held(world, asked):
        asked.counted[shard][key] += 1
    for shard, counts in asked.counted.items():
        erased, leaving = world.redis.hash(Keys(shard).erased), world.redis.hash(Keys(shard).leaving)
        for key, count in counts.items():
            erased[key] = str(int(erased.get(key, b"0")) + count).encode()
            leaving[key] = str(count).encode()


def _delete(world: World, asked: Asked) -> None:
    world.note(f"{len(_held(world, asked))} rows of visitor {asked.visitor} are deleted")
    world.clickhouse.erase(lambda part, row: asked.means(world, part, row))


def accepted(world: World) -> set[str]:
    """Returns the ids of events that may be gone, because an erasure that means them came later."""
    found: set[str] = set()
    for shard in range(world.shards):
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
        if left := len(_held(world, asked)):
            yield f"{left} rows of visitor {asked.visitor} are back in ClickHouse"
        for shard in range(world.shards):
            log = world.redis.log(Keys(shard).log)
            for entry_id, fields in log.entries.items():
                if asked.erasure.accepted(decode(fields[b"d"]), shard, EntryId(*entry_id)):
                    yield f"shard {shard}: entry {entry_id} still holds events of visitor {asked.visitor}"
