"""Records rows that nobody accepted as accepted, because Redis lost their count with its tail (`forebay audit --forgive`).

After a failover without `redis_replicas` ClickHouse may hold events whose entries and counts went with the lost end of Redis.
They are stored, once, and the books are off until their minutes are 26 hours old. This writes them down with who, when
and why in `forebay.erasures`.

What is stored twice also looks like events that nobody accepted, and must not be forgiven. A double in one block makes the block
hold more rows than were recorded for it; while there is such a block (the check `blocks`), nothing is forgiven. Doubles in
different blocks are rows that are the same in all that a client and ingest said of them, to the millisecond. A minute of a
site that has such rows is named with their blocks, and is not forgiven.

Not promised: that rows which are the same are one event. Two clients behind one address can send the same within a
millisecond; then the minute stays in the books until it is 26 hours old. Events that Redis lost and ClickHouse does not hold
leave no gap; ingest counts them (`forebay_redis_lost_commits_total`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from forebay.checks.blocks import Differing
from forebay.clickhouse import ClickHouse, Value
from forebay.erase.register import Register, fresh
from forebay.erase.rows import Rows
from schemas.erasure import Erasure
from schemas.ledger import OTHER, Gap
from schemas.names import shard_suffix
from schemas.row import MINUTE_MS

# Rows are compared without what a flusher makes of them, which may differ from block to block.
TWICE = """
SELECT minute, site, sum(held - most) AS surplus, arraySort(groupUniqArrayArray(20)(named)) AS blocks
FROM (
  SELECT minute, site, sum(rows) AS held, max(rows) AS most, groupArray(block) AS named
  FROM (
    SELECT toInt64(intDiv(toUnixTimestamp(received_at), 60)) AS minute, toString(site) AS site,
      toString(block_id) AS block, cityHash64(* EXCEPT (block_id, attempt, late, session_id, visitor_id)) AS event, count() AS rows
    FROM forebay.events
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
      AND has({minutes:Array(Int64)}, toInt64(intDiv(toUnixTimestamp(received_at), 60))) AND endsWith(block_id, {shard:String})
    GROUP BY minute, site, block, event
  )
  GROUP BY minute, site, event HAVING count() > 1
)
GROUP BY minute, site ORDER BY minute, site
"""


class Double(NamedTuple):
    """Holds how many rows of a minute and site are one too many, and some of the blocks that hold them."""

    rows: int
    blocks: tuple[str, ...]


def forgive(
    register: Register,
    clickhouse: ClickHouse,
    gaps: Mapping[int, Sequence[Gap]],
    blocks: Sequence[Differing],
    *,
    by: str,
    reason: str,
) -> Iterator[str]:
    """Yields a line for each shard that is forgiven, or why none is. Raises ClickHouseError and redis.RedisError."""
    if surplus := [block.block for block in blocks if block.missing < 0]:
        yield f"nothing is forgiven: block {surplus[0]} holds more rows than were recorded for it"
        return
    excess = {shard: [gap for gap in found if gap.missing < 0] for shard, found in gaps.items()}
    if not any(excess.values()):
        yield "nothing was found that nobody accepted"
        return
    twice = {shard: _twice(clickhouse, shard, found) for shard, found in excess.items() if found}
    for shard, doubles in sorted(twice.items()):
        for gap, double in doubles:
            yield (
                f"shard {shard}: minute {gap.minute}, site {gap.site}: {double.rows} of the {-gap.missing} events that nobody accepted"
                f" are stored twice, in blocks {', '.join(double.blocks)}: they are not forgiven"
            )
        excess[shard] = [gap for gap in excess[shard] if gap not in {one for one, _ in doubles}]
    if not any(excess.values()):
        return
    name = fresh()
    erasure = Erasure(id=name, at_ms=register.now_ms(), ends={}, by=by, reason=reason)
    Rows(clickhouse).note(erasure, name, state="done", kind="forgive")
    for shard, found in sorted(excess.items()):
        if found:
            register.forgive(shard, name, {(gap.minute, gap.site): -gap.missing for gap in found})
            count = sum(-gap.missing for gap in found)
            yield f"shard {shard}: {count} events that Redis no longer knew are taken for accepted, as {name}"


def _twice(clickhouse: ClickHouse, shard: int, found: Sequence[Gap]) -> list[tuple[Gap, Double]]:
    """Returns those of a shard's minutes and sites that have events in more than one block. Raises ClickHouseError."""
    minutes = sorted({gap.minute for gap in found})
    asked: dict[str, Value] = {
        "since": minutes[0] * MINUTE_MS,
        "upto": (minutes[-1] + 1) * MINUTE_MS,
        "minutes": minutes,
        "shard": shard_suffix(shard),
    }
    doubles = [
        (int(row["minute"]), str(row["site"]), Double(int(row["surplus"]), tuple(row["blocks"])))
        for row in clickhouse.rows(TWICE, asked)
    ]
    return [
        (gap, double)
        for gap in found
        for minute, site, double in doubles
        if minute == gap.minute and gap.site in {site, OTHER}
    ]
