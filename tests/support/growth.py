"""Whether the work that rows cost grows as their number does: CPU time of one number of rows, and of ten times as many.

CPU time of this process, not wall time, so neighbours on the machine do not count; both numbers are measured in
one process, so it does not matter how fast it is. Ten times the rows of straight-line work take ten times as long,
give or take caches; of quadratic work a hundred times. STEEPNESS_MAX lies between.
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
    """By what the CPU time of `prepare(rows)()` grows at most from one size to the next; `prepare` itself is not counted."""
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
