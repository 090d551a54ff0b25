"""Which of these events does ClickHouse hold? Asked in questions whose cost does not grow with the table.

    KNOWN   of forebay.ids, where ids stand in an order of their own: one granule for each id, whatever the window holds
    HELD    of forebay.events: all ids of the window, but those of the block that asks. For a block that may itself
            be there, whose own rows are no copies: one that is delivered again and whose copies nobody recorded.

KNOWN compares 64 bits of what site and id come to. It is asked about suspects only (id_filter.py), of which
5 in a million were never seen: that one of a hundred million others has the same 64 bits is one in 10^11 of those.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Collection
from hashlib import sha256
from typing import Any

from flusher.delivery.verify import Asks
from runtime.work import in_thread
from schemas.row import MINUTE_MS

Name = tuple[str, str]  # of an event: its site, and its client's id for it
RECENT_MS = 10 * MINUTE_MS  # a retry mostly comes within seconds; what lies further back is much more to read
ASKED_MAX = 400  # ids in one HELD: at most 256 B each, and a server takes 128 KiB for a parameter
# Of one KNOWN: its two parameters are 120 kB each. A server takes 128 KiB for one, and the embedded engine 256 KiB in all.
# 8 bytes in base64 are 10.7 characters; a slot's bytes are whole threes, so that two of them make one text.
SLOT_HASHES = 11_520
END_MS = 9_000_000_000_000  # a clock of ingest may be ahead; DateTime64(3) goes to 2299
HELD = """
SELECT toString(site) AS named, event_id, toUnixTimestamp64Milli(max(received_at)) FROM forebay.events
WHERE site IN {sites:Array(String)} AND event_id IN {ids:Array(String)} AND block_id != {block:String}
  AND received_at >= fromUnixTimestamp64Milli({since:Int64}) AND received_at < fromUnixTimestamp64Milli({upto:Int64})
GROUP BY named, event_id
"""
KNOWN = """
WITH base64Decode(concat({first:String}, {second:String})) AS packed
SELECT hash, toInt64(toUnixTimestamp(max(received_at))) FROM forebay.ids
WHERE hash IN (
    SELECT arrayJoin(arrayMap(at -> reinterpretAsUInt64(substring(packed, 8 * at + 1, 8)), range(intDiv(length(packed), 8))))
  ) AND received_at >= toStartOfMinute(fromUnixTimestamp64Milli({since:Int64}, 'UTC'))
GROUP BY hash
"""
# As the view of 0010_ids.sql does it. Not deduplicated by ClickHouse: a record of it may be all that was left of the last try.
KEEP = """
INSERT INTO forebay.ids SETTINGS insert_deduplicate = 0
SELECT reinterpretAsUInt64(substring(SHA256(concat(site, '\\0', event_id)), 1, 8)), toStartOfMinute(received_at)
FROM forebay.events
WHERE block_id = {block:String} AND event_id != ''
"""


async def known(table: Asks, asked: Collection[Name], since_ms: int) -> dict[Name, int]:
    """Returns those that were stored and received since then, with the end of the last minute in which they were.

    Times in unix ms. Raises table.Unclear.
    """
    names = list(asked)
    hashes = await in_thread(lambda: array("Q", map(hash_of, names)))
    last: dict[int, int] = {}
    for at in range(0, len(hashes), 2 * SLOT_HASHES):
        first, second = (hashes[slot : slot + SLOT_HASHES] for slot in (at, at + SLOT_HASHES))
        rows = await table.ask(KNOWN, {"first": pack(first), "second": pack(second), "since": since_ms})
        last.update((int(one), int(seconds) * 1000 + MINUTE_MS - 1) for one, seconds in rows)
    return {name: last[one] for name, one in zip(names, hashes, strict=True) if one in last}


async def held(table: Asks, block: str, asked: Collection[Name], since_ms: int, first_ms: int) -> dict[Name, int]:
    """Returns those that are held under the names of other blocks, with when they were received last.

    Received since then; the first of those that are asked for came at `first_ms`. Raises table.Unclear.
    """
    found: dict[Name, int] = {}
    for since, upto in ((first_ms - RECENT_MS, END_MS), (since_ms, first_ms - RECENT_MS)):
        left = sorted(set(asked) - found.keys())
        for at in range(0, len(left), ASKED_MAX):
            some = left[at : at + ASKED_MAX]
            parameters: dict[str, Any] = {
                "sites": sorted({site for site, _ in some}),
                "ids": sorted({one for _, one in some}),
                "block": block,
                "since": since,
                "upto": upto,
            }
            rows = await table.ask(HELD, parameters)
            found.update(((str(site), str(one)), int(at_ms)) for site, one, at_ms in rows)
    return {name: at_ms for name, at_ms in found.items() if name in asked}


def hash_of(name: Name) -> int:
    """What a site and an id come to in `forebay.ids`. No site holds a NUL."""
    return int.from_bytes(sha256("\0".join(name).encode()).digest()[:8], "little")


def pack(hashes: array[int]) -> str:
    """Hashes as a parameter."""
    if sys.byteorder == "big":
        hashes = hashes[:]
        hashes.byteswap()
    return b64encode(hashes.tobytes()).decode()
