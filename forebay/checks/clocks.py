"""Compares the clocks of Redis, ClickHouse and ingest with this host's."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from forebay.clickhouse import ClickHouse
from forebay.stream import Streams
from schemas.clocks import SKEW_SECONDS_MAX, skew
from schemas.entry import Damaged, UnknownVersion, decode
from schemas.row import INDEX


def look(streams: Streams, clickhouse: ClickHouse) -> int:
    """Prints a line for each clock that is off, and returns how many there are.

    The lines are printed here, because the checks that follow may take long.
    """
    found = list(_faults(streams, clickhouse))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return len(found)


def _faults(streams: Streams, clickhouse: ClickHouse) -> Iterator[str]:
    began = time.time()
    clocks = streams.clocks_ms()
    ours_ms = int((began + time.time()) * 500)  # in the middle of asking
    for server, redis_ms in clocks.items():
        if said := skew(f"Redis {server}".strip(), redis_ms, ours_ms):
            yield f"clocks: {said}"
    began = time.time()
    theirs_ms = int(clickhouse.run("SELECT toUnixTimestamp64Milli(now64(3))"))
    if said := skew("ClickHouse", theirs_ms, int((began + time.time()) * 500)):
        yield f"clocks: {said}"
    for shard in range(streams.shards()):
        if (ahead := _received_ahead(streams, shard)) > SKEW_SECONDS_MAX:
            yield (
                f"clocks: shard {shard}: the last entry was received {ahead:.0f} s after Redis dated it: the clock of an"
                " ingest is ahead"
            )


def _received_ahead(streams: Streams, shard: int) -> float:
    """Returns how far ingest's clock is ahead: by how many seconds the last entry was received after Redis dated it.

    A negative number says nothing, because an entry that waited in a spool was received long before Redis dated it.
    """
    found = streams.last_entry(shard)
    if found is None:
        return 0.0
    try:
        received: list[int] = decode(found.data)[INDEX["received_at"]]
        return (max(received) - found.id.ms) / 1000
    except (Damaged, UnknownVersion, TypeError):
        return 0.0
