"""Cuts the work on a large body into pieces, so that the event loop answers others between two of them.

Other families' clients send up to 2,500 events and 10 MiB at once, which take 0.1 s and more to decode and to judge. A family
whose bodies may be so large reads them by a generator: it yields after each piece of work, and returns what it decoded. A
piece is one pass over the text (to uncompress it, to undo base64, to find where each event is), or the events of PIECE_BYTES
at most. A body below PIECE_BYTES has one piece, and its generator never yields.

Not promised: a bound in milliseconds. Of 10 MiB the slowest pass took 36 ms, and the events of one piece 5 (two cores of 2026).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

import msgspec

from ingest.dialects.contract import Decoded
from ingest.dialects.request import Head

T = TypeVar("T")
# Work in pieces: it yields how many bytes of text it holds now, and returns its result.
Pieces = Generator[int, None, T]

PIECE_BYTES = 256 << 10
PIECE_EVENTS = 100


class Large:
    """Reads bodies that may be large, in pieces. A dialect that is one gives `pieces`, and has `decode` of it."""

    def pieces(self, head: Head, body: bytes) -> Pieces[Decoded]:
        """Returns the events of a request, piece by piece. Raises Rejected if the request is refused as a whole."""
        raise NotImplementedError

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Returns the events of a request at once, as a Dialect does."""
        return whole(self.pieces(head, body))


def whole(pieces: Pieces[T]) -> T:
    """Returns the result of all pieces, without a pause."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: T = end.value
            return result


def runs(items: Sequence[msgspec.Raw]) -> Iterator[Sequence[msgspec.Raw]]:
    """Yields items that are not decoded yet, as many together as one piece of work takes, at least one."""
    first = size = 0
    for at, item in enumerate(items):
        size += len(memoryview(item))
        if at > first and (size > PIECE_BYTES or at - first >= PIECE_EVENTS):
            yield items[first:at]
            first, size = at, len(memoryview(item))
    yield items[first:]
