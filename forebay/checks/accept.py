"""Records missing rows as erased, because somebody deleted them on purpose, by hand (`forebay audit --accept`).

It takes what the checks find now, and nothing that is missing later: the ledger's gaps, and blocks that hold fewer rows
than were recorded. It is written down with who, when and why in `forebay.erasures`, and the replay tail goes, so that
no replay brings back what was deleted.

Not promised: that the rows were deleted on purpose. That is the word of the person who runs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from forebay.checks.blocks import Differing
from forebay.clickhouse import ClickHouse
from forebay.erase.register import Register, fresh
from forebay.erase.rows import Rows
from schemas.erasure import Erasure
from schemas.ledger import Gap
from schemas.names import BlockName

ROWS = "INSERT INTO forebay.erased_rows (erasure, plan, block_id, rows) FORMAT JSONEachRow\n"
PAGE = 1_000  # rows of one INSERT: 150 kB of text


def accept(
    register: Register,
    clickhouse: ClickHouse,
    gaps: Mapping[int, Sequence[Gap]],
    blocks: Sequence[Differing],
    *,
    by: str,
    reason: str,
) -> Iterator[str]:
    """Yields a line for each block or shard that is accepted, or can't be. Raises ClickHouseError and redis.RedisError."""
    name = fresh()
    short = [block for block in blocks if block.missing > 0]
    missing = {shard: [gap for gap in found if gap.missing > 0] for shard, found in gaps.items()}
    shards = {shard for shard, found in missing.items() if found} | {
        BlockName.parse(block.block).shard for block in short
    }
    if not shards:
        yield "nothing is missing"
        return
    rows = [
        json.dumps({"erasure": name, "plan": name, "block_id": block.block, "rows": block.missing}) for block in short
    ]
    for at in range(0, len(rows), PAGE):
        clickhouse.run(ROWS + "\n".join(rows[at : at + PAGE]))
    erasure = Erasure(id=name, at_ms=register.now_ms(), ends={}, by=by, reason=reason)
    Rows(clickhouse).note(erasure, name, state="done", kind="accept")
    yield f"{sum(block.missing for block in short)} rows of {len(short)} blocks are taken for erased, as {name}"
    for shard in sorted(shards):
        counts = {(gap.minute, gap.site): gap.missing for gap in missing.get(shard, ())}
        if register.accept(shard, name, counts):
            yield f"shard {shard}: {sum(counts.values())} events are taken for erased, and the replay tail is gone"
        else:
            yield f"shard {shard}: a replay is running, which brings rows back: accept again when it has ended"
