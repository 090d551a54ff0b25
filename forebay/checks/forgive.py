"""Records rows that nobody accepted as accepted, because Redis lost their count with its tail (`forebay audit --forgive`).

After a failover without `redis_replicas` ClickHouse may hold events whose entries and counts went with the lost end of Redis.
They are stored, once, and the books are off until their minutes are 26 hours old. This writes them down with who, when
and why in `forebay.erasures`.

Not promised: that they were stored once. Blocks that hold more rows than were recorded are named by the check `blocks`, and
while there is one nothing is forgiven. Events that Redis lost and ClickHouse does not hold leave no gap; ingest counts
them (`forebay_redis_lost_commits_total`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from forebay.checks.blocks import Differing
from forebay.clickhouse import ClickHouse
from forebay.erase.register import Register, fresh
from forebay.erase.rows import Rows
from schemas.erasure import Erasure
from schemas.ledger import Gap


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
    name = fresh()
    erasure = Erasure(id=name, at_ms=register.now_ms(), ends={}, by=by, reason=reason)
    Rows(clickhouse).note(erasure, name, state="done", kind="forgive")
    for shard, found in sorted(excess.items()):
        if found:
            register.forgive(shard, name, {(gap.minute, gap.site): -gap.missing for gap in found})
            count = sum(-gap.missing for gap in found)
            yield f"shard {shard}: {count} events that Redis no longer knew are taken for accepted, as {name}"
