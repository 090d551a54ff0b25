"""Checks what must hold when everything is quiet again: the promise, id by id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from flusher.shards import tail
from schemas.entry import decode
from schemas.names import EntryId
from schemas.redis.keys import Keys
from schemas.row import INDEX
from tests.fakes.clickhouse import BAD
from tests.simulation import erasing
from tests.simulation.installation import Ingest
from tests.simulation.nodes import Nodes
from tests.simulation.world import World


def busy(world: World) -> str:
    """Returns why the simulation is not quiet yet; empty when it is."""
    if world.waiting:
        return f"{world.waiting} requests wait for their answer"
    if any(process.state != "running" for process in world.processes.values()) or len(world.processes) < len(
        world.makers
    ):
        return f"not running: {world.processes}"
    if sum(process.appender.bytes_waiting for process in world.processes.values() if isinstance(process, Ingest)):
        return "rows whose requests were given up are still on their way"
    if world.replicas and (why := _unconfirmed(world)):
        return why
    if spooled := sorted(path.name for path in world.spool.rglob("*.spool")):
        return f"spooled: {spooled}"
    for shard in range(world.shards):
        keys = Keys(shard)
        last = world.redis.log(keys.log).last
        if EntryId.parse(world.redis.stored_of(keys.checkpoint)) < last:
            return f"shard {shard}: {world.redis.stored_of(keys.checkpoint)} is stored, the log ends at {last}"
        compared = int(world.redis.hash(keys.checkpoint).get("compared", b"0"))
        is_compared = abs(compared - world.clickhouse.started_ms) <= tail.SAME_MS
        if world.has_lost_parts and (world.clickhouse.is_down or not is_compared):
            return f"shard {shard}: the tail is not compared with the ClickHouse that runs"
    if any(not asked.is_done for asked in world.erasures):
        return f"an erasure is not done: {world.erasures}"
    if world.late:
        return f"{world.late} requests are on their way"
    return f"{world.clickhouse.running.total()} INSERTs run" if world.clickhouse.running.total() else ""


def _unconfirmed(world: World) -> str:
    """Returns what replicas may lack."""
    assert isinstance(world.redis, Nodes)
    if broken := world.redis.broken():
        return f"nodes of Redis are not whole: {broken}"
    held = {process: process.held for process in world.processes.values() if isinstance(process, Ingest)}
    return f"commits are held: {held}" if any(held.values()) else ""


def broken(world: World) -> list[str]:
    """Returns every promise that is broken."""
    found = [*world.faults, *world.redis.faults, *world.clickhouse.faults]
    found += _once(world)
    found += erasing.broken(world)
    if world.has_lost_tail:
        return found
    if world.redis.followed:
        found.append("a checkpoint followed ClickHouse, and Redis had lost nothing")
    found += _appended_twice(world)
    for shard in range(world.shards):
        found += _shard(world, shard)
    return found


def _appended_twice(world: World) -> Iterator[str]:
    """Finds each event of a request that is in the logs twice. Its `id` would let it be left out as a copy, and the books balance."""
    sent: Counter[tuple[str, str]] = Counter()
    for shard in range(world.shards):
        for fields in world.redis.log(Keys(shard).log).history.values():
            columns = decode(fields[b"d"])
            sent.update(zip(columns[INDEX["title"]], columns[INDEX["event_id"]], strict=True))
    for (request, event_id), count in sent.items():
        if count > 1:
            yield f"{event_id} of request {request} was appended {count} times"


def _once(world: World) -> Iterator[str]:
    dead = _dead(world)
    erased = erasing.accepted(world)
    held = Counter(event_id for part in world.clickhouse.events for event_id in part.ids)
    for event_id in world.sent:
        count = held[event_id]
        if event_id.endswith(BAD):
            count = min(dead[event_id], 1)  # its copy may come when it is dead and buried
        if count > 1 and not (world.has_lost_tail and event_id in world.copied):
            yield f"{event_id} is stored {count} times"
        elif not count and event_id in world.acknowledged - erased and event_id not in world.may_be_lost:
            yield f"{event_id} was acknowledged and is not stored"


def _dead(world: World) -> Counter[str]:
    """Counts the ids of the rows in the dead-letter streams."""
    letters = [one for shard in range(world.shards) for one in world.redis.log(Keys(shard).dead).history.values()]
    return Counter(msgspec.msgpack.decode(one[b"row"])[INDEX["event_id"]] for one in letters)


def _shard(world: World, shard: int) -> Iterator[str]:
    keys = Keys(shard)
    numbers: dict[bytes, int] = {}
    serials: dict[str, int] = {}
    rows: Counter[str] = Counter()
    for fields in world.redis.log(keys.log).history.values():
        producer, number = fields[b"p"], int(fields[b"c"])
        if number <= numbers.get(producer, 0):
            yield f"shard {shard}: commit {number} of {producer!r} follows {numbers[producer]}"
        numbers[producer] = number
        columns = decode(fields[b"d"])
        for title, site, received_at in zip(
            columns[INDEX["title"]], columns[INDEX["site"]], columns[INDEX["received_at"]], strict=True
        ):
            rows[f"{received_at // 60_000} {site}"] += 1
            life, _, serial = title.rpartition(" ")
            if int(serial) < serials.get(life, 0):
                yield f"shard {shard}: request {serial} of {life} comes after {serials[life]}"
            serials[life] = int(serial)
    accepted = {name: int(count) for name, count in world.redis.hash(keys.accepted).items()}
    if accepted != dict(rows):
        yield f"shard {shard}: the ledger says {accepted}, the log held {dict(rows)}"
    held: Counter[str] = Counter()
    for part in world.clickhouse.events:
        if part.block.endswith(f":{shard:04d}"):
            held.update(f"{row[5] // 60_000} {row[4]}" for row in part.rows)
    letters = (msgspec.msgpack.decode(one[b"row"]) for one in world.redis.log(keys.dead).history.values())
    dead = Counter(f"{row[INDEX['received_at']] // 60_000} {row[INDEX['site']]}" for row in letters)
    copies = Counter({name: int(count) for name, count in world.redis.hash(keys.duplicate).items()})
    erased = Counter({name: int(count) for name, count in world.redis.hash(keys.erased).items()})
    if held + dead + copies + erased != rows:
        yield f"shard {shard}: {dict(rows)} accepted, {held} stored, {dead} dead, {copies} copies, {erased} erased"
