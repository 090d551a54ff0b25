"""Group commit: who shares one, when a request is answered, and what happens when the stream is unwell."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingest.commit import committer, returner
from ingest.commit.answers import Refused, Unclear
from ingest.commit.spool import Spool
from ingest.commit.totals import totals
from ingest.fates import Shed
from schemas.row import MINUTE_MS
from tests.support.committing import MINUTE, SHARDS, Counted, ScriptedStream, append, at_work, made
from tests.support.rows import columns_of, plain
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after a millisecond, not after a tenth of a second."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


async def test_a_request_is_answered_only_after_the_append_returned() -> None:
    """Not when it was sent, not when it was taken: 2xx means that Redis said it is fsynced (I1)."""
    async with at_work() as scene:
        request = scene.request("one")
        await scene.in_flight(1)
        await scene.settled()
        assert not request.done()
        scene.stream.open()
        assert await request is None
        assert scene.stream.commits() == [["one"]]
        assert scene.appender.bytes_waiting == 0


async def test_requests_that_come_during_an_append_share_the_next_commit() -> None:
    """A lone request leaves at once; what gathers behind it leaves together, in order."""
    async with at_work() as scene:
        first = scene.request("1")
        await scene.in_flight(1)
        others = [scene.request("2", "3"), scene.request("4"), scene.request("5")]
        await scene.settled()
        assert len(scene.stream.asked) == 1
        scene.stream.open()
        assert await scene.answers(first, *others) == [None] * 4
        assert scene.stream.commits() == [["1"], ["2", "3", "4", "5"]]
        assert scene.counts.commits == [1, 4]


async def test_one_append_is_in_flight_for_each_shard() -> None:
    """Shards do not wait for each other; within one, the next waits for its answer."""
    async with at_work() as scene:
        for number in range(5):
            for shard in range(SHARDS):
                scene.request(str(number), shard=shard)
                await scene.settled()
        assert sorted(scene.stream.in_flight) == list(range(SHARDS))
        scene.stream.open()
        assert await scene.answers() == [None] * 15
        assert scene.stream.in_flight_most == dict.fromkeys(range(SHARDS), 1)


async def test_commits_of_a_shard_are_numbered_without_a_gap() -> None:
    """Each shard has a producer of its own, and its numbers go up by one."""
    async with at_work(is_open=True) as scene:
        for number in range(4):
            for shard in range(SHARDS):
                await scene.request(str(number), shard=shard)
        assert [one.number for one in scene.stream.stored if one.shard == 1] == [1, 2, 3, 4]
        assert len({(one.shard, one.producer) for one in scene.stream.stored}) == SHARDS
        assert len({one.producer for one in scene.stream.stored}) == SHARDS


async def test_a_request_to_several_shards_is_answered_when_all_are_in() -> None:
    """The last shard decides; each row is in its own."""
    async with at_work() as scene:
        scene.stream.open(0)
        request = scene.request_to((0, "a"), (1, "b"), (0, "c"), (2, "d"))
        await until(lambda: scene.stream.commits(0) == [["a", "c"]])
        scene.stream.open(1)
        await until(lambda: scene.stream.commits(1) == [["b"]])
        await scene.settled()
        assert not request.done()
        scene.stream.open(2)
        assert await request is None
        assert scene.stream.commits(2) == [["d"]]


@pytest.mark.parametrize(
    ("sizes", "commits"),
    [
        ([1, 2, 2], [[1], [2, 2]]),
        ([1, 2, 2, 1], [[1], [2, 2], [1]]),
        ([1, 3, 2], [[1], [3, 2]]),
        ([1, 3, 2, 1], [[1], [3, 2], [1]]),
        ([1, 9, 1], [[1], [9], [1]]),
        ([9], [[9]]),
    ],
)
async def test_a_commit_takes_whole_requests_until_it_has_its_rows(sizes: list[int], commits: list[list[int]]) -> None:
    """It takes no more once it has four rows here. It may have one request's more than that, as none is split."""
    async with at_work(commit_rows_max=4) as scene:
        for number, rows in enumerate(sizes):
            scene.request(*[str(number)] * rows)
            await scene.in_flight(1)
        scene.stream.open()
        assert await scene.answers() == [None] * len(sizes)
        numbers = iter(range(len(sizes)))
        expected = [[title for rows in commit for title in [str(next(numbers))] * rows] for commit in commits]
        assert scene.stream.commits() == expected


async def test_a_commit_takes_whole_requests_until_it_has_its_bytes() -> None:
    """Rows with long texts are cut by size before they are cut by number: each has 8.6 kB of the 20 here."""
    async with at_work(commit_bytes_max=20_000) as scene:
        for number in range(5):
            scene.request("x" * 2_000 + str(number))
            await scene.in_flight(1)
        scene.stream.open()
        await scene.answers()
        assert [one.rows for one in scene.stream.stored] == [1, 3, 1]


@pytest.mark.parametrize("lost_answers", [False, True])
@pytest.mark.parametrize("failing", [[Unclear("a")], [Refused("b")], [Unclear("c"), Refused("d"), Unclear("e")]])
async def test_an_unclear_commit_is_sent_again_as_it_was(failing: list[Exception], lost_answers: bool) -> None:
    """Same producer, number and bytes until it is known to be in; it is in once, and the next number follows."""
    async with at_work(is_open=True) as scene:
        scene.stream.failing, scene.stream.lost_answers = failing, lost_answers
        tries = len(failing) + 1
        assert await scene.request("1", "2") is None
        assert scene.stream.asked == [scene.stream.asked[0]] * tries
        assert await scene.request("3") is None
        assert [one.number for one in scene.stream.stored] == [1, 2]
        assert scene.stream.commits() == [["1", "2"], ["3"]]
        assert scene.counts.events == {("a.example", "native"): 3}


async def test_while_a_commit_is_stuck_new_requests_to_its_shard_are_shed_at_once() -> None:
    """503 without waiting, for this shard alone; those that came before are answered when it goes on."""
    async with at_work(is_open=True) as scene:
        scene.stream.down = {0: Unclear("Redis is silent")}
        first = scene.request("1")
        await until(lambda: not scene.is_ready())
        assert await scene.request("2") is Shed.REDIS
        assert await scene.request_to((1, "3"), (0, "4")) is Shed.REDIS
        assert await scene.request("5", shard=1) is None
        assert not first.done()
        assert not scene.is_ready()
        scene.stream.down = {}
        assert await first is None
        assert scene.is_ready()
        assert await scene.request("6") is None
        assert scene.stream.commits() == [["1"], ["6"]]


async def test_a_request_is_answered_503_in_time_and_its_commit_goes_on() -> None:
    """A client does not wait for ever; what it sent may still be stored, once, and its bytes are given back."""
    async with at_work(answer_seconds_max=0.03) as scene:
        in_flight, behind = scene.request("1"), scene.request("2")
        assert await scene.answers(in_flight, behind) == [Shed.REDIS, Shed.REDIS]
        assert scene.appender.bytes_waiting > 0
        scene.stream.open()
        await until(lambda: scene.appender.bytes_waiting == 0)
        assert scene.stream.titles() == ["1", "2"]
        assert await scene.request("3") is None


async def test_the_queue_is_bounded_by_bytes_of_everybody_unanswered() -> None:
    """What is in flight counts as well as what waits; room comes back when it is answered."""
    async with at_work(queue_bytes_max=2_000) as scene:
        taken = [scene.request("1")]
        await scene.in_flight(1)
        taken += [scene.request("2"), scene.request("3", shard=1)]
        await scene.settled()
        assert 0 < scene.appender.bytes_waiting <= 2_000
        assert await scene.request("4") is Shed.QUEUE_FULL
        assert await scene.request("5", shard=2) is Shed.QUEUE_FULL
        scene.stream.open()
        assert await scene.answers(*taken) == [None] * 3
        assert scene.appender.bytes_waiting == 0
        assert await scene.request("6") is None


async def test_a_request_larger_than_the_queue_is_never_taken() -> None:
    """Even when nothing waits: nothing of it is tried."""
    async with at_work(is_open=True, queue_bytes_max=2_000) as scene:
        assert await scene.request("x" * 3_000) is Shed.QUEUE_FULL
        assert scene.stream.asked == []


async def test_under_pressure_nothing_is_appended() -> None:
    """Redis is close to a wall and there is no spool: new requests are shed, and it is said not to be ready."""
    pressed = [False]
    async with at_work(is_open=True, pressed=lambda: Shed.MEMORY if pressed[0] else None) as scene:
        assert await scene.request("1") is None
        pressed[0] = True
        assert not scene.is_ready()
        assert await scene.request("2") is Shed.MEMORY
        pressed[0] = False
        assert scene.is_ready()
        assert await scene.request("3") is None
        assert scene.stream.commits() == [["1"], ["3"]]


async def test_draining_waits_for_what_is_in_flight() -> None:
    """It takes no more, and is over when the last waiting request is answered."""
    async with at_work() as scene:
        requests = [scene.request("1")]
        await scene.in_flight(1)
        requests.append(scene.request("2"))
        await scene.settled()
        drained = asyncio.ensure_future(scene.appender.drain(10))
        await scene.settled()
        assert not drained.done()
        assert not scene.is_ready()
        assert await scene.request("3") is Shed.DRAINING
        scene.stream.open()
        assert await drained is True
        assert [request.result() for request in requests if request.done()] == [None, None]
        assert scene.stream.commits() == [["1"], ["2"]]


async def test_draining_gives_up_after_its_time() -> None:
    """A stream that does not answer does not keep the process."""
    async with at_work() as scene:
        scene.request("1")
        await scene.in_flight(1)
        assert await scene.appender.drain(0.02) is False


async def test_draining_an_idle_appender_is_done() -> None:
    """Nothing waits, nothing to wait for."""
    async with at_work() as scene:
        assert await scene.appender.drain(0) is True


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_request_does_not_lose_its_neighbours(cancelled: int) -> None:
    """A client that hangs up while in flight or waiting changes nothing for those who share its commit."""
    async with at_work() as scene:
        requests = [scene.request("0")]
        await scene.in_flight(1)
        requests += [scene.request("1"), scene.request("2"), scene.request("3")]
        await scene.settled()
        requests[cancelled].cancel()
        await scene.settled()
        assert requests[cancelled].cancelled()
        scene.stream.open()
        others = [request for at, request in enumerate(requests) if at != cancelled]
        assert await scene.answers(*others) == [None] * 3
        assert scene.stream.commits() == [["0"], ["1", "2", "3"]]
        assert scene.appender.bytes_waiting == 0


async def test_a_gap_is_closed_by_a_new_producer() -> None:
    """Redis lost commits it had acknowledged: the same rows follow as the first commit of another producer."""
    async with at_work(is_open=True) as scene:
        for title in ("1", "2", "3"):
            await scene.request(title)
        old = scene.stream.stored[-1].producer
        scene.stream.marks[0, old] = 1
        assert await scene.request("4") is None
        assert await scene.request("5") is None
        last = scene.stream.stored[-2:]
        assert [(one.number, one.titles) for one in last] == [(1, ["4"]), (2, ["5"])]
        assert {one.producer for one in last}.isdisjoint({old})
        assert scene.stream.commits() == [["1"], ["2"], ["3"], ["4"], ["5"]]


async def test_totals_go_with_their_commit() -> None:
    """By minute and site for the ledger, moved by the append script; by site and dialect for the metrics."""
    async with at_work() as scene:
        scene.request("0")
        await scene.in_flight(1)
        scene.request("1", "2", site="b.example", dialect="plausible")
        scene.request("3", received_at=(MINUTE + 1) * 60_000)
        scene.request("4", received_at=(MINUTE + 1) * 60_000 - 1)
        await scene.settled()
        assert scene.counts.events == {}
        scene.stream.open()
        await scene.answers()
        assert [dict(one.accepted) for one in scene.stream.stored] == [
            {f"{MINUTE} a.example": 1},
            {f"{MINUTE} b.example": 2, f"{MINUTE + 1} a.example": 1, f"{MINUTE} a.example": 1},
        ]
        assert scene.counts.events == {("a.example", "native"): 3, ("b.example", "plausible"): 2}


@pytest.mark.parametrize("sites", ["aab", "a"])
@pytest.mark.parametrize("dialects", ["xy", "x"])
@pytest.mark.parametrize("minutes", [(0,), (0, 1), (0, 1, 0)])
def test_totals_add_up_to_the_rows(sites: str, dialects: str, minutes: tuple[int, ...]) -> None:
    """No row is in neither sum, and none twice."""
    rows = [
        plain(site=site, dialect=dialect, received_at=(MINUTE + minute) * MINUTE_MS + 59_999)
        for site in sites
        for dialect in dialects
        for minute in minutes
    ]
    accepted, counted = totals(columns_of(rows))
    assert accepted == Counter(f"{row.received_at // MINUTE_MS} {row.site}" for row in rows)
    assert counted == Counter((row.site, row.dialect) for row in rows)


async def test_a_request_without_rows_is_answered_at_once() -> None:
    """Nothing to make durable: no commit, no wait."""
    async with at_work() as scene:
        assert await append(scene.appender, []) is None
        assert scene.stream.asked == []


async def test_a_bug_in_the_stream_ends_the_appender() -> None:
    """What is no known error of the edge is not swallowed: the process must end and be started again."""
    stream, counts = ScriptedStream(failing=[ZeroDivisionError()]), Counted()
    stream.open()
    appender = made(stream, counts, shards=1, answer_seconds_max=0.05)
    request = asyncio.ensure_future(append(appender, [(0, plain())]))
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(60):
            await appender.run()
    assert caught.group_contains(ZeroDivisionError)
    assert await request is Shed.REDIS


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_every_answered_row_is_stored_once_in_order(seed: int) -> None:
    """40 requests over all shards, answers lost, refusals, and clients that hang up; replay with this seed."""
    chance = random.Random(seed)
    async with at_work(is_open=True, commit_rows_max=5) as scene:
        kept: list[str] = []
        for number in range(40):
            if chance.random() < 0.3 and not scene.stream.failing:
                scene.stream.lost_answers = chance.random() < 0.5
                scene.stream.failing = [
                    chance.choice([Unclear("u"), Refused("r")]) for _ in range(chance.randint(1, 3))
                ]
            rows = [(chance.randrange(SHARDS), f"{number:02d}{letter}") for letter in "abc"[: chance.randint(1, 3)]]
            request = scene.request_to(*rows)
            for _ in range(chance.randint(0, 6)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                request.cancel()
            elif await request is None:
                kept += [title for _, title in rows]
        assert await scene.appender.drain(10)
        stored = [title for shard in range(SHARDS) for title in scene.stream.titles(shard)]
        assert len(stored) == len(set(stored))
        assert set(kept) <= set(stored)
        for shard in range(SHARDS):
            assert scene.stream.titles(shard) == sorted(scene.stream.titles(shard))


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    made = Spool(tmp_path / "spool", bytes_max=1 << 20, free_bytes_min=0, counts=Counted())
    yield made
    made.close()


@pytest.mark.parametrize("was_in", [False, True])
async def test_with_a_spool_an_unclear_commit_is_answered_from_disk(spool: Spool, was_in: bool) -> None:
    """It and all later ones of its shard follow in order, under its producer, until the spool is drained."""
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down, scene.stream.lost_answers = {0: Unclear("Redis is silent")}, was_in
        assert [await scene.request(title) for title in ("1", "2", "3")] == [None] * 3
        assert scene.is_ready()
        await scene.in_flight(3)
        assert {one.number for one in scene.stream.asked} == {1}, "the next one waits behind the unclear one"
        scene.stream.down = {}
        await until(lambda: len(scene.stream.stored) == 3)
        assert scene.stream.commits() == [["1"], ["2"], ["3"]]
        assert [one.number for one in scene.stream.stored] == [1, 2, 3]
        (old,) = {one.producer for one in scene.stream.stored}
        await until(lambda: not list(spool.folder.rglob("*.spool")))
        assert await scene.request("4") is None
        last = scene.stream.stored[-1]
        assert (last.number, last.titles) == (1, ["4"])
        assert last.producer != old


async def test_with_a_spool_a_gap_is_closed_by_a_new_producer_too(spool: Spool) -> None:
    """Nothing is spooled under a number that no longer fits: the commit goes to Redis as a first one."""
    async with at_work(is_open=True, spool=spool) as scene:
        await scene.request("1")
        await scene.request("2")
        scene.stream.marks.clear()
        assert await scene.request("3") is None
        assert scene.stream.stored[-1].number == 1
        assert [one.number for one in scene.stream.asked] == [1, 2, 3, 1]
        assert not list(spool.folder.rglob("*.spool"))


async def test_with_a_spool_pressure_goes_to_disk_and_back(spool: Spool) -> None:
    """While Redis is close to a wall nothing is sent to it; afterwards it gets everything in order."""
    pressed = [True]
    async with at_work(is_open=True, spool=spool, pressed=lambda: Shed.MEMORY if pressed[0] else None) as scene:
        assert [await scene.request(title) for title in ("1", "2")] == [None, None]
        assert scene.stream.asked == []
        assert scene.is_ready()
        pressed[0] = False
        await until(lambda: scene.stream.commits() == [["1"], ["2"]])
