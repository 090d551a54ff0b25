"""An erasure: which events are to be deleted, written so that every process can apply it without learning whom it names.

`forebay erase` writes it; flushers read it. A user or a visitor stands in it as a digest, whose salt is the erasure's id.
It means events that were accepted up to a moment: the rows of all entries up to the last one that a shard had then, and
rows that were received until then, whenever their entries come (a spool may drain much later).

    forebay:erasures   hash: ID → the erasure, :version → a number that a new one raises
                             ID:plan, ID:settled, ID:done, :planning: how far `forebay erase` is

Not promised: that a digest hides an id which can be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.acts import ALIAS, PREVIOUS_ID
from schemas.names import ORIGIN, EntryId
from schemas.row import INDEX

STANDS_SECONDS = 90 * 86_400  # a machine that was away for so long still brings nothing back


def digest(salt: str, value: str) -> str:
    """Returns SHA-256 in small hex digits; ClickHouse makes the same of `lower(hex(SHA256(concat(salt, value))))`."""
    return hashlib.sha256((salt + value).encode("utf-8", "surrogatepass")).hexdigest()


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Says which events are to be deleted.

    The selectors `site`, `user`, `visitor` and `before_ms` are combined by AND; an empty one, or 0, takes all. A user is meant
    also by an alias that says who the person was before. `at_ms` is
    the moment by Redis's clock, and `ends` are the last entries that the shards had then.
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
        """Returns the places of the rows that the selectors mean; columns as entry.decode gives them."""
        found: Sequence[int] = range(len(columns[0]))
        if self.site:
            sites = columns[INDEX["site"]]
            found = [at for at in found if sites[at] == self.site]
        if self.before_ms:
            ts = columns[INDEX["ts"]]
            found = [at for at in found if ts[at] < self.before_ms]
        if self.user:
            users, before = columns[INDEX["user_id"]], _previous(columns, found)
            named = {users[at] for at in found}.union(before.values())
            meant = {user for user in named if user and digest(self.id, user) == self.user}
            found = [at for at in found if users[at] in meant or before.get(at) in meant]
        if self.visitor:
            # under either day's salt: which one a row is stored with is known when its session is
            visitors, befores = columns[INDEX["visitor_id"]], columns[INDEX["visitor_before"]]
            numbers = {visitors[at] for at in found} | {befores[at] for at in found}
            known = {number for number in numbers if number and digest(self.id, str(number)) == self.visitor}
            found = [at for at in found if visitors[at] in known or befores[at] in known]
        return list(found)

    def end_of(self, shard: int, otherwise: EntryId = ORIGIN) -> EntryId:
        """Returns the last entry that a shard had at its moment; `otherwise` for a shard that did not answer then."""
        end = self.ends.get(shard)
        return otherwise if end is None else EntryId.parse(end)

    def accepted(self, columns: Sequence[Sequence[Any]], shard: int, entry_id: EntryId) -> list[int]:
        """Returns the places of an entry's rows that it means and that were accepted up to its moment."""
        if entry_id <= self.end_of(shard):
            return self.places(columns)
        received = columns[INDEX["received_at"]]
        if min(received) > self.at_ms:
            return []
        return [at for at in self.places(columns) if received[at] <= self.at_ms]


def _previous(columns: Sequence[Sequence[Any]], places: Sequence[int]) -> dict[int, str]:
    """Returns for each alias among the rows which user the person was before."""
    names, props = columns[INDEX["name"]], columns[INDEX["props"]]
    aliases = [at for at in places if names[at] == ALIAS]
    return {at: str(props[at].get(PREVIOUS_ID, "")) for at in aliases if isinstance(props[at], dict)}


def pack(erasure: Erasure) -> bytes:
    """Returns the value of the erasure's field in Redis."""
    return msgspec.json.encode(erasure)


def unpack(data: bytes) -> Erasure:
    """Returns the erasure in a field's value. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Erasure)
