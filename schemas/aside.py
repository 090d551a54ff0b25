"""An entry that was set aside: what is remembered beside its fields, in the hash `aside` under the entry's id.

The fields themselves are a list of names and values under a key of their own, so that whoever only
counts or lists never moves the entry, which may have hundreds of megabytes.
"""

from __future__ import annotations

import msgspec

from schemas.entry import Damaged

TEXT_CHARS_MAX = 300
TOTALS_MAX = 1_000  # of one entry; further ones are counted under ledger.OTHER


class Aside(msgspec.Struct, frozen=True, array_like=True):
    """Why and when an entry was set aside, and what it held.

    `rows` is what it said it held, 0 where it said nothing. `totals` are those of its rows that could be read, by
    "minute site" as the ledger counts them. `set_aside_ms` in unix ms.
    """

    reason: str
    text: str
    set_aside_ms: int
    rows: int
    producer: str
    commit: int
    totals: dict[str, int]

    def encode(self) -> bytes:
        """As the hash keeps it."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Aside:
        """The value of the hash. Raises Damaged."""
        try:
            return msgspec.msgpack.decode(value, type=cls)
        except msgspec.MsgspecError as error:
            raise Damaged(str(error)) from error
