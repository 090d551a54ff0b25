"""Measures whether work on rows grows as their number does: the CPU time for some rows, and for ten times as many.

It takes the CPU time of this process and not wall time, so neighbours on the machine do not count. All sizes are
measured in one process, so its speed does not matter. Ten times the rows take straight-line work ten times as long,
give or take caches, and quadratic work a hundred times. STEEPNESS_MAX lies in between.

What is measured must not be noise. While work runs, nothing collects garbage: one collection looks at all that the
process has made since tests/conftest.py set the rest aside, which may be much. The smaller size is measured until
MEASURED_SECONDS are together, and its best time counts. A larger size that seems to be too steep is measured again,
because noise only ever adds; quadratic work stays too steep.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.volume import volume

SIZES = (10_000, 100_000, 1_000_000)[: volume(2, 3)]
STEEPNESS_MAX = 30.0  # for ten times the rows
TRIES = 3  # of a size that seems to be too steep
TRIES_MAX = 10
MEASURED_SECONDS = 0.05  # in less than that, what interrupts a process weighs


@dataclass
class Measured:
    """Holds the CPU seconds of this process that something took; 0 until it is over."""

    seconds: float = 0.0


@contextmanager
def measured() -> Iterator[Measured]:
    """Measures what happens inside the block, without the garbage of others."""
    found = Measured()
    gc.collect()
    gc.disable()
    began = time.process_time()
    try:
        yield found
    finally:
        found.seconds = time.process_time() - began
        gc.enable()


def steepest(prepare: Callable[[int], Callable[[], object]], sizes: tuple[int, ...] = SIZES) -> float:
    """Returns the largest factor by which the CPU time of `prepare(rows)()` grows from one size to the next, without
    `prepare`.
    """
    asked = _factor(sizes)
    size = next(asked)
    try:
        while True:
            work = prepare(size)
            with measured() as found:
                work()
            size = asked.send(found.seconds)
    except StopIteration as end:
        return float(end.value)


async def steepest_in_loop(seconds: Callable[[int], Awaitable[float]], sizes: tuple[int, ...] = SIZES) -> float:
    """Returns the same of work that awaits: `seconds(rows)` does it and returns the CPU time that it measured."""
    asked = _factor(sizes)
    size = next(asked)
    try:
        while True:
            size = asked.send(await seconds(size))
    except StopIteration as end:
        return float(end.value)


def _factor(sizes: tuple[int, ...]) -> Generator[int, float, float]:
    """Yields the size that is to be measured next and takes its seconds, until it returns the largest factor."""
    largest, before = 0.0, math.inf
    for size in sizes:
        best, together, tries = math.inf, 0.0, 0
        while tries < TRIES_MAX and (together < MEASURED_SECONDS or (tries < TRIES and best > STEEPNESS_MAX * before)):
            took = yield size
            best, together, tries = min(best, took), together + took, tries + 1
        largest, before = max(largest, best / before), max(best, 1e-3)  # below it, it is noise
    return largest
