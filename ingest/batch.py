"""What collecting hands to committing: the rows of some requests as columns, and the requests that wait for them.

A request is answered when its rows are durable, so whoever makes them durable must know to whom each row belongs. It
knows no more of a request than `Waiting` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Protocol

import msgspec

from ingest.fates import Shed

# By estimate: what the fixed columns of a row take, and a byte of the text that it was made of, which may become an
# escape of three. Text that was made for it takes three times as much (a long key over many nested properties), but not
# in the spool, whose records are compressed.
ROW_BYTES, CHARACTER_BYTES = 600, 4


class Waiting(Protocol):
    """Describes a request that waits until its rows are durable."""

    weight: int  # about how many bytes its rows take, estimated of its body, until it is collected
    due: float  # by the loop's clock; afterwards the answer is that Redis is away. The appender sets it.
    # Shards that do not have its rows yet: 0 while it is not collected, and once it is answered. The appender sets it.
    shards_left: int

    def settled(self, shed: Shed | None) -> None:
        """Sends the answer: None says that its rows are durable or that it has none, else why they are not. Called once."""
        ...


class Batch(msgspec.Struct):
    """Holds what was collected together. Columns may share their lists, so nothing in them is ever changed."""

    columns: Sequence[Sequence[Any]]  # in the order of row.COLUMNS, all of one length; none without rows
    shards: Sequence[int]  # of each row
    owners: Sequence[Waiting]  # of each row; the rows of a request stand together
    finished: list[Waiting]  # requests without rows, which are answered at once
    size: int  # about how many bytes the rows take
    # Of each request that is too large for one turn of the loop, the work that is left: it yields None after each piece, and
    # then once the batch of this request alone. It raises nothing.
    large: Sequence[Iterator[Batch | None]] = ()


# Takes requests from the left, of the kind that was submitted, until it has enough for one commit, at least one. It raises
# nothing.
Collect = Callable[[deque[Any]], Batch]


def joined(batches: Sequence[Batch]) -> Batch:
    """Returns several batches as one."""
    filled = [batch for batch in batches if batch.shards]
    return Batch(
        [list(chain.from_iterable(same)) for same in zip(*(batch.columns for batch in filled), strict=True)],
        list(chain.from_iterable(batch.shards for batch in filled)),
        list(chain.from_iterable(batch.owners for batch in filled)),
        list(chain.from_iterable(batch.finished for batch in batches)),
        sum(batch.size for batch in batches),
        list(chain.from_iterable(batch.large for batch in batches)),
    )


def row_bytes(rows: int, text_bytes: int) -> int:
    """Returns about how many bytes rows take that were made of so much text."""
    return ROW_BYTES * rows + CHARACTER_BYTES * text_bytes
