"""When requests are collected, and when they leave: at once, together, or after a moment in which others may come."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.commit import committer
from ingest.commit.answers import Unclear
from ingest.commit.committer import GATHER_ROWS
from ingest.fates import Shed
from tests.support.committing import Request, Scene, at_work
from tests.support.rows import plain
from tests.support.spooling import opened
from tests.support.waiting import until

PATIENT = 1e6  # seconds in which a commit waits for others: longer than any test


def numbered(count: int, before: str = "") -> list[str]:
    """Returns so many titles, which stand in their order when they are sorted."""
    digits = len(str(count))
    return [f"{before}{number:0{digits}d}" for number in range(count)]


async def answered(scene: Scene, *titles: str, shard: int = 0) -> None:
    """Has a request for each title stored, so that the shard's next commit waits for others."""
    assert await scene.answers(*(scene.request(title, shard=shard) for title in titles)) == [None] * len(titles)


async def test_a_lone_request_leaves_at_once() -> None:
    """It needs a few turns of the loop and no timer."""
    async with at_work() as scene:
        scene.request("1")
        await scene.settled()
        assert [one.titles for one in scene.stream.asked] == [["1"]]


async def test_what_is_read_in_one_turn_of_the_loop_leaves_together() -> None:
    """The first of them does not leave alone, although it could."""
    async with at_work() as scene:
        for title in "123":
            scene.request(title)
        await scene.settled()
        assert [one.titles for one in scene.stream.asked] == [["1", "2", "3"]]


async def test_few_requests_wait_for_others_and_many_do_not() -> None:
    """After a commit the next one waits, until it has GATHER_ROWS."""
    async with at_work(gather_seconds=PATIENT, is_open=True, commit_rows_max=2 * GATHER_ROWS) as scene:
        scene.appender._committers[0]._began = scene.appender._loop.time()
        for title in numbered(GATHER_ROWS - 1):
            scene.request(title)
        await scene.settled()
        assert not scene.stream.asked
        scene.request("last")
        assert await scene.answers() == [None] * GATHER_ROWS
        assert [one.rows for one in scene.stream.asked] == [GATHER_ROWS]


async def test_few_requests_leave_after_a_moment() -> None:
    """Nobody has to come for that."""
    async with at_work(gather_seconds=0.05, is_open=True) as scene:
        await answered(scene, "1")
        began = scene.appender._committers[0]._began
        second, third = scene.request("2"), scene.request("3")
        assert await scene.answers(second, third) == [None, None]
        assert scene.appender._committers[0]._began - began > 0.04
        assert scene.stream.commits() == [["1"], ["2", "3"]]


async def test_where_nothing_more_can_come_nothing_waits() -> None:
    """All clients that there are have sent: the last of them makes all leave."""
    clients = [1]
    async with at_work(gather_seconds=PATIENT, is_open=True, expected=lambda: clients[0]) as scene:
        scene.appender._committers[0]._began = scene.appender._loop.time()
        scene.request("1")
        await scene.settled()
        assert not scene.stream.asked
        clients[0] = 0
        scene.request("2")
        assert await scene.answers() == [None, None]
        assert scene.stream.commits() == [["1", "2"]]


async def test_a_shard_that_may_leave_does_not_take_another_along() -> None:
    """Rows of a request that was collected because a second shard could leave wait on for those of their own shard."""
    async with at_work(gather_seconds=PATIENT, is_open=True, commit_rows_max=2 * GATHER_ROWS) as scene:
        scene.appender._committers[0]._began = scene.appender._loop.time()
        scene.appender._committers[1]._began = -1e9  # long ago
        request = scene.request_to((0, "a"), (1, "b"))
        await until(lambda: scene.stream.commits(1) == [["b"]])
        await scene.settled()
        assert not request.done()
        assert scene.stream.commits(0) == []
        titles = numbered(GATHER_ROWS)
        many = [scene.request(title) for title in titles]
        assert await scene.answers(request, *many) == [None] * (1 + GATHER_ROWS)
        assert scene.stream.commits(0) == [["a", *titles]]


async def test_many_are_collected_while_a_commit_flies() -> None:
    """Their rows are ready when it returns; what comes behind a full commit waits raw."""
    async with at_work(shards=1, commit_rows_max=2 * GATHER_ROWS) as scene:
        scene.request("first")
        await scene.in_flight(1)
        inbox = scene.appender._inbox
        left = []
        for at in range(4):
            for title in numbered(GATHER_ROWS, f"{at} "):
                scene.request(title)
            await scene.settled()
            left.append(len(inbox))
        assert left == [0, 0, GATHER_ROWS, 2 * GATHER_ROWS]
        scene.stream.open()
        assert await scene.answers() == [None] * (1 + 4 * GATHER_ROWS)
        assert [one.rows for one in scene.stream.stored] == [1, 2 * GATHER_ROWS, 2 * GATHER_ROWS]
        assert scene.stream.titles() == ["first", *sorted(scene.stream.titles()[1:])]


async def test_shares_that_wait_are_merged_into_commits_of_the_limit() -> None:
    """Whole shares up to the rows of a commit: one that would be too many waits for the next."""
    async with at_work(shards=1, commit_rows_max=3 * GATHER_ROWS) as scene:
        scene.request("first")
        await scene.in_flight(1)
        for at in range(2):
            for title in numbered(GATHER_ROWS, f"{at} "):
                scene.request(title, title)
            await scene.settled()
        scene.stream.open()
        assert await scene.answers() == [None] * (1 + 2 * GATHER_ROWS)
        assert [one.rows for one in scene.stream.stored] == [1, 2 * GATHER_ROWS, 2 * GATHER_ROWS]
        assert scene.stream.titles() == ["first", *sorted(scene.stream.titles()[1:])]


async def test_draining_waits_for_what_is_not_collected_yet() -> None:
    """A request of the same turn of the loop is made durable, too."""
    async with at_work(is_open=True) as scene:
        await scene.settled()
        request = Request([(0, plain(title="1"))])
        assert scene.appender.submit(request) is None
        assert await scene.appender.drain(10)
        assert request.answers == [None]
        assert await scene.request("2") is Shed.DRAINING


async def test_a_spooling_shard_rests_however_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it hurry where nothing more can come: the drain could not catch up with it."""
    for name in ("REST_SECONDS_MIN", "REST_SECONDS_MAX"):
        monkeypatch.setattr(committer, name, 1e6)
    spool, _ = opened(tmp_path)
    async with at_work(is_open=True, shards=1, spool=spool, expected=lambda: 0) as scene:
        scene.stream.down = {0: Unclear("Redis is silent")}
        await answered(scene, "1")
        many = [scene.request(title) for title in numbered(2 * GATHER_ROWS)]
        await scene.settled()
        assert scene.appender._committers[0].flight is None
        assert not any(request.done() for request in many)
        scene.stream.down = {}
        await until(lambda: not list(tmp_path.rglob("*.spool")))
        await until(lambda: scene.appender._committers[0].chain is None)
        assert await scene.request("last") is None
        assert await scene.answers() == [None] * (2 + len(many))
    spool.close()
