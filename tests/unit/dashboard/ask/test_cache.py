"""dashboard/ask/cache.py: what is asked at once, what is remembered, and what is given up."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from dashboard.ask.cache import Cache
from dashboard.catalogue.contract import Away, Busy, Reply, Statement, TooSlow
from dashboard.metrics import Metrics

ROWS = [["a", 1], ["b", 2]]


class Slow:
    """Asks nothing: each question waits until it is let go, and is kept in `asked`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left: list[str] = []
        self.fault: Exception | None = None
        self.rows: list[list[object]] = ROWS
        self._go = asyncio.Event()

    async def __call__(self, statement: Statement, /) -> Reply:
        self.asked.append(statement.sql)
        try:
            await self._go.wait()
        except asyncio.CancelledError:
            self.left.append(statement.sql)
            raise
        if self.fault is not None:
            raise self.fault
        return Reply(columns=("x", "n"), rows=self.rows, as_of=len(self.asked))

    def go(self) -> None:
        self._go.set()


class Scene:
    """Holds a cache in front of a slow asker, and its clock."""

    def __init__(self, *, at_once: int = 2, waiting_max: int = 3, bytes_max: int = 1 << 20) -> None:
        self.clock = 100.0
        self.slow = Slow()
        self.metrics = Metrics(CollectorRegistry())
        self.cache = Cache(
            self.slow,
            metrics=self.metrics,
            at_once=at_once,
            waiting_max=waiting_max,
            bytes_max=bytes_max,
            now=lambda: self.clock,
        )

    def ask(self, sql: str, *, seconds: int = 5, **parameters: str | list[str]) -> asyncio.Task[Reply]:
        statement = Statement(file="visits", sql=sql, parameters=parameters, remembered_seconds=seconds)
        return asyncio.create_task(self.cache(statement))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"forebay_dashboard_{name}", labels) or 0.0


async def settled() -> None:
    """Lets all tasks go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_the_same_at_once_is_one_question() -> None:
    """Ten askers get one answer; the same SQL with other parameters is another question."""
    scene = Scene(at_once=4)
    tasks = [scene.ask("a", site="x", values=["1", "2"]) for _ in range(10)]
    other = scene.ask("a", site="y", values=["1", "2"])
    await settled()
    assert scene.slow.asked == ["a", "a"]
    scene.slow.go()
    answers = [await task for task in tasks]
    assert all(answer is answers[0] for answer in answers)
    assert (await other) is not answers[0]
    assert scene.counted("coalesced_total") == 9
    assert scene.counted("questions_total", query="visits", result="answered") == 2


async def test_an_answer_is_given_to_others_for_its_seconds() -> None:
    """Not a moment longer, and not at all if it says 0."""
    scene = Scene()
    scene.slow.go()
    first = await scene.ask("a", seconds=5)
    scene.clock += 4.9
    assert await scene.ask("a", seconds=5) is first
    scene.clock += 0.2
    assert await scene.ask("a", seconds=5) is not first
    assert scene.slow.asked == ["a", "a"]
    assert scene.counted("cache_hits_total") == 1
    for _ in range(2):
        await scene.ask("never", seconds=0)
    assert scene.slow.asked.count("never") == 2


async def test_a_question_that_nobody_waits_for_is_given_up() -> None:
    """It ends with its last asker, and who asks then asks anew."""
    scene = Scene()
    first, second = scene.ask("a"), scene.ask("a")
    await settled()
    first.cancel()
    await settled()
    assert scene.slow.left == []
    second.cancel()
    await settled()
    assert scene.slow.left == ["a"]
    assert scene.counted("questions_total", query="visits", result="left") == 1
    third = scene.ask("a")
    await settled()
    assert scene.slow.asked == ["a", "a"]
    scene.slow.go()
    assert (await third).rows == ROWS


async def test_an_asker_that_comes_while_a_question_is_given_up_is_answered() -> None:
    """It does not share the fate of the one that is being ended."""
    scene = Scene()
    first = scene.ask("a")
    await settled()
    first.cancel()
    second = scene.ask("a")
    scene.slow.go()
    assert (await second).rows == ROWS


async def test_so_many_run_and_so_many_wait_in_their_order() -> None:
    """The others wait their turn as they came; one too many is told that it is busy, and so is whoever asks the same."""
    scene = Scene(at_once=2, waiting_max=3)
    tasks = [scene.ask(name) for name in "abcde"]
    await settled()
    assert scene.slow.asked == ["a", "b"]
    for _ in range(2):
        with pytest.raises(Busy, match=r"Too many questions wait"):
            await scene.ask("f")
    assert scene.counted("questions_total", query="visits", result="busy") == 2
    same = scene.ask("e")  # it waits already
    scene.slow.go()
    await asyncio.gather(*tasks, same)
    assert scene.slow.asked == ["a", "b", "c", "d", "e"]


async def test_one_that_leaves_while_it_waits_gives_its_place_back() -> None:
    """It never asks, and the next one has its place."""
    scene = Scene(at_once=1, waiting_max=1)
    running, waiting = scene.ask("a"), scene.ask("b")
    await settled()
    waiting.cancel()
    await settled()
    following = scene.ask("c")
    await settled()
    scene.slow.go()
    await asyncio.gather(running, following)
    assert scene.slow.asked == ["a", "c"]


@pytest.mark.parametrize(
    ("fault", "result"), [(Away("gone"), "away"), (TooSlow("slow"), "slow"), (Busy("busy"), "busy")]
)
async def test_an_error_is_everybodys_and_never_remembered(fault: Exception, result: str) -> None:
    """Those who wait get it; the next one asks again."""
    scene = Scene()
    scene.slow.fault = fault
    scene.slow.go()
    for answer in await asyncio.gather(scene.ask("a"), scene.ask("a"), return_exceptions=True):
        assert answer is fault
    scene.slow.fault = None
    assert (await scene.ask("a")).rows == ROWS
    assert scene.counted("questions_total", query="visits", result=result) == 1


def rows_of(size: int) -> list[list[object]]:
    return [["x" * size, 1]]


@pytest.mark.parametrize(
    ("rows", "is_kept"),
    [(rows_of(1_000), True), (rows_of(40_000), False), ([[{"EUR": "x" * 40_000}]], False)],
)
async def test_memory_is_bounded(rows: list[list[object]], is_kept: bool) -> None:
    """What was used longest ago is forgotten first; an answer that is larger than all is not kept."""
    scene = Scene(bytes_max=30_000)
    scene.slow.rows = rows
    scene.slow.go()
    for number in range(50):
        await scene.ask(f"a{number}", seconds=1_000)
        assert scene.counted("cache_bytes") <= 30_000
    await scene.ask("a49", seconds=1_000)
    assert scene.slow.asked.count("a49") == (1 if is_kept else 2)
    if is_kept:
        await scene.ask("a0", seconds=1_000)
        assert scene.slow.asked.count("a0") == 2


async def test_what_is_over_takes_no_memory() -> None:
    """It goes with the next answer that is kept."""
    scene = Scene()
    scene.slow.go()
    await scene.ask("a", seconds=1)
    before = scene.counted("cache_bytes")
    scene.clock += 2
    await scene.ask("b", seconds=1)
    assert 0 < scene.counted("cache_bytes") <= before


async def test_lists_are_part_of_what_is_asked() -> None:
    """Two lists that differ are two questions, and a list is not its text."""
    scene = Scene(at_once=9)
    scene.slow.go()
    for values in (["a", "b"], ["b", "a"], ["a"], "['a']"):
        await scene.ask("q", values=values)
    assert len(scene.slow.asked) == 4
