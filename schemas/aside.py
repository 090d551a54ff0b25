"""An entry that was set aside: what is known of it, in the hash `aside` under the entry's id.

The flusher and `forebay dead set-aside` write it; `forebay dead`, the ledger and the audit read it. The fields of the entry
itself are a list under a key of their own (names and values in turn), because an entry may have hundreds of megabytes, and
whoever only counts or lists must not move it.
"""

from __future__ import annotations

import msgspec

from schemas.entry import Damaged

TEXT_CHARS_MAX = 300
TOTALS_MAX = 1_000  # of one entry; further ones are counted under ledger.OTHER


class Aside(msgspec.Struct, frozen=True, array_like=True):
    """Says why and when an entry was set aside, and what it held.

    `rows` is the number that the entry gave, 0 where it gave none. `totals` counts the rows that could be read, by
    "minute site" as the ledger does. `set_aside_ms` in unix ms.
    """

    reason: str
    text: str
    set_aside_ms: int
    rows: int
    producer: str
    commit: int
    totals: dict[str, int]

    def encode(self) -> bytes:
        """Returns the value of the hash."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Aside:
        """Returns what a value of the hash says. Raises Damaged."""
        try:
            return msgspec.msgpack.decode(value, type=cls)
        except msgspec.MsgspecError as error:
            raise Damaged(str(error)) from error
