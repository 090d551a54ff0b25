"""A request is answered once: when it is durable, when it is too late, or when a shard of it is shut, whatever else fails."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from ingest.commit import appender as appender_module
from ingest.commit import committer, returner
from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.appender import Appender
from ingest.commit.committer import GATHER_ROWS
from ingest.fates import Shed
from tests.support.committing import SHARDS, Counted, Request, ScriptedStream, at_work, made
from tests.support.rows import plain
from tests.support.spooling import opened
from tests.support.waiting import until

AT_ONCE = "it was answered while the stream did nothing"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after a millisecond, not after a tenth of a second."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)


def requests(*titles: str, shard: int = 0) -> list[Request]:
    return [Request([(shard, plain(title=title))]) for title in titles]


def submitted(appender: Appender, *titles: str) -> list[Request]:
    made = requests(*titles)
    assert [appender.submit(request) for request in made] == [None] * len(made)
    return made


def too_late(appender: Appender, *overdue: Request) -> None:
    """Lets the moment of these requests pass, which are the oldest."""
    for request in overdue:
        request.due = 0.0
    appender._expire()


async def test_a_request_that_is_too_late_before_it_is_collected_is_taken_out() -> None:
    """Nobody serves: its rows are not stored afterwards, and those of the next one are."""
    stream = ScriptedStream()
    stream.open()
    appender = made(stream, Counted())
    late = submitted(appender, "1", "2")
    too_late(appender, *late)
    assert appender.bytes_waiting == 0
    running = asyncio.ensure_future(appender.run())
    (in_time,) = submitted(appender, "3")
    await until(lambda: in_time.answers)
    assert [request.answers for request in (*late, in_time)] == [[Shed.REDIS], [Shed.REDIS], [None]]
    assert stream.titles() == ["3"]
    running.cancel()
    await asyncio.wait([running])


async def test_large_requests_that_are_too_late_are_not_all_judged_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector judges each when it is shed, and all others wait for that."""
    clock = [0.0]
    monkeypatch.setattr(appender_module, "perf_counter", lambda: clock[0])

    def judged(_: Shed | None) -> None:
        clock[0] += 0.1

    appender = made(ScriptedStream(), Counted())
    late = [Request([(0, plain(title=str(at)))], judged) for at in range(3)]
    for request in late:
        assert appender.submit(request) is None
    too_late(appender, *late)
    assert [len(request.answers) for request in late] == [1, 0, 0]
    await until(lambda: all(request.answers for request in late))
    assert appender.bytes_waiting == 0


async def test_requests_that_are_too_late_behind_a_commit_are_answered_and_stored() -> None:
    """In flight, in the queue and in the inbox: what is collected goes on, what is not is taken out."""
    async with at_work(shards=1, commit_rows_max=GATHER_ROWS) as scene:
        flying = submitted(scene.appender, "in flight")
        await scene.in_flight(1)
        queued = submitted(scene.appender, *(f"queued {number:02d}" for number in range(GATHER_ROWS)))
        await scene.settled()
        raw = submitted(scene.appender, "raw 1", "raw 2")
        await scene.settled()
        assert len(scene.appender._inbox) == 2
        too_late(scene.appender, *flying, *queued, raw[0])
        assert [request.answers for request in (*flying, *queued, *raw)] == [[Shed.REDIS]] * (GATHER_ROWS + 2) + [[]]
        assert scene.appender.bytes_waiting > 0
        scene.stream.open()
        await until(lambda: scene.appender.bytes_waiting == 0)
        assert raw[1].answers == [None]
        titles = [request.rows[0][1].title for request in (*flying, *queued, raw[1])]
        assert scene.stream.titles() == titles


async def test_a_request_is_too_late_by_its_own_moment() -> None:
    """One that came later than another, in the same share, waits on; its neighbour is told once."""
    async with at_work(shards=1) as scene:
        first, second, third = submitted(scene.appender, "1", "2", "3")
        await scene.in_flight(1)
        too_late(scene.appender, first)
        too_late(scene.appender, second)
        assert [one.answers for one in (first, second, third)] == [[Shed.REDIS], [Shed.REDIS], []]
        scene.stream.open()
        await until(lambda: third.answers)
        assert [one.answers for one in (first, second, third)] == [[Shed.REDIS], [Shed.REDIS], [None]]


async def test_one_timer_serves_all_requests() -> None:
    """The first one's; when it has come, it is set for the next."""
    async with at_work(answer_seconds_max=0.02) as scene:
        first = scene.request("1")
        await scene.settled()
        timer = scene.appender._expiry
        second = scene.request_to((0, "2"), (1, "2"))
        await scene.settled()
        assert scene.appender._expiry in {timer, None} or first.done()
        assert await scene.answers(first, second) == [Shed.REDIS] * 2
        await scene.settled()
        assert scene.appender._expiry is None


async def test_a_shard_late_in_one_of_many_is_one_answer() -> None:
    """Its rows in other shards are durable, and the last shard's come later: none of that is a second answer."""
    async with at_work(answer_seconds_max=0.05) as scene:
        scene.stream.open(1, 2)
        request = scene.request_to((0, "a"), (1, "b"), (2, "c"))
        await until(lambda: scene.stream.titles(1) == ["b"] and scene.stream.titles(2) == ["c"])
        assert await request is Shed.REDIS
        scene.stream.open(0)
        await until(lambda: scene.appender.bytes_waiting == 0)
        assert scene.stream.titles(0) == ["a"]


@pytest.mark.parametrize("has_spool", [False, True])
async def test_a_request_to_a_stuck_shard_is_shed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_spool: bool
) -> None:
    """Not a row of it is stored; its neighbours of the same turn are, also those with rows in the same other shards."""
    spool = opened(tmp_path, bytes_max=1)[0] if has_spool else None
    if spool is not None:
        monkeypatch.setattr(type(spool), "segment_bytes", 1, raising=False)
        monkeypatch.setattr("ingest.commit.spool._write_all", _refusing)
    async with at_work(is_open=True, spool=spool) as scene:
        scene.stream.down = {0: Unclear("Redis is silent")}
        stuck = scene.request("stuck")
        await until(lambda: not scene.is_ready())
        requests = [
            scene.request_to((1, "1a"), (2, "1b")),
            scene.request_to((1, "2a"), (0, "2b"), (2, "2c")),
            scene.request_to((0, "3")),
            scene.request_to((2, "4a"), (1, "4b")),
        ]
        shed = Shed.SPOOL_FULL if has_spool else Shed.REDIS
        assert await scene.answers(*requests) == [None, shed, shed, None]
        assert (scene.stream.titles(1), scene.stream.titles(2)) == (["1a", "4b"], ["1b", "4a"])
        scene.stream.down = {}
        assert await stuck is None
        assert scene.stream.titles(0) == ["stuck"]
        assert scene.appender.bytes_waiting == 0
    if spool is not None:
        spool.close()


def _refusing(file: int, content: bytes) -> None:
    raise OSError(28, "no space left on device")


async def test_behind_a_single_stuck_shard_those_who_came_before_wait_on() -> None:
    """They came while it was well. They are not shed, however many they are, and leave when it goes on."""
    async with at_work(is_open=True, shards=1) as scene:
        scene.stream.gates[0].clear()
        scene.request("first")
        await scene.in_flight(1)
        for number in range(2 * GATHER_ROWS):
            scene.request(f"{number:02d}")
            if number == GATHER_ROWS // 2:
                await scene.settled()
        scene.stream.down = {0: Refused("full")}
        scene.stream.open()
        await until(lambda: not scene.is_ready())
        assert await scene.request("too late") is Shed.REDIS
        scene.stream.down = {}
        assert (await scene.answers())[:-1] == [None] * (1 + 2 * GATHER_ROWS)
        assert scene.stream.titles() == ["first", *(f"{number:02d}" for number in range(2 * GATHER_ROWS))]


async def test_a_shard_that_is_stuck_before_the_turn_ends_sheds_nothing_that_came_before() -> None:
    """As many as would be collected while a commit flies wait raw instead, and leave when it goes on."""
    async with at_work(shards=1) as scene:
        first = submitted(scene.appender, "first")
        await scene.in_flight(1)
        many = submitted(scene.appender, *(f"{number:02d}" for number in range(GATHER_ROWS)))
        scene.appender._committers[0].is_stuck = True
        await scene.settled()
        assert not any(request.answers for request in many)
        assert not scene.appender._is_due, "it does not look again in every turn of the loop"
        scene.stream.open()
        await until(lambda: many[-1].answers)
        assert [request.answers for request in (*first, *many)] == [[None]] * (1 + GATHER_ROWS)


@pytest.mark.parametrize("has_spool", [False, True])
@pytest.mark.parametrize("lost_answers", [False, True])
@pytest.mark.parametrize("error", [Unclear("no answer"), Refused("no room"), Gap("lost")])
async def test_whatever_the_stream_says_the_commit_is_stored_once(
    tmp_path: Path, error: Exception, lost_answers: bool, has_spool: bool
) -> None:
    """Its requests hear that it is durable, and those behind it come behind it."""
    spool = opened(tmp_path)[0] if has_spool else None
    async with at_work(is_open=True, spool=spool) as scene:
        assert await scene.request("0") is None
        scene.stream.failing = [error]
        # a Redis that says Gap has not taken what it was sent
        scene.stream.lost_answers = lost_answers and not isinstance(error, Gap)
        assert await scene.answers(scene.request("1", "2"), scene.request("3")) == [None, None]
        scene.stream.lost_answers = False
        assert await scene.request("4") is None
        await until(lambda: len(scene.stream.titles()) == 5)
        assert scene.stream.titles() == ["0", "1", "2", "3", "4"]
        assert scene.appender.bytes_waiting == 0
    if spool is not None:
        spool.close()


async def test_a_bug_in_an_answer_ends_the_appender() -> None:
    """It is raised in a callback, where the loop would log it and nobody would hear of it."""

    def broken(shed: Shed | None) -> None:
        raise ZeroDivisionError

    stream = ScriptedStream()
    stream.open()
    appender = made(stream, Counted())
    assert appender.submit(Request([(0, plain())], broken)) is None
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(60):
            await appender.run()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_bug_in_an_answer_that_is_late_ends_the_appender() -> None:
    """The callback of the timer is a callback, too."""

    def broken(shed: Shed | None) -> None:
        raise ZeroDivisionError

    appender = made(ScriptedStream(), Counted(), answer_seconds_max=0.01)
    assert appender.submit(Request([(0, plain())], broken)) is None
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(60):
            await appender.run()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_full_spool_refuses_when_asked_and_sheds_nobody_that_it_took(tmp_path: Path) -> None:
    """Of many that come in one turn of the loop it takes those that it has room for."""
    spool, counts = opened(tmp_path, bytes_max=8_000)
    async with at_work(shards=1, spool=spool) as scene:
        scene.stream.down = {0: Refused("full")}
        scene.stream.open()
        first = submitted(scene.appender, "first")
        await until(lambda: first[0].answers)
        many = requests(*(f"{number:02d}" for number in range(GATHER_ROWS)))
        said = [scene.appender.submit(request) for request in many]
        taken = [request for request, shed in zip(many, said, strict=True) if shed is None]
        assert 0 < len(taken) < len(many)
        assert said == [None] * len(taken) + [Shed.SPOOL_FULL] * (len(many) - len(taken))
        await until(lambda: taken[-1].answers)
        assert [request.answers for request in taken] == [[None]] * len(taken)
        scene.stream.down = {}
        await until(lambda: not counts.bytes)
    spool.close()


@pytest.mark.parametrize("has_spool", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_each_request_is_answered_once(tmp_path: Path, seed: int, has_spool: bool) -> None:
    """Requests of 0 to 3 rows, many of them too late; each answer lost, refused or a gap. `Request` counts its answers."""
    chance = random.Random(seed)
    spool = opened(tmp_path)[0] if has_spool else None
    async with at_work(is_open=True, commit_rows_max=5, answer_seconds_max=0.02, spool=spool) as scene:
        taken: list[Request] = []
        for number in range(300):
            if chance.random() < 0.1:
                scene.stream.lost_answers = chance.random() < 0.5
                scene.stream.failing = [
                    chance.choice([Unclear("u"), Refused("r")]) for _ in range(chance.randint(1, 4))
                ]
            if chance.random() < 0.05:
                shard = chance.randrange(SHARDS)
                scene.stream.gates[shard].clear()
                scene.appender._loop.call_later(0.04 * chance.random(), scene.stream.open, shard)
            titles = [f"{number:03d}{letter}" for letter in "abc"[: chance.randint(0, 3)]]
            request = Request([(chance.randrange(SHARDS), plain(title=title)) for title in titles])
            if scene.appender.submit(request) is None:
                assert not request.answers, AT_ONCE
                taken.append(request)
            for _ in range(chance.randint(0, 6)):
                await asyncio.sleep(0)
        scene.stream.open()
        assert await scene.appender.drain(30)
        await until(lambda: spool is None or not list(spool.folder.rglob("*.spool")))
        assert [len(request.answers) for request in taken] == [1] * len(taken)
        assert {None, Shed.REDIS} >= {request.answers[0] for request in taken}
        for shard in range(SHARDS):
            titles = scene.stream.titles(shard)
            assert titles == sorted(set(titles)), "in order, and none twice"
        kept = {row.title for request in taken if request.answers == [None] for _, row in request.rows}
        assert kept <= {title for shard in range(SHARDS) for title in scene.stream.titles(shard)}
        assert scene.appender.bytes_waiting == 0
    if spool is not None:
        assert spool._reserved == 0
        spool.close()
