"""A committer whose Redis fails over: each commit is in once, and nothing is called lost that is not, on a scripted stream."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from ingest.commit import committer, confirmer, returner
from ingest.commit import spool as spool_module
from ingest.commit.answers import Gap, Refused, Unclear
from ingest.commit.spool import SpoolFull
from ingest.commit.stream import Done
from schemas.segment import Commit
from tests.support.committing import Scene, ScriptedStream, at_work
from tests.support.spooling import commit, opened
from tests.support.waiting import until

HELD: dict[str, Any] = {"is_open": True, "resend_bytes_max": 1 << 20}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after a millisecond, not after a tenth of a second, and asks the replicas in no test by itself."""
    for module in (committer, returner):
        monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(confirmer, "CONFIRM_SECONDS", 3_600)


async def taken(scene: Scene, *titles: str) -> str:
    """Lets Redis take a commit for each title, which is held then. Returns the producer."""
    for title in titles:
        assert await scene.request(title) is None
    return scene.stream.stored[-1].producer


def forget(stream: ScriptedStream, producer: str, after: int) -> None:
    """Promotes a replica that has the producer's commits up to this number."""
    stream.marks[0, producer] = after
    stream.stored = [one for one in stream.stored if one.number <= after]


def only_committer(scene: Scene) -> committer.Committer:
    return scene.appender._committers[0]


@pytest.mark.parametrize("was_in", [True, False])
async def test_a_commit_in_doubt_that_the_spool_refuses_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_in: bool
) -> None:
    """What was held is spooled and drained before there is room for it, and Redis perhaps has it already."""
    spool, counts = opened(tmp_path)
    write = spool_module.Chain.write

    async def refusing(self: spool_module.Chain, *commits: Commit) -> None:
        if commits[-1].number > 3:
            raise SpoolFull
        await write(self, *commits)

    monkeypatch.setattr(spool_module.Chain, "write", refusing)
    async with at_work(spool=spool, **HELD) as scene:
        producer = await taken(scene, "1", "2", "3")
        scene.stream.failing, scene.stream.lost_answers = [Unclear("the answer is lost")], was_in
        assert await scene.request("4") is None
        assert not counts.bytes, "what was held is drained"
        assert scene.stream.titles() == ["1", "2", "3", "4"]
        assert await scene.request("5") is None
        assert [(one.producer, one.number) for one in scene.stream.stored] == [(producer, at) for at in range(1, 6)]
    spool.close()


async def test_a_commit_in_doubt_behind_a_gap_of_the_drain_goes_on_as_a_new_producer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis lost more than was held, so it lacks the commit in doubt too; and the loss is counted once."""
    spool, _ = opened(tmp_path)
    write = spool_module.Chain.write

    async def refusing(self: spool_module.Chain, *commits: Commit) -> None:
        if commits[-1].number > 3:
            raise SpoolFull
        await write(self, *commits)

    monkeypatch.setattr(spool_module.Chain, "write", refusing)
    async with at_work(spool=spool, **HELD) as scene:
        producer = await taken(scene, "1", "2", "3")
        held = only_committer(scene).held
        assert held is not None
        held.confirmed(2)
        forget(scene.stream, producer, 1)
        scene.stream.failing = [Unclear("nobody answers")]
        assert await scene.request("4") is None
        assert scene.stream.titles() == ["1", "3", "4"]
        assert scene.stream.commits_lost == 1
    spool.close()


class Slow(ScriptedStream):
    """Takes what is sent at once, and answers what is appended when `replicas` is set: they have it by then."""

    replicas: asyncio.Event
    old: int | None = None  # what an old primary knows, which hears all that is sent

    async def append(self, shard: int, producer: str, commit: Commit) -> None:
        await super().append(shard, producer, commit)
        await self.replicas.wait()

    def send(self, shard: int, producer: str, commit: Commit, done: Done, *, is_confirmed: bool = False) -> None:
        if self.old is not None:
            missing = commit.number - 1 - self.old
            self._apart(self._raised(Gap(f"{commit.number} after {self.old}", known=self.old, missing=missing)), done)
            return
        self._apart(super().append(shard, producer, commit), done)

    async def _raised(self, error: Exception) -> None:
        raise error


def slow(scene: Scene) -> Slow:
    scene.stream.__class__ = Slow
    assert isinstance(scene.stream, Slow)
    scene.stream.replicas = asyncio.Event()
    return scene.stream


@pytest.mark.parametrize("is_well", [True, False])
async def test_nothing_is_sent_live_while_what_was_held_is_sent_again(is_well: bool) -> None:
    """Redis would answer with a gap of commits that are on their way, which says nothing of a loss."""
    async with at_work(**HELD) as scene:
        stream = slow(scene)
        producer = await taken(scene, "1", "2", "3")
        forget(stream, producer, 0)
        recovering = asyncio.create_task(only_committer(scene).recover())
        await until(lambda: len(stream.stored) == 1)
        later = scene.request("4")
        await scene.settled()
        assert not later.done()
        if not is_well:
            stream.failing = [Unclear("it breaks off")]
        stream.replicas.set()
        await recovering
        assert await later is None
        assert [(one.producer, one.number) for one in stream.stored] == [(producer, at) for at in range(1, 5)]
        assert stream.titles() == ["1", "2", "3", "4"]
        assert stream.commits_lost == 0


@pytest.mark.parametrize("knows", [0, 1, 2])
async def test_an_old_primary_that_lacks_commits_is_not_believed(knows: int) -> None:
    """The real one has them all: none is lost, and none is stored twice."""
    async with at_work(**HELD) as scene:
        stream = slow(scene)
        stream.replicas.set()
        producer = await taken(scene, "1", "2", "3")
        held = only_committer(scene).held
        assert held is not None
        held.confirmed(2)
        stream.old = knows
        assert await scene.request("4") is None
        assert [(one.producer, one.number) for one in stream.stored] == [(producer, at) for at in range(1, 5)]
        assert stream.commits_lost == 0


@pytest.mark.parametrize("is_found", ["by a commit", "by asking", "by sending again"])
async def test_more_was_lost_than_is_held(is_found: str) -> None:
    """What was confirmed and is gone is counted, and what is held goes on as a new producer's."""
    async with at_work(**HELD) as scene:
        stream = slow(scene)
        stream.replicas.set()
        producer = await taken(scene, "1", "2", "3", "4")
        held = only_committer(scene).held
        assert held is not None
        held.confirmed(2)
        forget(stream, producer, 1)
        if is_found == "by asking":
            await only_committer(scene).recover()
        if is_found == "by sending again":
            stream.failing = [Unclear("nobody answers")]
        assert await asyncio.wait_for(scene.request("5"), 5) is None
        assert stream.titles() == ["1", "3", "4", "5"]
        assert stream.commits_lost == 1


async def test_what_is_held_is_spooled_with_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There can be thousands of small commits, and a disk that takes 10 ms for each would keep their shard waiting for minutes."""
    synced: list[int] = []
    fdatasync = os.fdatasync

    def counting(file: int) -> None:
        synced.append(file)
        fdatasync(file)

    spool, counts = opened(tmp_path)
    titles = [str(number) for number in range(60)]
    async with at_work(spool=spool, **HELD) as scene:
        await taken(scene, *titles)
        monkeypatch.setattr(os, "fdatasync", counting)
        scene.stream.failing = [Unclear("nobody answers")]
        assert await scene.request("last") is None
        assert len(synced) == 2  # what was held, and the commit behind it
        await until(lambda: not counts.bytes)
        assert scene.stream.titles() == [*titles, "last"]
    spool.close()


async def test_a_loss_is_counted_once_however_often_a_drain_begins(tmp_path: Path) -> None:
    """A drain ends when the chain is empty, and begins again where a commit came meanwhile. It knows then that there was a gap."""
    spool, _ = opened(tmp_path)
    chain = spool.open("producer", 0)
    async with at_work(spool=spool, **HELD) as scene:
        await chain.write(commit(5))
        await scene.appender.drain_chain(chain)
        await chain.write(commit(6))
        await scene.appender.drain_chain(chain)
        assert [(one.producer, one.number) for one in scene.stream.stored] == [("producer~5", 1), ("producer~6", 1)]
        assert scene.stream.commits_lost == 1
    spool.close()


async def test_a_refused_commit_goes_on_behind_what_was_held(tmp_path: Path) -> None:
    """It is spooled behind it, whatever a server said of a gap."""
    spool, counts = opened(tmp_path)
    async with at_work(spool=spool, **HELD) as scene:
        producer = await taken(scene, "1", "2")
        scene.stream.failing = [Gap("3 after 0", known=0, missing=2), Refused("not now")]
        assert await scene.request("3") is None
        await until(lambda: not counts.bytes)
        assert scene.stream.titles() == ["1", "2", "3"]
        assert {one.producer for one in scene.stream.stored} == {producer}
    spool.close()


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_drain_that_runs_out_of_time_leaves_what_is_held_in_the_spool(tmp_path: Path, is_lost: bool) -> None:
    """Its events were acknowledged, and the primary that does not answer may be gone for good. What is in flight follows them.

    Where the primary comes back and takes that commit after all, its late answer changes nothing.
    """
    spool, counts = opened(tmp_path)
    async with at_work(spool=spool, **HELD) as scene:
        producer = await taken(scene, "1", "2", "3")
        scene.stream.gates[0].clear()
        last = scene.request("4")
        await scene.in_flight(4)
        assert await scene.appender.drain(0.02)
        assert await last is None
        assert not only_committer(scene).held
        if is_lost:
            forget(scene.stream, producer, 1)
        scene.stream.open()
        await until(lambda: not counts.bytes)
        assert [(one.producer, one.number) for one in scene.stream.stored] == [(producer, at) for at in range(1, 5)]
        assert scene.stream.titles() == ["1", "2", "3", "4"]
    spool.close()


async def test_an_ingest_that_ends_holds_nothing_more(tmp_path: Path) -> None:
    """A commit that is in flight with nothing held before it goes to the spool too, because nobody asks the replicas any more."""
    spool, counts = opened(tmp_path)
    async with at_work(spool=spool, **HELD) as scene:
        scene.stream.gates[0].clear()
        first = scene.request("1")
        await scene.in_flight(1)
        assert await scene.appender.drain(0.02)
        assert await first is None
        scene.stream.open()
        await until(lambda: not counts.bytes)
        assert not only_committer(scene).held
        assert [(one.number, one.titles) for one in scene.stream.stored] == [(1, ["1"])]
    spool.close()


async def test_a_commit_that_waits_for_its_turn_is_placed_once(tmp_path: Path) -> None:
    """The process ends in the moment in which others have let go of the turn, and the commit's task has not taken it yet."""
    spool, counts = opened(tmp_path)
    async with at_work(spool=spool, **HELD) as scene:
        await taken(scene, "1", "2")
        one = only_committer(scene)
        await one.turn.acquire()
        last = scene.request("3")
        await until(lambda: one.flight is not None)
        await scene.settled()
        one.turn.release()
        await one.let_go()
        assert await last is None
        await until(lambda: not counts.bytes)
        assert scene.stream.titles() == ["1", "2", "3"]
    spool.close()


async def test_an_ingest_without_replicas_lets_go_of_nothing(tmp_path: Path) -> None:
    """Its shards may wait for as long as a segment of the spool can't be read, and nobody waits for them then."""
    spool, _ = opened(tmp_path)
    async with at_work(is_open=True, spool=spool) as scene, only_committer(scene).turn:
        assert await asyncio.wait_for(scene.appender.drain(0.02), 10)
    spool.close()


async def test_a_drain_says_what_nobody_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis does not answer, and the spool is full: the process ends all the same, and says how many commits go with it."""

    async def refusing(self: spool_module.Chain, *commits: Commit) -> None:
        raise SpoolFull

    monkeypatch.setattr(spool_module.Chain, "write", refusing)
    spool, _ = opened(tmp_path)
    async with at_work(spool=spool, **HELD) as scene:
        await taken(scene, "1", "2", "3")
        scene.stream.gates[0].clear()
        scene.request("4")
        await scene.in_flight(4)
        assert not await scene.appender.drain(0.02)
        assert "3 commits were acknowledged" in caplog.text
    spool.close()
