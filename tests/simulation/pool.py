"""Runs many simulations on all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from tests.simulation.fates import Fate, kinds
from tests.simulation.run import Verdict, large, small
from tests.support.volume import volume

CHUNK = 40
FAILURES_MAX = 3  # enough to work on
CRASH_STEPS = 9  # of an INSERT: before the first of its steps, after each of the others


@dataclass(frozen=True)
class Case:
    """Names one simulation: a large one, or a small one with a fault at one call."""

    seed: int
    call: int | None = None
    fate: Fate = Fate.NONE
    crash_step: int | None = None

    def run(self, *, is_traced: bool = False) -> Verdict:
        if self.call is None:
            return large(self.seed, is_traced=is_traced)
        return small(self.seed, {self.call: self.fate}, crash_step=self.crash_step, is_traced=is_traced)

    @property
    def replay(self) -> str:
        """Returns the command that runs it again with a trace."""
        command = f"make sim SEED={self.seed}"
        if self.call is None:
            return command
        step = "" if self.crash_step is None else f" --crash-step {self.crash_step}"
        return f"{command} ARGS='--call {self.call} --fate {self.fate.name}{step}'"


def every_fault(seed: int) -> list[Case]:
    """Returns the small simulation of a seed with every fault at every call.

    A crash is at each of an INSERT's steps in `make thorough`, and else at a third of them, which are others at the next call.
    """
    cases = []
    stride = volume(3, 1)
    for call, what in enumerate(small(seed, {}).calls):
        for fate in dict.fromkeys(kinds(what)):
            steps = range(call % stride, CRASH_STEPS, stride) if fate in {Fate.CRASH, Fate.FAIL} else (None,)
            cases += [Case(seed, call, fate, step) for step in steps]
    return cases


def failures(cases: Iterable[Case]) -> list[str]:
    """Returns the cases that failed, each with the command that replays it, and stops after the first few."""
    chosen = list(cases)
    chunks = [chosen[at : at + CHUNK] for at in range(0, len(chosen), CHUNK)]
    found: list[str] = []
    context = multiprocessing.get_context("spawn")  # pytest's own threads don't survive a fork
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for done in as_completed([pool.submit(_run, chunk) for chunk in chunks]):
            found += done.result()
            if len(found) >= FAILURES_MAX:
                pool.shutdown(cancel_futures=True)
                break
    return found


def _run(cases: Sequence[Case]) -> list[str]:
    found = []
    for case in cases:
        verdict = case.run()
        if verdict.broken:
            found.append("\n  ".join((case.replay, *verdict.broken[:5])))
    return found
