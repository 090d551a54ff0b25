"""Measures P3: a real flusher drains a full buffer into `events` and its views, beside the client's insert of the rows.

    fill        the flusher is stopped, wrk sends a crowd's events, ingest fills the streams
    drain       a new flusher starts; from when it holds the shards until the last row is stored
    baseline    the very blocks that it made, as lists, into the tables of a second stand, which nobody else fills

Both run on two cores. The flusher may use them at once and prepare one block while ClickHouse stores another; `insert`
does one after the other, as anybody's script would. So CPU time is compared as well, where that gains nothing.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from loadtest.bench import bodies, wrk
from loadtest.bench.ask import BenchError
from loadtest.bench.baseline import Tables
from loadtest.bench.figures import Figure, paired
from loadtest.bench.redis_blocks import Streams
from loadtest.watch.redis_weight import held

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.stand import Stand

ROUNDS = 3
FILL_SECONDS = 6
BOOKED_SECONDS = 10
PROXIES = "127.0.0.1/32"  # wrk's address, which may name its visitors' addresses
REDIS_BYTES = 2 << 30  # room for the fills, also after they were stored, because they are read again
SETTINGS = {"trusted_proxies": PROXIES, "redis_bytes_max": str(REDIS_BYTES)}


def fill(stand: Stand, directory: Path, *, seconds: int, core: int, seed: int) -> int:
    """Stops the flusher and lets ingest fill the streams; returns how many events wait then."""
    stand.pause_flusher()
    url = stand.url
    before = stand.accepted()
    crowd = [*bodies.crowd(directory, url.removeprefix("http://")), str(seed)]
    wrk.post(f"{url}/f", seconds=seconds, core=core, script="crowd.lua", arguments=crowd)
    return stand.accepted() - before


def drain(stand: Stand, rows: int) -> dict[str, float]:
    """Starts a flusher and waits until so many more rows are stored; returns seconds, and CPU seconds by process."""
    total = stand.stored() + rows
    stand.restart_flusher()
    usage = stand.usage()
    seconds = stand.drained(total)
    usage.look()
    cpu_s = {name: used.figures()["cpu_s"] for name, used in usage.usage.items()}
    return {"rows": rows, "wall_s": round(seconds, 3)} | cpu_s


def measure(
    stand: Stand, empty: Stand, directory: Path, *, core: int, rounds: int = ROUNDS, seconds: int = FILL_SECONDS
) -> Figure:
    """Fills and drains `stand`, and inserts the same rows into `empty`, in turns. Raises BenchError."""
    with ExitStack() as open_ones:
        streams = open_ones.enter_context(closing(Streams(stand.facts.redis_url)))
        ours = open_ones.enter_context(closing(Tables(stand.clickhouse_url)))
        theirs = open_ones.enter_context(closing(Tables(empty.clickhouse_url)))
        drains: list[dict[str, float]] = []
        inserts: list[dict[str, float]] = []
        total = 0
        for number in range(rounds):
            booked = {name for name, _ in ours.blocks()}
            rows = fill(stand, directory, seconds=seconds, core=core, seed=number + 1)
            total += rows
            drains.append(drain(stand, rows))
            ours.check_rollups(total)
            # A block is in `blocks` a moment after it is in `events`.
            stand.until(lambda: ours.booked() == total, BOOKED_SECONDS, "all blocks to be booked")  # noqa: B023 - called at once
            blocks = [block for block in ours.blocks() if block[0] not in booked]
            inserts.append(_insert(streams, theirs, empty, blocks))
            theirs.check_rollups(total)
        kept = held(stand.facts.redis_url)
        if kept.rows != total:
            raise BenchError(f"{total:,} events were accepted, {kept.rows:,} are in Redis")
        figure = paired("P3", _per_s(drains), _per_s(inserts))
        figure.detail = {
            "rows": total,
            "events_per_entry": round(total / kept.entries, 1),
            "drains": drains,
            "inserts": inserts,
            "cpu_ratio": round(_cpu_s(inserts, "client") / _cpu_s(drains, "flusher"), 3),
            "disk_bytes": ours.disk_bytes(),
        }
        return figure


def _per_s(rounds: list[dict[str, float]]) -> list[float]:
    return [found["rows"] / found["wall_s"] for found in rounds]


def _cpu_s(rounds: list[dict[str, float]], who: str) -> float:
    return sum(found[who] + found["clickhouse"] for found in rounds)


def _insert(streams: Streams, tables: Tables, stand: Stand, blocks: list[tuple[str, int]]) -> dict[str, float]:
    """Inserts blocks; returns the seconds of the inserts alone, because the lists are made between them."""
    total = 0
    wall_s = client_s = clickhouse_s = 0.0
    for name, rows in blocks:
        columns = streams.block(name)
        if len(columns[0]) != rows:
            raise BenchError(f"block {name} holds {len(columns[0]):,} rows in Redis, {rows:,} were stored")
        tables.warm(columns)
        usage = stand.usage()
        took, used = tables.insert(columns, name)
        usage.look()
        total, wall_s, client_s = total + rows, wall_s + took, client_s + used
        clickhouse_s += usage.usage["clickhouse"].cpu_s
    found: dict[str, Any] = {"rows": total, "wall_s": round(wall_s, 3), "client": round(client_s, 3)}
    return found | {"clickhouse": round(clickhouse_s, 3)}
