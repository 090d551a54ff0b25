"""Asks which events of a list ClickHouse holds, in two questions whose cost does not grow with the table.

    KNOWN   asks forebay.ids, which is sorted by a hash of site and id: each id costs one granule, however many events
            the window holds
    HELD    asks forebay.events for all blocks of the window but one. It is for a block that may itself be stored, and
            whose own rows are no copies: one that is delivered again without a record of its copies

KNOWN compares 64-bit hashes. Only ids that the filter suspects are asked for (copies/id_filter.py), and 5 in a million
of the ids that were never seen are suspected. That the hash of one of these equals one of a hundred million others has
a chance of 1 in 10^11.
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

Name = tuple[str, str]  # names an event: its site, and the id that its client gave it
RECENT_MS = 10 * MINUTE_MS  # most retries come within seconds, and there is much more to read further back
ASKED_MAX = 400  # ids in one HELD: each has at most 256 B, and a server takes 128 KiB for a parameter
# Hashes in each of KNOWN's two parameters, which are 120 kB then: a server takes 128 KiB for one parameter, and the
# embedded engine 256 KiB for all. 8 bytes take 10.7 characters of base64. The bytes of a full parameter are a multiple
# of three, so it ends without padding and the second one can be appended to it.
SLOT_HASHES = 11_520
END_MS = 9_000_000_000_000  # later than any time: ingest's clock may be ahead, and DateTime64(3) ends in 2299
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
# Does what the view of 0002_ids.sql does. ClickHouse must not deduplicate it, because the record of an earlier try may
# be all that is left of that try.
KEEP = """
INSERT INTO forebay.ids SETTINGS insert_deduplicate = 0
SELECT reinterpretAsUInt64(substring(SHA256(concat(site, '\\0', event_id)), 1, 8)), toStartOfMinute(received_at)
FROM forebay.events
WHERE block_id = {block:String} AND event_id != ''
"""


async def known(table: Asks, asked: Collection[Name], since_ms: int) -> dict[Name, int]:
    """Returns the events that were stored and received since then, with the end of the last minute of their receipt.

    Times are in unix ms. Raises table.Unclear.
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
    """Returns the events that other blocks than this one hold and that were received since then, with their last
    receipt.

    The earliest of the events asked for was received at `first_ms`. Times are in unix ms. Raises table.Unclear.
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
    """Returns the hash by which `forebay.ids` knows an event. It is of site, NUL and id, as no site holds a NUL."""
    return int.from_bytes(sha256("\0".join(name).encode()).digest()[:8], "little")


def pack(hashes: array[int]) -> str:
    """Encodes hashes as a parameter of KNOWN."""
    if sys.byteorder == "big":
        hashes = hashes[:]
        hashes.byteswap()
    return b64encode(hashes.tobytes()).decode()
