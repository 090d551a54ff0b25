"""Measures whether work on rows grows as their number does: the CPU time for some rows, and for ten times as many.

It takes the CPU time of this process and not wall time, so neighbours on the machine do not count. All sizes are
measured in one process, so its speed does not matter. Ten times the rows take straight-line work ten times as long,
give or take caches, and quadratic work a hundred times. STEEPNESS_MAX lies in between.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable

SIZES = (10_000, 100_000, 1_000_000)
STEEPNESS_MAX = 30.0  # for ten times the rows
TRIES = 3


def steepest(prepare: Callable[[int], Callable[[], object]], sizes: tuple[int, ...] = SIZES) -> float:
    """Returns the largest factor by which the CPU time of `prepare(rows)()` grows from one size to the next, without
    `prepare`.
    """
    took = [min(_seconds(prepare(size)) for _ in range(TRIES if size == sizes[0] else 1)) for size in sizes]
    return max(more / less for less, more in itertools.pairwise(took))


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()  # what it finds, and when, depends on everything that was made before
    try:
        began = time.process_time()
        work()
        return max(time.process_time() - began, 1e-3)  # below it, it is noise
    finally:
        gc.enable()
