"""Holds the shares of one shard until their rows are durable: those that wait for a commit, and those in flight.

While one commit is on its way, shares gather here, and leave together: they are merged into one commit up to its limits.
A share is never split. Shares come and become durable in the same order, so the requests that waited too long are always
the first ones, and are found without a list of all requests.

Not promised: a bound. The appender bounds the bytes of all queues together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Any

from ingest.commit.share import Share
from ingest.fates import Shed


class Queue:
    """Gathers the shares of one shard."""

    def __init__(self, *, rows_max: int, bytes_max: int) -> None:
        """Takes the limits of a commit."""
        self.rows = 0  # that wait for a commit
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._waiting: deque[Share] = deque()
        self._unanswered: deque[Share] = deque()  # those that wait, and in front of them those in flight
        self._looked_at = 0  # so many requests of the first unanswered share are answered

    def add(self, share: Share) -> None:
        """Puts a share behind the others."""
        self._waiting.append(share)
        self._unanswered.append(share)
        self.rows += share.rows

    def take(self) -> list[Share]:
        """Takes whole shares up to the limits, at least one."""
        rows = size = 0
        taken: list[Share] = []
        waiting = self._waiting
        while waiting:
            share = waiting[0]
            if taken and (rows + share.rows > self._rows_max or size + share.size > self._bytes_max):
                break
            taken.append(waiting.popleft())
            rows += share.rows
            size += share.size
        self.rows -= rows
        return taken

    def landed(self, shares: list[Share]) -> None:
        """Forgets shares that were taken, whose rows are durable now."""
        unanswered = self._unanswered
        for share in shares:
            if unanswered and unanswered[0] is share:  # or all of its requests were answered before
                unanswered.popleft()
                self._looked_at = 0

    def expire(self, now: float) -> float | None:
        """Answers the requests that are due. Returns when the next one is; None if none is left.

        Each is looked at once, however often this is called: each request has a moment of its own.
        """
        while self._unanswered:
            owners = self._unanswered[0].owners
            while self._looked_at < len(owners):
                owner = owners[self._looked_at]
                if owner.shards_left:
                    if owner.due > now:
                        return owner.due
                    owner.shards_left = 0
                    owner.settled(Shed.REDIS)
                self._looked_at += 1
            self._unanswered.popleft()
            self._looked_at = 0
        return None


def merged(shares: list[Share]) -> Sequence[Sequence[Any]]:
    """Returns the columns of all these rows.

    More than one share makes new lists: columns may be the same list, and to extend that would make it longer twice.
    """
    if len(shares) == 1:
        return shares[0].columns
    return [list(chain.from_iterable(same)) for same in zip(*(share.columns for share in shares), strict=True)]
