"""An erasure: which events are to go, as a fact that every process can apply without learning whom it is about.

Users and visitors stand in it as digests under a salt of its own, which is its id. It speaks of
what was accepted up to a moment: of entries up to the last one that a shard had then, and of
events received until then, whenever their entries come (a spool may drain much later).

    forebay:erasures   hash: ID → the erasure, :version → a number that a new one raises
                             ID:plan, ID:settled, ID:done, :planning: how far `forebay erase` is

Not promised: that a digest hides an id which can be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.entry import entry_order
from schemas.row import INDEX

ERASURES_KEY = "forebay:erasures"
VERSION_FIELD = ":version"
STANDS_SECONDS = 90 * 86_400  # a machine that was away for so long still brings nothing back


def digest(salt: str, value: str) -> str:
    """SHA-256 in small hex digits; ClickHouse makes the same of `lower(hex(SHA256(concat(salt, value))))`."""
    return hashlib.sha256((salt + value).encode("utf-8", "surrogatepass")).hexdigest()


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Selectors are combined by AND; an empty one, and `before_ms` 0, takes all.

    `at_ms` by Redis's clock; `ends` are the last entries of shards at that moment.
    """

    id: str
    at_ms: int
    ends: dict[int, str]
    site: str = ""
    user: str = ""  # digest of the user's id
    visitor: str = ""  # digest of the visitor's number, in decimal digits
    before_ms: int = 0
    by: str = ""
    reason: str = ""

    def places(self, columns: Sequence[Sequence[Any]]) -> list[int]:
        """Rows that the selectors mean, by place; columns as entry.decode gives them."""
        found: Sequence[int] = range(len(columns[0]))
        if self.site:
            sites = columns[INDEX["site"]]
            found = [at for at in found if sites[at] == self.site]
        if self.before_ms:
            ts = columns[INDEX["ts"]]
            found = [at for at in found if ts[at] < self.before_ms]
        if self.user:
            users = columns[INDEX["user_id"]]
            meant = {user for user in {users[at] for at in found} if user and digest(self.id, user) == self.user}
            found = [at for at in found if users[at] in meant]
        if self.visitor:
            # under either day's salt: which one a row is stored with is known when its session is
            visitors, befores = columns[INDEX["visitor_id"]], columns[INDEX["visitor_before"]]
            numbers = {visitors[at] for at in found} | {befores[at] for at in found}
            known = {number for number in numbers if number and digest(self.id, str(number)) == self.visitor}
            found = [at for at in found if visitors[at] in known or befores[at] in known]
        return list(found)

    def accepted(self, columns: Sequence[Sequence[Any]], shard: int, entry_id: str) -> list[int]:
        """Those of an entry's rows that it means and that were accepted up to its moment."""
        if entry_order(entry_id) <= entry_order(self.ends.get(shard, "0-0")):
            return self.places(columns)
        received = columns[INDEX["received_at"]]
        if min(received) > self.at_ms:
            return []
        return [at for at in self.places(columns) if received[at] <= self.at_ms]


def pack(erasure: Erasure) -> bytes:
    """An erasure as Redis keeps it."""
    return msgspec.json.encode(erasure)


def unpack(data: bytes) -> Erasure:
    """A kept erasure. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Erasure)
