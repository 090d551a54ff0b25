"""Columns of a batch by shard, without some requests, and merged again: no row is lost, and no list is changed."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from ingest.batch import Batch
from ingest.commit.queue import Queue, merged
from ingest.commit.share import Share, split, without
from ingest.fates import Shed
from schemas.row import INDEX
from tests.support.committing import Request, collecting
from tests.support.rows import plain

ROWS_MAX = 1_000


def batch(*requests: list[tuple[int, str]]) -> Batch:
    """Returns what is collected of requests that have a row for each shard and title."""
    made = [Request([(shard, plain(title=title)) for shard, title in request]) for request in requests]
    return collecting(ROWS_MAX, 1 << 30)(deque(made))


def titles(columns: Sequence[Sequence[Any]]) -> list[str]:
    return list(columns[INDEX["title"]])


def test_a_batch_of_one_shard_is_not_copied() -> None:
    """Its columns are the share's, and each request is named once, in order."""
    made = batch([(3, "a"), (3, "b")], [(3, "c")])
    ((shard, share),) = split(made)
    assert shard == 3
    assert share.columns is made.columns
    assert share.size == made.size
    assert [request.rows[0][1].title for request in share.owners if isinstance(request, Request)] == ["a", "c"]


class Alike(Request):
    """Is equal to every other one, as a struct is to one that holds the same."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # as a struct that can be changed has none


def test_requests_that_hold_the_same_are_two() -> None:
    """Who waits is told by identity."""
    made = collecting(ROWS_MAX, 1 << 30)(deque([Alike([(0, plain())]), Alike([(0, plain())])]))
    ((_, share),) = split(made)
    assert len(share.owners) == 2
    made = collecting(ROWS_MAX, 1 << 30)(deque([Alike([(0, plain())]), Alike([(1, plain())]), Alike([(0, plain())])]))
    left, refused = without(made, {0})
    assert (left.shards, len(refused)) == ([1], 2)


def test_a_batch_without_rows_has_no_share() -> None:
    """Its requests are finished."""
    made = batch([], [])
    assert list(split(made)) == []
    assert len(made.finished) == 2


def test_a_request_is_taken_out_with_all_its_rows() -> None:
    """Those of its neighbours stay in order, and the first shard that is shut is named."""
    made = batch([(0, "a"), (1, "b")], [(0, "c")], [(2, "d"), (1, "e"), (0, "f")], [(2, "g")])
    left, refused = without(made, {1, 2})
    assert titles(left.columns) == ["c"]
    assert [shard for _, shard in refused] == [1, 2, 2]
    assert left.size == made.size // 7
    nothing, everyone = without(made, {0, 1, 2})
    assert list(split(nothing)) == []
    assert len(everyone) == 4


@pytest.mark.parametrize("seed", range(8))
def test_split_and_merged_every_row_is_in_its_shard_once(seed: int) -> None:
    """All columns are equally long although some are the same list, and the lists that came are as they were."""
    chance = random.Random(seed)
    shares: dict[int, list[Any]] = {}
    expected: dict[int, list[str]] = {}
    for serial in range(5):
        made = batch(*(
            [(chance.randrange(3), f"{serial}-{number}-{at}") for at in range(chance.randint(0, 3))]
            for number in range(chance.randint(1, 6))
        ))  # fmt: skip
        if made.owners:
            assert len({id(column) for column in made.columns}) < len(made.columns), "some are the same list"
        for shard, title in zip(made.shards, titles(made.columns), strict=True):
            expected.setdefault(shard, []).append(title)
        before = copy.deepcopy(made.columns)
        for shard, share in split(made):
            assert share.rows == len(share.columns[0])
            shares.setdefault(shard, []).append(share)
        assert made.columns == before
    for shard, some in shares.items():
        before = copy.deepcopy([share.columns for share in some])
        columns = merged(some)
        assert titles(columns) == expected[shard]
        assert {len(column) for column in columns} == {sum(share.rows for share in some)}
        assert [share.columns for share in some] == before
    assert shares.keys() == expected.keys()


def test_requests_of_a_later_share_are_looked_at_from_the_first_one_on() -> None:
    """Also when the share before it became durable after some of its requests were too late."""
    queue = Queue(rows_max=ROWS_MAX, bytes_max=1 << 30)
    early, late = ([Request([(0, plain())]) for _ in range(3)] for _ in range(2))
    for due, owners in ((1.0, early), (2.0, late)):
        for request in owners:
            request.due, request.shards_left = due, 1
        queue.add(Share([], 3, 600, list(owners)))
    early[2].due = 1.5
    taken = queue.take()
    assert len(taken) == 2
    assert queue.expire(1.0) == 1.5
    queue.landed(taken[:1])
    assert queue.expire(2.0) is None
    assert [request.answers for request in early] == [[Shed.REDIS], [Shed.REDIS], []]
    assert [request.answers for request in late] == [[Shed.REDIS]] * 3
