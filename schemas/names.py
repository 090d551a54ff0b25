"""Names that several packages make and take apart, as values: of an entry and of a block.

    entry   1732790000000-7                                              milliseconds of Redis's clock, and a number
    block   cafe:1732790000000-00000007:1732789999000-00000000:0003     its stream, its last edge, the edge before, its shard

Each has one parser, and `str` gives its text back. Both sort as Redis and ClickHouse sort what they name.

Not promised: that the milliseconds of an entry are a time. Somebody may have set Redis's clock (decision 0015).
"""

from __future__ import annotations

from typing import NamedTuple

MILLISECONDS_WIDTH, SEQUENCE_WIDTH = 13, 8  # of an id in a block's name
SHARD_WIDTH = 4
MILLISECONDS_MAX, SEQUENCE_MAX = 10_000_000_000_000, 100_000_000  # have more digits than that


class EntryId(NamedTuple):
    """Names an entry of a stream, and sorts as Redis sorts entries."""

    ms: int
    sequence: int

    @classmethod
    def parse(cls, text: str | bytes) -> EntryId:
        """Returns the id that Redis writes as `ms-sequence`. Raises ValueError."""
        try:
            ms, sequence = text.split("-") if isinstance(text, str) else text.split(b"-")
            return cls(int(ms), int(sequence))
        except ValueError as error:
            raise ValueError(f"{text!r:.80} is no id of an entry") from error

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}"

    @property
    def is_nameable(self) -> bool:
        """Tells whether names of blocks that end here sort as the blocks do: until the year 2286."""
        return self.ms < MILLISECONDS_MAX and self.sequence < SEQUENCE_MAX

    def following(self) -> EntryId:
        """Returns the lowest id behind this one."""
        return EntryId(self.ms, self.sequence + 1)


ORIGIN = EntryId(0, 0)  # the edge before the first entry


class BlockName(NamedTuple):
    """Names the block (after, upto] of a shard's stream, which is named by its incarnation.

    Its text has fixed widths and begins with the last edge: names of one shard sort as its blocks do, and a minmax index
    over names prunes by time, whichever shards a part mixes.
    """

    incarnation: str
    shard: int
    after: EntryId
    upto: EntryId

    @classmethod
    def parse(cls, text: str) -> BlockName:
        """Returns the name with this text. Raises ValueError."""
        try:
            incarnation, upto, after, shard = text.split(":")
            return cls(incarnation, int(shard), EntryId.parse(after), EntryId.parse(upto))
        except ValueError as error:
            raise ValueError(f"{text!r:.200} is no name of a block") from error

    def __str__(self) -> str:
        return f"{self.incarnation}:{_padded(self.upto)}:{_padded(self.after)}{shard_suffix(self.shard)}"

    @property
    def stream(self) -> tuple[str, int]:
        """Returns the incarnation and the shard, by which the blocks of one stream are known."""
        return self.incarnation, self.shard

    def token(self, month: int, heal: int = 0) -> str:
        """Returns the `insert_deduplication_token` of the block's month; `heal` counts its repairs."""
        return f"{self}:{month}:h{heal}" if heal else f"{self}:{month}"


def blocks_upto(incarnation: str, edge: EntryId) -> str:
    """Returns a text that sorts above the names of all blocks that end at or before this edge, and of no others."""
    return f"{incarnation}:{_padded(edge)};"  # ";" sorts just behind ":"


def stream_prefix(incarnation: str) -> str:
    """Returns how the names of all blocks of an incarnation begin."""
    return f"{incarnation}:"


def shard_suffix(shard: int) -> str:
    """Returns how the names of a shard's blocks end."""
    return f":{shard:0{SHARD_WIDTH}d}"


def of_stream(incarnation: str, shard: int) -> dict[str, str]:
    """Returns the parameters of `startsWith(block_id, {incarnation:String}) AND endsWith(block_id, {shard:String})`."""
    return {"incarnation": stream_prefix(incarnation), "shard": shard_suffix(shard)}


def _padded(entry_id: EntryId) -> str:
    return f"{entry_id.ms:0{MILLISECONDS_WIDTH}d}-{entry_id.sequence:0{SEQUENCE_WIDTH}d}"
