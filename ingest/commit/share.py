"""Splits what was collected by shard, and takes requests out of it. Pure.

It makes new lists and changes none, because columns may be the same list (batch.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any

import msgspec

from ingest.batch import Batch, Waiting


class Share(msgspec.Struct, eq=False):
    """Holds the rows of a batch that go to one shard."""

    columns: Sequence[Sequence[Any]]
    rows: int
    size: int  # about how many bytes the rows take in a record at most
    owners: list[Waiting]  # each request once, in the order in which they came
    is_reserved: bool = False  # `size` of the spool, until the rows are durable


def split(batch: Batch) -> Iterator[tuple[int, Share]]:
    """Yields a share for each shard that has rows. Where all rows go to one shard, nothing is copied."""
    rows = len(batch.owners)
    if not rows:
        return
    first = batch.shards[0]
    if batch.shards.count(first) == rows:
        yield first, Share(batch.columns, rows, batch.size, requests(batch.owners))
        return
    places: dict[int, list[int]] = {}
    for at, shard in enumerate(batch.shards):
        places.setdefault(shard, []).append(at)
    for shard, its in sorted(places.items()):
        columns = [[column[at] for at in its] for column in batch.columns]
        yield shard, Share(columns, len(its), batch.size * len(its) // rows, requests([batch.owners[at] for at in its]))


def without(batch: Batch, shut: Collection[int]) -> tuple[Batch, list[tuple[Waiting, int]]]:
    """Takes out all rows of the requests that have one in a shard of these.

    Returns what is left, and each of these requests with the first such shard that it has a row in.
    """
    refused: dict[int, tuple[Waiting, int]] = {}
    for owner, shard in zip(batch.owners, batch.shards, strict=True):
        if shard in shut:
            refused.setdefault(id(owner), (owner, shard))
    return chosen(batch, [id(owner) not in refused for owner in batch.owners]), list(refused.values())


def chosen(batch: Batch, are_chosen: list[bool]) -> Batch:
    """Returns a batch of these rows, whose size is in proportion."""
    owners = list(compress(batch.owners, are_chosen))
    return Batch(
        columns=[list(compress(column, are_chosen)) for column in batch.columns],
        shards=list(compress(batch.shards, are_chosen)),
        owners=owners,
        finished=[],
        size=batch.size * len(owners) // len(batch.owners),
    )


def requests(owners: Iterable[Waiting]) -> list[Waiting]:
    """Returns each request once. Requests are told apart by what they are, not by what they hold."""
    found: list[Waiting] = []
    last: Waiting | None = None
    for owner in owners:
        if owner is not last:
            found.append(owner)
            last = owner
    return found
